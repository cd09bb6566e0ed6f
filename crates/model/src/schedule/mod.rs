//! Schedules: when a plan runs by itself.
//!
//! A missed run is not made up for: after a pause the next run is the first moment of the schedule that is still to
//! come.

mod interval;

use std::fmt;
use std::str::FromStr;

pub use self::interval::Interval;
use crate::time::Millis;

/// `I|{unix seconds of the first run}|{ISO 8601 duration}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    Interval(Interval),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a schedule: expected I|start|interval such as I|1602673264|P1D, where start is in seconds \
         since 1970 and interval an ISO 8601 duration of at least a minute"
)]
pub struct ParseScheduleError {
    text: String,
}

impl Schedule {
    /// The first run after `now`.
    pub fn next_after(&self, now: Millis) -> Option<Millis> {
        match self {
            Self::Interval(interval) => interval.next_after(now),
        }
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let mut parts = text.split('|');
        let parsed = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("I"), Some(start), Some(every), None) => Interval::parse(start, every).map(Self::Interval),
            _ => None,
        };
        parsed.ok_or_else(|| ParseScheduleError { text: text.to_owned() })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => interval.fmt(f),
        }
    }
}
