//! Moments, as milliseconds since 1970 in UTC: what the catalog keeps and every dialect writes in its own way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds from `earlier` to this moment; none when the clock was set back between them.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    pub fn plus(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl From<Timestamp> for Millis {
    fn from(time: Timestamp) -> Self {
        Self(time.as_millisecond())
    }
}

impl From<Millis> for Timestamp {
    /// Moments beyond the calendar become its ends.
    fn from(time: Millis) -> Self {
        Timestamp::from_millisecond(time.0).unwrap_or(if time.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }
}
