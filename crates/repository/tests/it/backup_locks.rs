//! A backup whose lock is lost on the way commits nothing any more.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use lifeboat_repository::clock::Time;
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::lock::{Holder, LockGuard, LockMode, LockOptions};
use lifeboat_repository::prune::{MaxUnused, PruneOptions};
use lifeboat_repository::repository::Repository;
use lifeboat_repository::source::{EntryError, Event, Source};
use lifeboat_repository::storage::{FileKind, MemStorage, Storage};
use lifeboat_repository::{Ctx, ErrorKind, Result};
use lifeboat_testkit::repository::init;
use lifeboat_testkit::storage::{Call, FaultStorage, Op};
use lifeboat_testkit::time::FakeTime;

use crate::made::{self, Files, MadeSource, backup, contents, small_packs};
use crate::vault;

/// A source during which something happens.
struct Eventful<F> {
    files: MadeSource,
    left: usize,
    event: Option<F>,
}

impl<F: FnOnce()> Source for Eventful<F> {
    fn next_event(&mut self, ctx: &Ctx) -> Option<Result<Event, EntryError>> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => {
                if let Some(event) = self.event.take() {
                    event();
                }
            }
        }
        self.files.next_event(ctx)
    }
}

fn lock_in(repository: &Repository, time: &Arc<FakeTime>) -> LockGuard {
    let options = LockOptions {
        mode: LockMode::Shared,
        holder: Holder::of_this_process("test", "test"),
        retry_for: Duration::ZERO,
        time: Time { clock: Arc::<FakeTime>::clone(time) as _, zone: TimeZone::UTC },
        pace: Arc::<FakeTime>::clone(time),
    };
    repository.lock(options, &Ctx::default()).unwrap()
}

fn remove_locks(vault: &MemStorage) {
    for lock in vault::files(vault, FileKind::Lock) {
        vault.delete(lock).unwrap();
    }
}

fn new_vault() -> MemStorage {
    let vault = MemStorage::new();
    init(Arc::new(vault.clone()));
    vault
}

/// Backs up while `event` happens after a third of the walk.
fn backup_during(
    vault: &MemStorage,
    files: &Files,
    event: impl FnOnce(&FakeTime),
) -> Result<lifeboat_repository::backup::BackupReport> {
    let repository = made::open(Arc::new(vault.clone()), small_packs());
    let time = Arc::new(FakeTime::default());
    let lock = lock_in(&repository, &time);
    let event = Some(|| event(&time));
    let mut source = Eventful { files: MadeSource::new(files), left: files.len() / 3, event };
    repository.backup(&mut source, made::options(None), &lock, &Ctx::default())
}

const LONG: Duration = Duration::from_secs(3 * 60 * 60);

#[test]
fn a_backup_whose_lock_was_removed_makes_no_index_and_no_snapshot() {
    let files = made::files(20, 60, 500);
    for is_late in [false, true] {
        let vault = new_vault();
        let ran = backup_during(&vault, &files, |time| {
            // A machine that slept, or a clock that was set: others took the lock for stale.
            if is_late {
                time.pass(LONG);
            }
            remove_locks(&vault);
        });
        assert_eq!(ran.unwrap_err().kind, ErrorKind::LockLost);
        assert!(vault::files(&vault, FileKind::Snapshot).is_empty());
        // What was indexed before the loss stays; nothing came after it.
        vault::assert_sound(&vault);
        assert!(vault::files(&vault, FileKind::Lock).is_empty());
    }
}

#[test]
fn a_clock_that_jumped_costs_nothing_while_nobody_took_the_lock() {
    let files = made::files(21, 60, 500);
    let jumps: [fn(&FakeTime); 2] = [|time| time.pass(LONG), |time| time.set_clock_forward(LONG)];
    for jump in jumps {
        let vault = new_vault();
        let report = backup_during(&vault, &files, jump).unwrap();
        assert_eq!(contents(&vault::open(&vault), report.tree.unwrap()), files);
        assert!(vault::files(&vault, FileKind::Lock).is_empty());
    }
}

fn is_commit(call: &Call) -> bool {
    call.op == Op::Put && matches!(call.kind, Some(FileKind::Index | FileKind::Snapshot))
}

fn is_question(call: &Call) -> bool {
    *call == Call { op: Op::Size, kind: Some(FileKind::Lock) }
}

