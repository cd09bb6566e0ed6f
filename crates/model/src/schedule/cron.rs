//! Runs at moments of the wall clock, as Quartz writes them: seconds, minutes, hours, day of the month, month, day of the
//! week from SUN = 1, and perhaps the year.
//!
//! Each moment that the clock on the wall is to show is due once. One that daylight saving leaps over is due right after
//! the leap; one that it shows twice is due the first time. So the order of moments never turns around.

use std::fmt;

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::time::Millis;

const MOST_CHARACTERS: usize = 256;
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

#[derive(Clone, Debug)]
pub struct Cron {
    start_seconds: i64,
    pattern: Pattern,
    /// As it was written.
    text: String,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (self.start_seconds, &self.text) == (other.start_seconds, &other.text)
    }
}

impl Eq for Cron {}

impl Cron {
    pub(super) fn parse(start: &str, text: &str) -> Option<Self> {
        let start_seconds: i64 = start.parse().ok()?;
        Timestamp::from_second(start_seconds).ok().filter(|_| start_seconds >= 0)?;
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .alternative_weekdays(true)
            .sloppy_ranges(true)
            .build();
        let pattern = parser.parse(text).ok().filter(|_| is_quartz(text))?;
        let cron = Self { start_seconds, pattern, text: text.to_owned() };
        // The 30th of February is a moment like any other to the parser.
        cron.next_after(Millis(0), &TimeZone::UTC).map(|_| cron)
    }

    pub fn next_after(&self, now: Millis, zone: &TimeZone) -> Option<Millis> {
        let after = Timestamp::from(now.max(Millis::from_seconds(self.start_seconds).plus(-1)));
        let mut shown = zone.to_datetime(after);
        loop {
            shown = self.pattern.find_next_occurrence(&shown, false).ok()?;
            let due = first_showing(shown, zone)?;
            // Where the clock was set back, what it shows again is past already.
            if due > after {
                return Some(due.into());
            }
        }
    }
}

/// The first moment at which the clock shows `shown`, or has leapt over it.
fn first_showing(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(shown).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(shown).ok(),
        AmbiguousOffset::Gap { after, .. } => {
            let before_the_leap = after.to_timestamp(shown).ok()?;
            Some(zone.following(before_the_leap).next()?.timestamp())
        }
    }
}

/// Refuses what the parser would take for something else than Quartz does.
fn is_quartz(text: &str) -> bool {
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let is_free = |field: &&str| matches!(*field, "?" | "*");
    let days = [fields.get(3), fields.get(5)];
    text.len() <= MOST_CHARACTERS
        && matches!(fields.len(), 6 | 7)
        && days.into_iter().flatten().any(is_free)
        && (0..).zip(&fields).all(|(at, field)| is_field(at, field))
}

fn is_field(at: usize, field: &str) -> bool {
    let is_number = |piece: &str| !piece.is_empty() && piece.chars().all(|digit| digit.is_ascii_digit());
    let is_one_of = |piece: &str, names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(piece));
    let but = |piece: &str, letter: char| {
        piece.strip_suffix([letter, letter.to_ascii_lowercase()]).map(str::to_owned)
    };
    let is_piece = |piece: &str| match at {
        3 => is_one_of(piece, &["L", "LW"]) || but(piece, 'W').is_some_and(|day| is_number(&day)),
        4 => is_one_of(piece, &MONTHS),
        5 => {
            let day = but(piece, 'L').unwrap_or_else(|| piece.to_owned());
            is_one_of(&day, &DAYS) || is_number(&day)
        }
        _ => false,
    };
    let is_any_day = matches!(at, 3 | 5) && field == "?";
    is_any_day
        || field.split([',', '-', '/', '#']).all(|piece| piece == "*" || is_number(piece) || is_piece(piece))
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C|{}|{}", self.start_seconds, self.text)
    }
}

#[cfg(test)]
mod tests;
