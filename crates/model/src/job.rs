//! Jobs: one state machine, one set of counters, whatever is done and whoever asks.
//!
//! [`JobState::after`] is the only place that knows which state follows on which. Whoever stores a state asks it
//! first, so a state that cannot be reached is never written.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    Backup,
    Restore,
    /// Of a database or of Redis.
    DatabaseBackup,
    DatabaseRestore,
    /// Deletes snapshots whose time is over and gives their space back.
    Prune,
}

impl JobKind {
    pub const ALL: [Self; 5] =
        [Self::Backup, Self::Restore, Self::DatabaseBackup, Self::DatabaseRestore, Self::Prune];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::DatabaseBackup => "database_backup",
            Self::DatabaseRestore => "database_restore",
            Self::Prune => "prune",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Accepted.
    Created,
    /// Waits for a worker; also after a worker was lost.
    Queued,
    Running,
    /// Asked to stop; the worker has not yet done so.
    Canceling,
    Complete,
    /// There is a result that can be used, but items are missing in it.
    PartialComplete,
    Failed,
    Canceled,
    /// Nobody took the job in time.
    Expired,
    /// Nobody can take the job: its source or its client is gone.
    Unavailable,
}

/// What may happen to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It is put in line.
    Queue,
    /// A worker takes it.
    Claim,
    AskCancel,
    Finish(Outcome),
    /// Its worker has not been heard of for too long.
    LoseWorker,
    Expire,
    BecomeUnavailable,
}

/// How a job that ran has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    PartialComplete,
    Failed,
    Canceled,
}

impl JobState {
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Queued,
        Self::Running,
        Self::Canceling,
        Self::Complete,
        Self::PartialComplete,
        Self::Failed,
        Self::Canceled,
        Self::Expired,
        Self::Unavailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Canceling => "CANCELING",
            Self::Complete => "COMPLETE",
            Self::PartialComplete => "PARTIAL_COMPLETE",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Expired => "EXPIRED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The state after `event`; `None` where it cannot happen.
    pub fn after(self, event: JobEvent) -> Option<Self> {
        use JobEvent::{AskCancel, BecomeUnavailable, Claim, Expire, Finish, LoseWorker, Queue};
        Some(match (self, event) {
            (Self::Created, Queue) => Self::Queued,
            (Self::Created | Self::Queued, Claim) => Self::Running,
            (Self::Created | Self::Queued, AskCancel) => Self::Canceled,
            (Self::Created | Self::Queued, Expire) => Self::Expired,
            (Self::Created | Self::Queued, BecomeUnavailable) => Self::Unavailable,
            (Self::Running, AskCancel) => Self::Canceling,
            (Self::Running, LoseWorker) => Self::Queued,
            // A cancel that nobody is left to obey has happened.
            (Self::Canceling, LoseWorker) => Self::Canceled,
            // A job may be past its last cancel point when it is asked to stop: what it did is what counts.
            (Self::Running | Self::Canceling, Finish(outcome)) => outcome.state(),
            _ => return None,
        })
    }

    /// The states in which `event` can happen.
    pub fn before(event: JobEvent) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |state| state.after(event).is_some())
    }

    /// True when nothing can happen to the job any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Complete
                | Self::PartialComplete
                | Self::Failed
                | Self::Canceled
                | Self::Expired
                | Self::Unavailable
        )
    }
}

impl Outcome {
    pub fn state(self) -> JobState {
        match self {
            Self::Complete => JobState::Complete,
            Self::PartialComplete => JobState::PartialComplete,
            Self::Failed => JobState::Failed,
            Self::Canceled => JobState::Canceled,
        }
    }
}

/// Who had the idea.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    Manual,
    Schedule,
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Schedule => "SCHEDULE",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Manual, Self::Schedule].into_iter().find(|trigger| trigger.as_str() == text)
    }
}

/// How far a job is and what it moved. Totals are absent until they are known, and then fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCounters {
    pub bytes_total: Option<u64>,
    /// Entries of any kind.
    pub items_total: Option<u64>,
    /// Regular files.
    pub files_total: Option<u64>,
    /// Bytes of new and changed files read; in a restore: bytes written.
    pub bytes_done: u64,
    /// Plaintext bytes new to the vault; in a restore: plaintext bytes fetched from it.
    pub bytes_actual: u64,
    /// Entries handled, unchanged and failed ones included.
    pub items_done: u64,
    pub files_done: u64,
    /// Entries new or changed and stored; in a restore: written.
    pub items_actual: u64,
    pub files_actual: u64,
    /// Bytes handled, unchanged ones included: what progress is measured by.
    pub bytes_handled: u64,
}

/// Progress of a job that is done.
pub const FULL_PROGRESS: u32 = 10_000;

impl JobCounters {
    /// Handled bytes of all, in parts of ten thousand; at most 9999, because only the commit makes it whole.
    pub fn progress(&self) -> u32 {
        let Some(total) = self.bytes_total else { return 0 };
        if total == 0 {
            return 0;
        }
        let share = u128::from(self.bytes_handled) * u128::from(FULL_PROGRESS) / u128::from(total);
        u32::try_from(share).unwrap_or(FULL_PROGRESS).min(FULL_PROGRESS - 1)
    }

    /// KiB of `bytes_done` for each second, rounded down.
    pub fn speed(&self, running_millis: u64) -> u64 {
        let per_second = u128::from(self.bytes_done) * 1000 / 1024 / u128::from(running_millis.max(1));
        u64::try_from(per_second).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_to_a_job_that_has_ended() {
        let events = [
            JobEvent::Queue,
            JobEvent::Claim,
            JobEvent::AskCancel,
            JobEvent::Finish(Outcome::Complete),
            JobEvent::LoseWorker,
            JobEvent::Expire,
            JobEvent::BecomeUnavailable,
        ];
        for state in JobState::ALL {
            let is_dead = events.iter().all(|event| state.after(*event).is_none());
            assert_eq!(is_dead, state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn a_result_comes_only_to_jobs_that_ran() {
        let before: Vec<_> = JobState::before(JobEvent::Finish(Outcome::Complete)).collect();
        assert_eq!(before, [JobState::Running, JobState::Canceling]);
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.as_str()), Some(state));
        }
        assert_eq!(JobState::parse("running"), None);
    }

    #[test]
    fn progress_is_not_whole_before_the_commit() {
        let counters = JobCounters { bytes_total: Some(100), bytes_handled: 100, ..JobCounters::default() };
        assert_eq!(counters.progress(), 9999);
        assert_eq!(JobCounters { bytes_handled: 25, ..counters }.progress(), 2500);
        assert_eq!(JobCounters { bytes_handled: 250, ..counters }.progress(), 9999);
        assert_eq!(JobCounters::default().progress(), 0);
    }

    #[test]
    fn speed_is_kib_a_second_rounded_down() {
        let counters = JobCounters { bytes_done: 10_239, ..JobCounters::default() };
        assert_eq!(counters.speed(1000), 9);
        assert_eq!(counters.speed(0), 9_999);
    }
}