#[test]
fn a_lock_lost_at_any_call_stops_the_next_commit() {
    let files = made::files(22, 36, 1000);
    let (mut stopped, mut completed) = (0, 0);
    for number in 0.. {
        let vault = new_vault();
        let faulty = FaultStorage::new(vault.clone());
        let repository = made::open(Arc::new(faulty.clone()), small_packs());
        let lock = vault::lock(&repository, LockMode::Shared).unwrap();
        faulty.forget_calls();
        faulty.before_call(number, {
            let vault = vault.clone();
            move || remove_locks(&vault)
        });
        let ran = made::backup_under(&repository, &files, None, &lock, &Ctx::default());
        let calls = faulty.calls();
        if calls.len() <= number {
            ran.unwrap();
            break;
        }
        let (before, after) = calls.split_at(number);
        // A commit that had its answer already may still come; the answer is as old as one call.
        let count = |calls: &[Call], is: fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
        let answered = count(before, is_question) - count(before, is_commit);
        assert!(count(after, is_commit) <= answered, "lost at call {number}: {calls:?}");
        match ran {
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::LockLost, "lost at call {number}");
                assert!(vault::files(&vault, FileKind::Snapshot).is_empty());
                stopped += 1;
            }
            Ok(_) => completed += 1,
        }
        drop(lock);
        vault::assert_sound(&vault);
        let report = backup(&repository, &files, None).unwrap();
        assert_eq!(contents(&vault::open(&vault), report.tree.unwrap()), files);
    }
    assert!(stopped > 20, "{stopped} were stopped");
    assert_eq!(completed, 1, "only when the snapshot was on its way");
}

fn forget_and_prune(vault: &MemStorage) -> Result<()> {
    let repository = vault::open(vault);
    let lock = vault::lock(&repository, LockMode::Exclusive)?;
    let ids: Vec<_> =
        vault::files(vault, FileKind::Snapshot).iter().map(|file| SnapshotId::new(file.id)).collect();
    assert!(repository.delete_snapshots(&ids, &lock, &Ctx::default())?.is_empty());
    let options = PruneOptions { max_unused: MaxUnused::Bytes(0), ..PruneOptions::default() };
    assert!(repository.prune(&options, &lock, &Ctx::default())?.is_complete());
    Ok(())
}

/// Hazard row 4: the backup found all it has in the vault, and relies on it, when somebody forgets and prunes.
#[test]
fn a_prune_waits_for_the_backup_or_stops_it_but_never_takes_what_it_relies_on() {
    let files = made::files(23, 40, 600);
    for is_unlocked in [false, true] {
        let vault = new_vault();
        let first = backup(&made::open(Arc::new(vault.clone()), small_packs()), &files, None).unwrap();
        let ran = backup_during(&vault, &files, |_| {
            if is_unlocked {
                remove_locks(&vault);
                forget_and_prune(&vault).unwrap();
                assert!(vault::files(&vault, FileKind::Pack).is_empty(), "all of it was needed no more");
            } else {
                assert_eq!(forget_and_prune(&vault).unwrap_err().kind, ErrorKind::Locked);
            }
        });
        if is_unlocked {
            assert_eq!(ran.unwrap_err().kind, ErrorKind::LockLost);
            assert!(vault::files(&vault, FileKind::Snapshot).is_empty());
        } else {
            let report = ran.unwrap();
            assert_eq!((report.tree, report.data_blobs), (first.tree, 0));
            assert_eq!(contents(&vault::open(&vault), report.tree.unwrap()), files);
        }
        vault::assert_sound(&vault);
    }
}

/// Hazard row 4, the other orders: lock, index and prune in any sequence, through a repository opened long ago.
#[test]
fn a_prune_at_any_moment_before_the_backup_begins_is_noticed() {
    let files = made::files(24, 40, 600);
    let moments = ["before it is opened", "before its index is read", "before it is locked", "never"];
    for moment in moments {
        let vault = new_vault();
        backup(&made::open(Arc::new(vault.clone()), small_packs()), &files, None).unwrap();
        let prune_at = |now: &str| {
            if now == moment {
                forget_and_prune(&vault).unwrap()
            }
        };
        prune_at("before it is opened");
        let repository = made::open(Arc::new(vault.clone()), small_packs());
        prune_at("before its index is read");
        repository.load_index(&Ctx::default()).unwrap();
        prune_at("before it is locked");
        let lock = vault::lock(&repository, LockMode::Shared).unwrap();
        assert_eq!(forget_and_prune(&vault).unwrap_err().kind, ErrorKind::Locked);
        let report = made::backup_under(&repository, &files, None, &lock, &Ctx::default()).unwrap();
        assert_eq!(report.data_blobs > 0, moment != "never", "{moment}");
        drop(lock);
        assert_eq!(contents(&vault::open(&vault), report.tree.unwrap()), files, "{moment}");
        vault::assert_sound(&vault);
    }
}
