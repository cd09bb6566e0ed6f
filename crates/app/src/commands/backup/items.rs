//! What `--verbose` tells of a backup while it runs: every file and folder, and how much there is in all.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use lifeboat_repository::Counters;
use lifeboat_repository::backup::{Change, SavedItem};
use serde::Serialize;

use crate::app::App;
use crate::output::text;

/// As restic has it.
#[derive(Serialize)]
struct ItemJson {
    message_type: &'static str,
    action: &'static str,
    item: String,
    duration: f64,
    data_size: u64,
    metadata_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_files: Option<u64>,
}

impl ItemJson {
    fn new(action: &'static str, item: String, duration: Duration) -> Self {
        let (message_type, duration) = ("verbose_status", duration.as_secs_f64());
        Self { message_type, action, item, duration, data_size: 0, metadata_size: 0, total_files: None }
    }
}

/// Tells of one file or folder, if that much is asked for.
pub(super) fn tell(app: &App, item: SavedItem) {
    if !app.output.lists(item.change != Change::Unmodified) {
        return;
    }
    let action = match item.change {
        Change::New => "new",
        Change::Changed => "modified",
        Change::Unmodified => "unchanged",
    };
    let mut path = item.path.into_os_string();
    if item.is_dir {
        path.push("/");
    }
    if app.output.is_json() {
        let mut json = ItemJson::new(action, path.to_string_lossy().into_owned(), item.took);
        if item.is_dir {
            json.metadata_size = item.bytes_added;
        } else {
            json.data_size = item.bytes_added;
        }
        // Nobody may be there any more; the backup goes on.
        return drop(app.output.json(&json));
    }
    let added = match item.change {
        Change::Unmodified => String::new(),
        _ => format!(", {} added", text::bytes(item.bytes_added)),
    };
    app.output.note_path(action, OsStr::as_bytes(&path), &added);
}

/// Tells how much there is, once that is known.
pub(super) fn tell_scanned(app: &App, took: Duration) {
    let counters = &app.ctx.counters;
    let (files, bytes) = (Counters::get(&counters.total_items), Counters::get(&counters.total_bytes));
    if app.output.is_json() && app.output.lists(true) {
        let json = ItemJson::new("scan_finished", String::new(), took);
        drop(app.output.json(&ItemJson { data_size: bytes, total_files: Some(files), ..json }));
    }
    app.output.detail(format_args!("found {} of {}", text::count(files, "file"), text::bytes(bytes)));
}
