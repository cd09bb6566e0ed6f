//! Which snapshots a policy keeps: pure functions over small keys, with restic's choice and restic's words.
//!
//! A snapshot dated in the future is the work of a wrong clock. Policies neither count it (else one bogus date
//! would push every real snapshot out of `--keep-last`) nor remove it; `forget ID` does. For the same reason
//! "the latest" is the newest that is not in the future. Nothing here deletes: a crash leaves nothing behind.

mod group;
mod policy;
mod span;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use crate::id::SnapshotId;

pub use group::{GroupBy, GroupKey, Groups};
pub use policy::{Count, PerPeriod, Period, Policy, Reason, has_tags};
pub use span::CalendarSpan;

/// What deciding needs to know of a snapshot; some 64 bytes, so that a million fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotKey {
    pub id: SnapshotId,
    pub time: Timestamp,
    /// The offset its time was written with: its hours and days are counted by it.
    pub offset: Offset,
    /// See [`Groups::number`].
    pub group: u32,
    /// See [`Policy::tag_lists_matching`].
    pub tag_lists: u64,
}

/// What becomes of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub id: SnapshotId,
    /// `None`: it is removed.
    pub kept: Option<Kept>,
}

/// Why a snapshot is kept, and what was left of the counts after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub reasons: Vec<Reason>,
    pub counters: PerPeriod<Count>,
}

/// Orders by group, newest first within each.
pub fn sort_by_group(keys: &mut [SnapshotKey]) {
    keys.sort_unstable_by_key(|key| (key.group, Reverse(key.time), key.id));
}

/// The newest snapshot that is not dated in the future; when all are, the newest.
pub fn latest(keys: impl IntoIterator<Item = SnapshotKey>, now: Timestamp) -> Option<SnapshotKey> {
    keys.into_iter().max_by_key(|key| (key.time <= now, key.time, Reverse(key.id)))
}

/// Decides on one group, whose keys are given newest first. `zone` is where the user is.
pub fn decide(
    group: &[SnapshotKey],
    policy: &Policy,
    now: Timestamp,
    zone: &TimeZone,
) -> impl Iterator<Item = Decision> {
    let in_time = group.iter().find(|key| key.time <= now);
    let oldest = group.last().map(|key| key.id);
    let mut state = State::new(policy, in_time, zone);
    group.iter().enumerate().map(move |(number, key)| {
        let reasons = if key.time > now {
            vec![Reason::Future]
        } else {
            state.reasons(key, number, Some(key.id) == oldest)
        };
        let kept = (!reasons.is_empty()).then_some(Kept { reasons, counters: state.counts });
        Decision { id: key.id, kept }
    })
}

/// What has been counted so far, from the newest on.
struct State<'a> {
    policy: &'a Policy,
    counts: PerPeriod<Count>,
    /// The hour, day, … of the last snapshot that was kept for it.
    counted: PerPeriod<Option<i64>>,
    counted_within: PerPeriod<Option<i64>>,
    after: Timestamp,
    after_each: PerPeriod<Timestamp>,
}

impl<'a> State<'a> {
    fn new(policy: &'a Policy, latest: Option<&SnapshotKey>, zone: &TimeZone) -> Self {
        let start_of = |span: CalendarSpan| {
            let Some(latest) = latest else { return Timestamp::MIN };
            if zone.to_offset(latest.time) == latest.offset {
                span.before(latest.time, zone)
            } else {
                span.before(latest.time, &latest.offset.to_time_zone())
            }
        };
        let mut after_each = PerPeriod::default();
        for period in Period::ALL {
            *after_each.get_mut(period) = start_of(*policy.within_each.get(period));
        }
        Self {
            policy,
            counts: policy.counts,
            counted: PerPeriod::default(),
            counted_within: PerPeriod::default(),
            after: start_of(policy.within),
            after_each,
        }
    }

    fn reasons(&mut self, key: &SnapshotKey, number: usize, is_last: bool) -> Vec<Reason> {
        let mut reasons: Vec<Reason> =
            (0..64_u8).filter(|at| key.tag_lists >> at & 1 == 1).map(Reason::Tags).collect();
        if !self.policy.within.is_zero() && key.time > self.after {
            reasons.push(Reason::Within);
        }
        let local = key.offset.to_datetime(key.time);
        for period in Period::ALL {
            if *self.counts.get(period) == Count::None {
                continue;
            }
            let bucket = bucket(period, local, number);
            let is_new = *self.counted.get(period) != Some(bucket);
            if is_new || is_last {
                *self.counted.get_mut(period) = Some(bucket);
                self.counts.get_mut(period).take_one();
                reasons.push(Reason::Count { period, is_oldest: !is_new });
            }
        }
        for period in Period::ALL {
            if self.policy.within_each.get(period).is_zero() || key.time <= *self.after_each.get(period) {
                continue;
            }
            let bucket = bucket(period, local, number);
            let is_new = *self.counted_within.get(period) != Some(bucket);
            if is_new || is_last {
                *self.counted_within.get_mut(period) = Some(bucket);
                reasons.push(Reason::WithinEach { period, is_oldest: !is_new });
            }
        }
        reasons
    }
}

/// A number that snapshots of the same hour, day, … share.
fn bucket(period: Period, local: DateTime, number: usize) -> i64 {
    let year = i64::from(local.year());
    let month = year * 100 + i64::from(local.month());
    let day = month * 100 + i64::from(local.day());
    match period {
        Period::Last => i64::try_from(number).unwrap_or(i64::MAX),
        Period::Hourly => day * 100 + i64::from(local.hour()),
        Period::Daily => day,
        Period::Weekly => {
            let week = local.date().iso_week_date();
            i64::from(week.year()) * 100 + i64::from(week.week())
        }
        Period::Monthly => month,
        Period::Yearly => year,
    }
}
