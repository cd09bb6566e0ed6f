//! What to keep, as `forget --keep-…` says it.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::span::CalendarSpan;
use crate::error::{Error, ErrorKind};

/// How many to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    #[default]
    None,
    /// Never zero.
    Some(u32),
    All,
}

impl Count {
    pub(super) fn take_one(&mut self) {
        *self = match *self {
            Self::Some(n) if n > 1 => Self::Some(n - 1),
            Self::Some(_) | Self::None => Self::None,
            Self::All => Self::All,
        };
    }
}

impl FromStr for Count {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "unlimited" | "-1" => Ok(Self::All),
            "0" => Ok(Self::None),
            number => number.parse().map(Self::Some).map_err(|_| {
                let what = format!("{number:?} is neither a number of snapshots nor \"unlimited\"");
                Error::new(ErrorKind::InvalidInput, what)
            }),
        }
    }
}

/// The kinds of snapshots that policies count, in the order restic looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    Last,
    Hourly,
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

impl Period {
    pub const ALL: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// One value for each [`Period`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerPeriod<T> {
    pub last: T,
    pub hourly: T,
    pub daily: T,
    pub weekly: T,
    pub monthly: T,
    pub yearly: T,
}

impl<T> PerPeriod<T> {
    pub fn get(&self, period: Period) -> &T {
        match period {
            Period::Last => &self.last,
            Period::Hourly => &self.hourly,
            Period::Daily => &self.daily,
            Period::Weekly => &self.weekly,
            Period::Monthly => &self.monthly,
            Period::Yearly => &self.yearly,
        }
    }

    pub fn get_mut(&mut self, period: Period) -> &mut T {
        match period {
            Period::Last => &mut self.last,
            Period::Hourly => &mut self.hourly,
            Period::Daily => &mut self.daily,
            Period::Weekly => &mut self.weekly,
            Period::Monthly => &mut self.monthly,
            Period::Yearly => &mut self.yearly,
        }
    }
}

/// As restic writes counters: absent when zero, −1 when unlimited.
impl Serialize for PerPeriod<Count> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for period in Period::ALL {
            match *self.get(period) {
                Count::None => {}
                Count::Some(n) => map.serialize_entry(period.name(), &n)?,
                Count::All => map.serialize_entry(period.name(), &-1)?,
            }
        }
        map.end()
    }
}

/// What to keep of one group of snapshots; what no rule keeps is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest of each of the last so many hours, days, … that have a snapshot.
    pub counts: PerPeriod<Count>,
    /// All within this span of the newest.
    pub within: CalendarSpan,
    /// The newest of each hour, day, … within this span of the newest snapshot (`last` is not used).
    pub within_each: PerPeriod<CalendarSpan>,
    /// All that bear every tag of one of these lists.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// True when no rule is set. Applying it would remove everything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Which lists of [`Policy::tags`] a snapshot with these tags satisfies, one bit each from the lowest.
    pub fn tag_lists_matching(&self, tags: &[String]) -> u64 {
        self.tags
            .iter()
            .enumerate()
            .filter(|(_, list)| has_tags(tags, list))
            .map(|(at, _)| u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0))
            .fold(0, |bits, bit| bits | bit)
    }

    /// Refuses what the policy cannot express.
    pub fn check(&self) -> Result<(), Error> {
        if self.tags.len() > 64 {
            let what = format!("{} lists of tags to keep are more than 64", self.tags.len());
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        Ok(())
    }

    /// Why a snapshot was kept, in restic's words.
    pub fn describe(&self, reason: Reason) -> String {
        let oldest = |is_oldest: bool| if is_oldest { "oldest " } else { "" };
        match reason {
            Reason::Future => "dated in the future".to_owned(),
            Reason::Tags(at) => {
                let list = self.tags.get(usize::from(at)).map(|list| list.join(", ")).unwrap_or_default();
                format!("has tags [{list}]")
            }
            Reason::Within => format!("within {}", self.within),
            Reason::Count { period, is_oldest } => format!("{}{} snapshot", oldest(is_oldest), period.name()),
            Reason::WithinEach { period, is_oldest } => {
                format!("{}{} within {}", oldest(is_oldest), period.name(), self.within_each.get(period))
            }
        }
    }
}

/// True when `tags` has all of `list`. An empty entry stands for "no tags at all".
pub fn has_tags(tags: &[String], list: &[String]) -> bool {
    for wanted in list {
        if wanted.is_empty() && tags.is_empty() {
            return true;
        }
        if !tags.contains(wanted) {
            return false;
        }
    }
    true
}

/// Why a snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its time lies ahead of now: some clock was wrong. It neither counts nor is removed by a policy.
    Future,
    /// It satisfies the list of tags of this number.
    Tags(u8),
    Within,
    Count {
        period: Period,
        /// Kept only because it is the oldest and the count was not used up.
        is_oldest: bool,
    },
    WithinEach {
        period: Period,
        is_oldest: bool,
    },
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = Vec::new();
        let mut spans = Vec::new();
        for period in Period::ALL {
            let name = if period == Period::Last { "latest" } else { period.name() };
            match self.counts.get(period) {
                Count::None => {}
                Count::Some(n) => counts.push(format!("{n} {name}")),
                Count::All => counts.push(format!("all {name}")),
            }
            let span = self.within_each.get(period);
            if !span.is_zero() {
                spans.push(format!("{name} snapshots within {span}"));
            }
        }
        let mut rules = Vec::new();
        if !counts.is_empty() {
            rules.push(format!("{} snapshots", counts.join(", ")));
        }
        rules.extend(spans);
        let mut text = rules.join(", ");
        let mut also = |rule: String| {
            if !text.is_empty() {
                text.push_str(" and ");
            }
            text.push_str(&rule);
        };
        if !self.tags.is_empty() {
            let lists: Vec<_> = self.tags.iter().map(|list| format!("[{}]", list.join(", "))).collect();
            also(format!("all snapshots with tags [{}]", lists.join(" ")));
        }
        if !self.within.is_zero() {
            also(format!("all snapshots within {} of the newest", self.within));
        }
        if text.is_empty() { f.write_str("remove") } else { write!(f, "keep {text}") }
    }
}
