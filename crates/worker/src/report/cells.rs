//! Cells of tables: none of them is taken for a formula by the program that opens the table.

use std::borrow::Cow;

use jiff::Timestamp;
use lifeboat_repository::tree::NodeTime;

/// The text, with `'` in front where it would begin a formula.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return Cow::Owned(format!("'{text}"));
    }
    Cow::Borrowed(text)
}

/// A time in UTC to the second; nothing for one that is not known.
pub(super) fn time(seconds: i64) -> String {
    let is_known = seconds != NodeTime::UNKNOWN.seconds;
    let time = Timestamp::from_second(seconds).ok().filter(|_| is_known);
    time.map(|time| time.to_string()).unwrap_or_default()
}
