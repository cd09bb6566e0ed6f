//! How numbers, times and errors look to people.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1.234 GiB`, as restic writes it.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes >> shift > 0 {
            #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
            let number = bytes as f64 / (1_u64 << shift) as f64;
            return format!("{number:.3} {unit}");
        }
    }
    format!("{bytes} B")
}

/// `1:02:03` or `2:03`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `2026-11-23 01:02:03` in the time zone given.
pub(crate) fn time(time: Timestamp, zone: &TimeZone) -> String {
    zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// An error with all its causes: `cannot a: cannot b: c`.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some foreign errors print their cause themselves.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// A path for people: control characters, which could command a terminal, are written as `\x1b`.
pub(crate) fn path(path: &[u8]) -> Cow<'_, [u8]> {
    // In UTF-8 the second byte of U+0080 to U+009F is in this range, too; so are many harmless ones.
    let is_suspect = |byte: &u8| byte.is_ascii_control() || (0x80..0xa0).contains(byte);
    if !path.iter().any(is_suspect) {
        return Cow::Borrowed(path);
    }
    let mut shown = Vec::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        shown.extend_from_slice(printable(chunk.valid()).as_bytes());
        for byte in chunk.invalid() {
            match byte {
                0x80..0xa0 => shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                _ => shown.push(*byte),
            }
        }
    }
    Cow::Owned(shown)
}

/// The same for text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let show = |char: char| match char {
        char if char.is_control() => format!("\\x{:02x}", u32::from(char)),
        char => char.to_string(),
    };
    Cow::Owned(text.chars().map(show).collect())
}

/// The same for text of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_behind_the_point() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.500 KiB");
        assert_eq!(bytes(5 << 30), "5.000 GiB");
        assert_eq!(bytes(u64::MAX), "16777216.000 TiB");
    }

    #[test]
    fn durations_show_hours_only_when_there_are_any() {
        assert_eq!(duration(Duration::from_secs(5)), "0:05");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn control_characters_of_paths_are_written_out() {
        assert_eq!(&*path(b"/a\x1b[2J\n\xff"), b"/a\\x1b[2J\\x0a\xff");
        assert_eq!(&*path("/\u{9b}2J\u{0fc}".as_bytes()), "/\\x9b2J\u{0fc}".as_bytes());
        assert_eq!(&*path(b"/\x9b2J"), b"/\\x9b2J");
        assert_eq!(printable_lines("a\x07\nb\r"), "a\\x07\nb\\x0d");
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("c").context("b: c").context("a");
        assert_eq!(chain(error.as_ref()), "a: b: c");
    }
}
