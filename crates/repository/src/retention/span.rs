//! Spans of calendar time in policies: `2y5m7d3h`.
//!
//! Years, months and days are counted on the calendar of a time zone, as Go's `AddDate` counts them: the 31st
//! of March less a month is the 31st of February, which is the 3rd of March.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, ErrorKind};

/// A span of calendar time; each unit counts on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CalendarSpan {
    pub years: u32,
    pub months: u32,
    pub days: u32,
    pub hours: u32,
}

impl CalendarSpan {
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The moment this long before `time`; the earliest there is when the calendar does not go back so far.
    pub fn before(&self, time: Timestamp, zone: &TimeZone) -> Timestamp {
        self.checked_before(time, zone).unwrap_or(Timestamp::MIN)
    }

    fn checked_before(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let local = zone.to_datetime(time);
        let months = i64::from(local.year()) * 12 + i64::from(local.month())
            - 1
            - i64::from(self.years) * 12
            - i64::from(self.months);
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        let days = i64::from(local.day()) - 1 - i64::from(self.days);
        let date = Date::new(year, month, 1).ok()?.checked_add(SignedDuration::from_hours(24 * days)).ok()?;
        let moved = DateTime::from_parts(date, local.time());
        let moment = zone.to_ambiguous_timestamp(moved).compatible().ok()?;
        moment.checked_sub(SignedDuration::from_hours(i64::from(self.hours))).ok()
    }
}

impl fmt::Display for CalendarSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if number != 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for CalendarSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            let what = format!("{text:?} is not a duration like 1y5m7d2h: {why}");
            Error::new(ErrorKind::InvalidInput, what)
        };
        let mut span = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            if number.is_empty() {
                return Err(bad("a number is missing"));
            }
            let number = number.parse().map_err(|_| bad("a number is too large"))?;
            let mut chars = after.chars();
            match chars.next() {
                Some('y') => span.years = number,
                Some('m') => span.months = number,
                Some('d') => span.days = number,
                Some('h') => span.hours = number,
                Some(_) => return Err(bad("units are y, m, d and h")),
                None => return Err(bad("a unit is missing after the last number")),
            }
            rest = chars.as_str();
        }
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(span: &str, time: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let span: CalendarSpan = span.parse().unwrap();
        span.before(time.parse().unwrap(), &zone).to_string()
    }

    #[test]
    fn spans_read_as_they_print() {
        for text in ["1y5m7d2h", "3d", "10h", ""] {
            assert_eq!(text.parse::<CalendarSpan>().unwrap().to_string(), text);
        }
        for bad in ["5", "d", "-1d", "1w", "1d x", "99999999999d"] {
            assert!(bad.parse::<CalendarSpan>().is_err(), "{bad}");
        }
    }

    #[test]
    fn months_that_are_too_short_run_over() {
        assert_eq!(before("1m", "2023-03-31T12:00:00Z", "UTC"), "2023-03-03T12:00:00Z");
        assert_eq!(before("1y", "2024-02-29T12:00:00Z", "UTC"), "2023-03-01T12:00:00Z");
        assert_eq!(before("1y1m1d1h", "2024-01-01T00:30:00Z", "UTC"), "2022-11-29T23:30:00Z");
    }

    #[test]
    fn days_are_days_of_the_calendar_across_a_change_of_clocks() {
        assert_eq!(before("1d", "2026-03-29T10:00:00Z", "Europe/Berlin"), "2026-03-28T11:00:00Z");
        assert_eq!(before("24h", "2026-03-29T10:00:00Z", "Europe/Berlin"), "2026-03-28T10:00:00Z");
    }

    #[test]
    fn a_span_longer_than_the_calendar_reaches_its_start() {
        let span: CalendarSpan = "400000y".parse().unwrap();
        assert_eq!(span.before(Timestamp::UNIX_EPOCH, &TimeZone::UTC), Timestamp::MIN);
    }
}
