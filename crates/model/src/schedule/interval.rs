//! Runs at a fixed distance from each other, beginning at a moment.
//!
//! Intervals of days or less are exact spans of time (a day is 24 hours, so daylight saving moves the wall clock time
//! of runs); intervals with months or years go by the calendar in UTC, from the start, so that the 31st comes back
//! after a short month.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Unit};

use crate::time::Millis;

const LEAST_MILLIS: i64 = 60_000;

#[derive(Clone, Debug)]
pub struct Interval {
    start_seconds: i64,
    every: Span,
    /// As it was written.
    text: String,
    /// The length, where it has one that is always the same.
    millis: Option<i64>,
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        (self.start_seconds, &self.text) == (other.start_seconds, &other.text)
    }
}

impl Eq for Interval {}

impl Interval {
    pub(super) fn parse(start: &str, every: &str) -> Option<Self> {
        let start_seconds: i64 = start.parse().ok()?;
        let first = Timestamp::from_second(start_seconds).ok().filter(|_| start_seconds >= 0)?;
        let span: Span = every.parse().ok()?;
        if !every.starts_with('P') || span.is_negative() || span.is_zero() {
            return None;
        }
        let by_calendar = span.get_years() != 0 || span.get_months() != 0;
        let millis = if by_calendar {
            let second = first.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
            (second.timestamp() > first).then_some(None)?
        } else {
            let hours = span.total((Unit::Millisecond, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
            Some(whole(hours).filter(|millis| *millis >= LEAST_MILLIS)?)
        };
        Some(Self { start_seconds, every: span, text: every.to_owned(), millis })
    }

    pub fn next_after(&self, now: Millis) -> Option<Millis> {
        let start = Millis::from_seconds(self.start_seconds);
        if now < start {
            return Some(start);
        }
        match self.millis {
            Some(millis) => {
                let passed = now.since(start) / u64::try_from(millis).ok()?;
                let runs = i64::try_from(passed).ok()?.checked_add(1)?;
                Some(start.plus(runs.checked_mul(millis)?)).filter(|next| *next > now)
            }
            None => self.next_by_calendar(now),
        }
    }

    fn next_by_calendar(&self, now: Millis) -> Option<Millis> {
        let first = Timestamp::from_second(self.start_seconds).ok()?.to_zoned(TimeZone::UTC);
        let run = |count: i64| {
            let span = self.every.checked_mul(count).ok()?;
            Some(Millis::from(first.checked_add(span).ok()?.timestamp()))
        };
        // The run before `low` is past, `high` is to come.
        let (mut low, mut high) = (1, 1);
        while run(high)? <= now {
            low = high + 1;
            high = high.checked_mul(2)?;
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if run(middle)? <= now { low = middle + 1 } else { high = middle }
        }
        run(low)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "spans are far shorter than what an f64 holds exactly")]
fn whole(millis: f64) -> Option<i64> {
    (millis.is_finite() && millis < 1e15).then_some(millis as i64)
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I|{}|{}", self.start_seconds, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(start: &str, every: &str) -> Interval {
        Interval::parse(start, every).unwrap()
    }

    fn at(text: &str) -> Millis {
        Millis::from(text.parse::<Timestamp>().unwrap())
    }

    #[test]
    fn runs_are_at_the_start_and_a_fixed_distance_apart() {
        let daily = interval("1602673264", "P1D");
        assert_eq!(daily.next_after(Millis(0)), Some(Millis::from_seconds(1_602_673_264)));
        let first = Millis::from_seconds(1_602_673_264);
        assert_eq!(daily.next_after(first), Some(first.plus(86_400_000)));
        assert_eq!(daily.next_after(first.plus(86_400_000 * 1000 - 1)), Some(first.plus(86_400_000 * 1000)));
        assert_eq!(interval("0", "PT2H").next_after(Millis(1)), Some(Millis(7_200_000)));
        assert_eq!(interval("0", "P1W").next_after(Millis(1)), Some(Millis(7 * 86_400_000)));
    }

    #[test]
    fn months_go_by_the_calendar_and_the_31st_comes_back() {
        let start = at("2024-01-31T02:00:00Z").seconds().to_string();
        let monthly = interval(&start, "P1M");
        let mut now = at("2024-01-31T02:00:00Z");
        let mut runs = Vec::new();
        for _ in 0..3 {
            now = monthly.next_after(now).unwrap();
            runs.push(now);
        }
        assert_eq!(
            runs,
            [at("2024-02-29T02:00:00Z"), at("2024-03-31T02:00:00Z"), at("2024-04-30T02:00:00Z")]
        );
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for (start, every) in [
            ("x", "P1D"),
            ("-1", "P1D"),
            ("0", ""),
            ("0", "P"),
            ("0", "PT0S"),
            ("0", "PT1S"),
            ("0", "-P1D"),
            ("0", "1 day"),
            ("0", "P1Dx"),
        ] {
            assert!(Interval::parse(start, every).is_none(), "{start} {every}");
        }
    }
}
