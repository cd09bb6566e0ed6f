//! JSON messages that any command may print. `docs/json.md` describes them all.

use lifeboat_repository::source::EntryError;
use serde::Serialize;

use super::text;
use crate::exit::Status;

#[derive(Serialize)]
pub(crate) struct ExitError<'a> {
    message_type: &'static str,
    code: u8,
    message: &'a str,
}

pub(crate) fn exit_error(status: Status, message: &str) -> ExitError<'_> {
    ExitError { message_type: "exit_error", code: status.code(), message }
}

#[derive(Serialize)]
pub(crate) struct Warning<'a> {
    message_type: &'static str,
    message: &'a str,
}

pub(crate) fn warning(message: &str) -> Warning<'_> {
    Warning { message_type: "warning", message }
}

pub(crate) fn error(message: &str) -> Warning<'_> {
    Warning { message_type: "error", message }
}

#[derive(Serialize)]
pub(crate) struct EntryMessage {
    message_type: &'static str,
    error: Text,
    during: &'static str,
    item: String,
}

#[derive(Serialize)]
struct Text {
    message: String,
}

pub(crate) fn entry_error(error: &EntryError, during: &'static str) -> EntryMessage {
    EntryMessage {
        message_type: "error",
        error: Text { message: text::chain(error) },
        during,
        item: error.path.to_string_lossy().into_owned(),
    }
}
