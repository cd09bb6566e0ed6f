//! The content of a lock file, as restic writes it, and what its age and process say about it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::holder::{Holder, Liveness, ProcessMark};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::id::LockId;

/// Not refreshed for this long, a lock counts as left behind (restic's limit).
pub const STALE_AFTER: Duration = Duration::from_secs(30 * 60);

/// Whether others may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Readers and writers that only add.
    Shared,
    /// Whoever removes.
    Exclusive,
}

/// Somebody's lock, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFile {
    pub id: LockId,
    pub time: Timestamp,
    pub is_exclusive: bool,
    pub holder: Holder,
}

#[derive(Serialize, Deserialize)]
struct LockJson {
    time: String,
    exclusive: bool,
    hostname: String,
    username: String,
    pid: i64,
    #[serde(default, skip_serializing_if = "is_zero")]
    uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    gid: u32,
    /// Ours alone; restic passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<ProcessMark>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The JSON of a lock taken by `holder` at `now`.
pub(super) fn encode(mode: LockMode, holder: &Holder, now: Timestamp, time: &Time) -> Result<Vec<u8>> {
    let json = LockJson {
        time: now.display_with_offset(time.zone.to_offset(now)).to_string(),
        exclusive: mode == LockMode::Exclusive,
        hostname: holder.hostname.clone(),
        username: holder.username.clone(),
        pid: holder.pid,
        uid: holder.uid,
        gid: holder.gid,
        process: holder.process.clone(),
    };
    serde_json::to_vec(&json).map_err(|cause| Error::damaged("cannot encode a lock").because(cause))
}

impl LockFile {
    /// Reads the JSON of the lock file `id`.
    pub fn decode(id: LockId, content: &[u8]) -> Result<Self> {
        let damaged = || Error::damaged(format!("lock {id} is not a lock"));
        let json: LockJson = serde_json::from_slice(content).map_err(|cause| damaged().because(cause))?;
        let time = json.time.parse().map_err(|cause| damaged().because(cause))?;
        let LockJson { exclusive, hostname, username, pid, uid, gid, process, .. } = json;
        let holder = Holder { hostname, username, pid, uid, gid, process };
        Ok(Self { id, time, is_exclusive: exclusive, holder })
    }

    pub(super) fn conflicts_with(&self, mode: LockMode) -> bool {
        self.is_exclusive || mode == LockMode::Exclusive
    }

    /// Whether its process, once on the host of `us`, is certainly no more.
    pub(super) fn is_dead(&self, us: &Holder, now: Timestamp) -> bool {
        match self.holder.liveness(us, self.time) {
            Liveness::Dead => true,
            Liveness::Unseen => self.holder.hostname == us.hostname && self.is_old(now),
            Liveness::Elsewhere | Liveness::Alive => false,
        }
    }

    /// Whether `unlock` may remove it: too old, or its process is dead.
    pub(super) fn is_stale(&self, us: &Holder, now: Timestamp) -> bool {
        self.is_old(now) || self.is_dead(us, now)
    }

    fn is_old(&self, now: Timestamp) -> bool {
        self.age(now) > STALE_AFTER
    }

    fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.time)).unwrap_or_default()
    }

    /// The lock for people: who, since when, which.
    pub fn describe(&self, now: Timestamp) -> String {
        let exclusively = if self.is_exclusive { "exclusively " } else { "" };
        let age = Duration::from_secs(self.age(now).as_secs());
        format!("{exclusively}by {self} ({age:?} ago)")
    }
}

impl fmt::Display for LockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, time, holder) = (self.id.short(), self.time, &self.holder);
        write!(f, "{holder}, lock {id} of {time:.0}")
    }
}
