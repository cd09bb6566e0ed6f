//! Schedules: when a plan runs by itself.
//!
//! A missed run is not made up for: after a pause the next run is the first moment of the schedule that is still to
//! come.

mod cron;
mod interval;

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

pub use self::cron::Cron;
pub use self::interval::Interval;
use crate::time::Millis;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// `I|{unix seconds of the first run}|{ISO 8601 duration}`.
    Interval(Interval),
    /// `C|{unix seconds before which nothing runs}|{Quartz cron}`.
    Cron(Box<Cron>),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a schedule: expected I|start|interval such as I|1602673264|P1D, where start is in seconds \
         since 1970 and interval an ISO 8601 duration of at least a minute, or C|start|cron such as \
         C|1631685600|0 0 2 ? * 3,5,7, where cron is of Quartz (second minute hour day month weekday, SUN is 1, one of the \
         days is ?) and comes true some day"
)]
pub struct ParseScheduleError {
    text: String,
}

impl Schedule {
    /// The first run after `now`, where clocks show the time of `zone`.
    pub fn next_after(&self, now: Millis, zone: &TimeZone) -> Option<Millis> {
        match self {
            Self::Interval(interval) => interval.next_after(now),
            Self::Cron(cron) => cron.next_after(now, zone),
        }
    }
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, ParseScheduleError> {
        let mut parts = text.split('|');
        let parsed = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("I"), Some(start), Some(every), None) => Interval::parse(start, every).map(Self::Interval),
            (Some("C"), Some(start), Some(cron), None) => {
                Cron::parse(start, cron).map(Box::new).map(Self::Cron)
            }
            _ => None,
        };
        parsed.ok_or_else(|| ParseScheduleError { text: text.to_owned() })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => interval.fmt(f),
            Self::Cron(cron) => cron.fmt(f),
        }
    }
}

impl TryFrom<String> for Schedule {
    type Error = ParseScheduleError;

    fn try_from(text: String) -> Result<Self, ParseScheduleError> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}
