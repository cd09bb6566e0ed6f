//! How long snapshots live: a number of days for each, decided when it is made, longer for the first of a day, week,
//! month or year.
//!
//! What is decided is stored with the snapshot and never made shorter, whatever becomes of its plan. Days of retention
//! are 24 hours; periods are those of the calendar where the server is, weeks begin on Monday.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::time::Millis;

const DAY_MILLIS: i64 = 86_400_000;

/// A stretch of the calendar of which the first snapshot may live longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Day,
    Week,
    Month,
    Year,
}

/// How long the first snapshot of each such period lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionRule {
    pub period: Period,
    pub days: u32,
}

/// What a plan or a policy says about the life of the snapshots it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// None keeps for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RetentionRule>,
    /// The newest snapshot outlives its retention, until there is a newer one.
    #[serde(default)]
    pub keep_latest: bool,
}

impl Retention {
    /// For how many days to keep a snapshot taken at `time`, the one before it taken at `previous`. None is for ever.
    pub fn days_of(&self, time: Millis, previous: Option<Millis>, zone: &TimeZone) -> Option<u32> {
        let (date, previous) = (date_of(time, zone), previous.map(|time| date_of(time, zone)));
        let is_first = |period: Period| previous.is_none_or(|previous| !period.holds_both(previous, date));
        let longer = self.rules.iter().filter(|rule| is_first(rule.period)).map(|rule| rule.days).max();
        let days = self.days?;
        Some(longer.map_or(days, |longer| longer.max(days)))
    }
}

/// When a snapshot that was complete at `completed` ends.
pub fn expiry(completed: Millis, days: u32) -> Millis {
    completed.plus(DAY_MILLIS.saturating_mul(days.into()))
}

fn date_of(time: Millis, zone: &TimeZone) -> Date {
    zone.to_datetime(Timestamp::from(time)).date()
}

impl Period {
    fn holds_both(self, one: Date, other: Date) -> bool {
        match self {
            Self::Day => one == other,
            Self::Week => {
                let (one, other) = (one.iso_week_date(), other.iso_week_date());
                (one.year(), one.week()) == (other.year(), other.week())
            }
            Self::Month => (one.year(), one.month()) == (other.year(), other.month()),
            Self::Year => one.year() == other.year(),
        }
    }
}

/// A clock that moves further than this between two looks at it was set, or the machine was off.
const TRUSTED_STEP_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// After such a leap nothing expires for so long: time to notice a wrong clock before it costs a snapshot.
const HOLD_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What is remembered of the clock, so that one which leaps ahead does not end every retention at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockWatch {
    pub seen: Millis,
    /// Nothing expires before.
    pub held_until: Millis,
}

impl ClockWatch {
    /// The watch of a server that has never looked at its clock.
    pub fn first(now: Millis) -> Self {
        Self { seen: now, held_until: now }
    }

    /// Looks at the clock, as is done every minute or so. A leap, ahead or back, begins a hold; only a clock that then
    /// goes on steadily for all of the hold ends it.
    pub fn look(self, now: Millis) -> Self {
        let step = now.since(self.seen).max(self.seen.since(now));
        let held_until = if step > TRUSTED_STEP_MILLIS { now.plus(HOLD_MILLIS) } else { self.held_until };
        Self { seen: now, held_until }
    }

    pub fn may_expire(self) -> bool {
        self.seen >= self.held_until
    }
}

#[cfg(test)]
mod tests;
