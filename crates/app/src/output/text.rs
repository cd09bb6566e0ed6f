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
    if !path.iter().any(u8::is_ascii_control) {
        return Cow::Borrowed(path);
    }
    let mut shown = Vec::with_capacity(path.len() + 8);
    for byte in path {
        if byte.is_ascii_control() {
            shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            shown.push(*byte);
        }
    }
    Cow::Owned(shown)
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
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("c").context("b: c").context("a");
        assert_eq!(chain(error.as_ref()), "a: b: c");
    }
}
