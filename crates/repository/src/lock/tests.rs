//! Locks beside other locks: of the living, of the dead, of other hosts, and when the clock jumps.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::clock::Clock;
use crate::ctx::Cancel;
use crate::storage::{Body, FileId, MemStorage, Storage};

mod interop;

/// Lock files in memory, not sealed.
impl UnpackedFiles for MemStorage {
    /// Sealing gives every file a name of its own; here some white space does.
    fn save(&self, kind: FileKind, content: &[u8]) -> Result<Id> {
        static SAVED: AtomicU64 = AtomicU64::new(0);
        let number = SAVED.fetch_add(1, Ordering::SeqCst);
        let mut unique = content.to_vec();
        if !content.is_empty() {
            unique.extend((0..u64::BITS).map(|bit| if number >> bit & 1 == 0 { b' ' } else { b'\n' }));
        }
        let id = Id::of(&unique);
        self.put(FileId::new(kind, id), &Body::from_bytes(unique))?;
        Ok(id)
    }

    fn load(&self, kind: FileKind, id: Id) -> Result<Option<Vec<u8>>> {
        Ok(self.contents().get(&FileId::new(kind, id)).map(|content| content.to_vec()))
    }

    fn exists(&self, kind: FileKind, id: Id) -> Result<bool> {
        Ok(self.contents().contains_key(&FileId::new(kind, id)))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        Storage::list(self, kind, &mut |stored| {
            all.push(stored);
            true
        })?;
        Ok(all)
    }

    fn delete(&self, kind: FileKind, id: Id) -> Result<bool> {
        Ok(Storage::delete(self, FileId::new(kind, id)).is_ok())
    }
}

/// A clock and a pace that move only when told, or when somebody waits.
#[derive(Default)]
struct FakeTime {
    clock_ms: AtomicU64,
    uptime_ms: AtomicU64,
    waits: Mutex<Vec<Duration>>,
}

impl FakeTime {
    fn pass(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap();
        self.clock_ms.fetch_add(ms, Ordering::SeqCst);
        self.uptime_ms.fetch_add(ms, Ordering::SeqCst);
    }

    fn set_clock_forward(&self, duration: Duration) {
        self.clock_ms.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for FakeTime {
    fn now(&self) -> Timestamp {
        let ms = self.clock_ms.load(Ordering::SeqCst);
        Timestamp::from_millisecond(1_700_000_000_000 + i64::try_from(ms).unwrap()).unwrap()
    }
}

impl Pace for FakeTime {
    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime_ms.load(Ordering::SeqCst))
    }

    fn wait(&self, duration: Duration, cancels: &[&Cancel]) -> bool {
        self.waits.lock().unwrap().push(duration);
        self.pass(duration);
        !cancels.iter().any(|cancel| cancel.is_cancelled())
    }
}

const MINUTE: Duration = Duration::from_secs(60);

struct Setup {
    files: MemStorage,
    fake: Arc<FakeTime>,
    ctx: Ctx,
}

fn setup() -> Setup {
    Setup { files: MemStorage::new(), fake: Arc::default(), ctx: Ctx::default() }
}

fn holder() -> Holder {
    Holder::of_this_process("this-host", "me")
}

impl Setup {
    fn time(&self) -> Time {
        Time { clock: Arc::<FakeTime>::clone(&self.fake), zone: TimeZone::UTC }
    }

    fn options(&self, mode: LockMode) -> LockOptions {
        let pace = Arc::<FakeTime>::clone(&self.fake);
        LockOptions { mode, holder: holder(), retry_for: Duration::ZERO, time: self.time(), pace }
    }

    fn acquire(&self, options: LockOptions) -> Result<LockGuard> {
        LockGuard::acquire(Arc::new(self.files.clone()), options, &self.ctx)
    }

    fn shared(&self) -> Result<LockGuard> {
        self.acquire(self.options(LockMode::Shared))
    }

    fn exclusive(&self) -> Result<LockGuard> {
        self.acquire(self.options(LockMode::Exclusive))
    }

    /// A lock of somebody else, written a while ago.
    fn foreign(&self, mode: LockMode, holder: &Holder, age: Duration) -> LockId {
        let written = self.fake.now().checked_sub(age).unwrap();
        let content = file::encode(mode, holder, written, &self.time()).unwrap();
        LockId::new(self.files.save(FileKind::Lock, &content).unwrap())
    }

    fn locks(&self) -> Vec<Id> {
        UnpackedFiles::list(&self.files, FileKind::Lock).unwrap().iter().map(|stored| stored.id).collect()
    }
}

fn elsewhere() -> Holder {
    Holder { hostname: "other-host".to_owned(), process: None, ..holder() }
}

/// The number of a process that has just ended.
fn dead_pid() -> i64 {
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id().into()
}

#[test]
fn shared_locks_live_together_and_an_exclusive_one_alone() {
    let setup = setup();
    let first = setup.shared().unwrap();
    let second = setup.shared().unwrap();
    assert_eq!(setup.exclusive().err().unwrap().kind, ErrorKind::Locked);
    assert_eq!(setup.locks().len(), 2, "the refused one left nothing behind");
    drop(first);
    second.release().unwrap();
    let exclusive = setup.exclusive().unwrap();
    assert_eq!(setup.shared().err().unwrap().kind, ErrorKind::Locked);
    assert_eq!(setup.exclusive().err().unwrap().kind, ErrorKind::Locked);
    exclusive.assert_held().unwrap();
}

#[test]
fn the_refusal_names_the_holder() {
    let setup = setup();
    setup.foreign(LockMode::Exclusive, &elsewhere(), 3 * MINUTE);
    let text = setup.shared().err().unwrap().to_string();
    for part in ["already locked exclusively", "other-host", "by me", &holder().pid.to_string(), "180s ago"] {
        assert!(text.contains(part), "{part:?} is missing in {text:?}");
    }
}

#[test]
fn a_lock_file_is_read_by_both_programs() {
    let setup = setup();
    let guard = setup.shared().unwrap();
    let content = UnpackedFiles::load(&setup.files, FileKind::Lock, guard.id().id()).unwrap().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
    assert_eq!(json["hostname"], "this-host");
    assert_eq!(json["exclusive"], false);
    assert_eq!(json["pid"], holder().pid);
    let restic = br#"{"time":"2022-08-25T14:36:02.123456789+02:00","exclusive":true,"hostname":"h",
        "username":"root","pid":4711}"#;
    let read = LockFile::decode(guard.id(), restic).unwrap();
    assert_eq!(read.time, "2022-08-25T12:36:02.123456789Z".parse().unwrap());
    assert!(read.is_exclusive);
    assert_eq!((read.holder.pid, read.holder.uid, read.holder.gid), (4711, 0, 0));
}

#[test]
fn a_lock_of_a_dead_process_of_this_host_is_removed_and_reported() {
    let setup = setup();
    for process in [None, holder().process] {
        let dead = Holder { pid: dead_pid(), process, ..holder() };
        let left = setup.foreign(LockMode::Exclusive, &dead, MINUTE);
        let guard = setup.exclusive().unwrap();
        assert_eq!(guard.removed().iter().map(|lock| lock.id).collect::<Vec<_>>(), [left]);
        assert_eq!(setup.locks(), [guard.id().id()]);
    }
}

#[test]
fn a_dead_process_number_on_another_host_proves_nothing() {
    let setup = setup();
    setup.foreign(LockMode::Exclusive, &Holder { pid: dead_pid(), ..elsewhere() }, MINUTE);
    assert_eq!(setup.shared().err().unwrap().kind, ErrorKind::Locked);
}

#[test]
fn a_container_that_shares_the_host_name_is_not_taken_for_dead() {
    let setup = setup();
    let mut hidden = Holder { pid: dead_pid(), ..holder() };
    hidden.process.as_mut().unwrap().rename_namespace("pid:[1]");
    setup.foreign(LockMode::Exclusive, &hidden, 29 * MINUTE);
    assert_eq!(setup.shared().err().unwrap().kind, ErrorKind::Locked);
    setup.fake.pass(2 * MINUTE);
    assert_eq!(setup.shared().unwrap().removed().len(), 1, "not refreshed for half an hour");
}

#[test]
fn a_reused_process_number_does_not_keep_a_lock_alive() {
    let setup = setup();
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = i64::from(child.id());
    // One that says which process it was, and one of restic's from long before the process began.
    let mut marked = Holder { pid, ..holder() };
    marked.process.as_mut().unwrap().restart();
    setup.foreign(LockMode::Exclusive, &marked, Duration::ZERO);
    setup.foreign(LockMode::Exclusive, &Holder { pid, process: None, ..holder() }, Duration::ZERO);
    let taken = setup.exclusive().map(|guard| guard.removed().len());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(taken.unwrap(), 2);
}

#[test]
fn a_damaged_lock_is_named_and_only_remove_all_takes_it_away() {
    let setup = setup();
    let id = setup.files.save(FileKind::Lock, b"not a lock").unwrap();
    let error = setup.shared().err().unwrap();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    let stale = remove_stale(&setup.files, &holder(), &setup.time(), &setup.ctx).unwrap();
    assert_eq!((stale.removed, stale.unreadable), (0, vec![LockId::new(id)]));
    assert_eq!(remove_all(&setup.files, &setup.ctx).unwrap().removed, 1);
    setup.shared().unwrap();
}

#[test]
fn an_empty_lock_file_is_passed_over() {
    let setup = setup();
    setup.files.save(FileKind::Lock, b"").unwrap();
    setup.exclusive().unwrap();
}

#[test]
fn unlock_removes_what_is_stale_and_keeps_what_may_live() {
    let setup = setup();
    setup.foreign(LockMode::Shared, &elsewhere(), 31 * MINUTE);
    setup.foreign(LockMode::Shared, &Holder { pid: dead_pid(), ..holder() }, MINUTE);
    let live = setup.foreign(LockMode::Shared, &elsewhere(), 29 * MINUTE);
    let guard = setup.shared().unwrap();
    setup.foreign(LockMode::Shared, &Holder { pid: dead_pid(), ..holder() }, MINUTE);
    let summary = remove_stale(&setup.files, &holder(), &setup.time(), &setup.ctx).unwrap();
    assert_eq!(summary.removed, 2);
    let mut kept: Vec<_> = summary.kept.iter().map(|lock| lock.id).collect();
    kept.sort_unstable();
    let mut expected = [live, guard.id()];
    expected.sort_unstable();
    assert_eq!(kept, expected);
}

#[test]
fn a_lock_from_before_the_last_start_is_dead_and_one_of_a_namesake_is_not() {
    let setup = setup();
    let mut before = Holder { pid: dead_pid(), ..holder() };
    let ours = before.process.as_mut().unwrap();
    let machine = ours.machine().to_owned();
    ours.of_another_boot("another machine");
    let namesake = setup.foreign(LockMode::Shared, &before, MINUTE);
    assert_eq!(setup.exclusive().err().unwrap().kind, ErrorKind::Locked);
    Storage::delete(&setup.files, namesake.into()).unwrap();
    before.process.as_mut().unwrap().of_another_boot(&machine);
    setup.foreign(LockMode::Shared, &before, MINUTE);
    // A machine without a name of its own cannot be told from others.
    assert_eq!(setup.exclusive().is_ok(), !machine.is_empty());
}

#[test]
fn two_that_want_to_be_alone_are_never_both_let_in() {
    let together = std::sync::Barrier::new(2);
    let setup = setup();
    let mut taken = 0;
    for _ in 0..100 {
        let results: Vec<_> = std::thread::scope(|scope| {
            let race = || {
                together.wait();
                setup.exclusive().ok()
            };
            let racers = [scope.spawn(race), scope.spawn(race)];
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners = results.iter().flatten().count();
        assert!(winners <= 1);
        taken += winners;
        drop(results);
        assert_eq!(setup.locks(), [], "both are gone");
    }
    println!("{taken} of 100 races had a winner");
}

#[test]
fn a_retry_waits_until_the_lock_is_free_or_time_is_up() {
    let setup = setup();
    let held = setup.exclusive().unwrap();
    setup.fake.waits.lock().unwrap().clear();
    let options = LockOptions { retry_for: 2 * MINUTE, ..setup.options(LockMode::Shared) };
    assert_eq!(setup.acquire(options.clone()).err().unwrap().kind, ErrorKind::Locked);
    let waits: Vec<_> = setup.fake.waits.lock().unwrap().iter().map(Duration::as_secs).collect();
    assert_eq!(waits, [5, 10, 20, 40, 45]);
    setup.ctx.cancel.cancel();
    assert_eq!(setup.acquire(options).err().unwrap().kind, ErrorKind::Cancelled);
    drop(held);
    assert_eq!(setup.locks(), []);
}

#[test]
fn a_refresh_replaces_the_lock_file() {
    let setup = setup();
    let guard = setup.shared().unwrap();
    let before = guard.id();
    setup.fake.pass(5 * MINUTE);
    guard.refresh().unwrap();
    assert_ne!(guard.id(), before);
    assert_eq!(setup.locks(), [guard.id().id()]);
    guard.assert_held().unwrap();
}

#[test]
fn the_refresher_writes_the_lock_anew_every_five_minutes() {
    let setup = setup();
    let guard = setup.shared().unwrap();
    let before = guard.id();
    // Each wait moves the time on; another hour, and the lock would long be stale.
    guard.keep_while(&setup.ctx, || {
        let start = setup.fake.uptime();
        while setup.fake.uptime() < start + 60 * MINUTE {
            std::thread::yield_now();
        }
    });
    assert_ne!(guard.id(), before);
    assert_eq!(setup.locks(), [guard.id().id()]);
}

/// Hazard row 7: `unlock` elsewhere took a live lock away.
#[test]
fn a_lock_removed_by_others_stops_the_next_commit() {
    let setup = setup();
    let guard = setup.shared().unwrap();
    guard.assert_held().unwrap();
    remove_all(&setup.files, &setup.ctx).unwrap();
    assert_eq!(guard.assert_held().unwrap_err().kind, ErrorKind::LockLost);
    assert_eq!(guard.refresh().unwrap_err().kind, ErrorKind::LockLost);
    assert_eq!(setup.locks(), [], "a lost lock is not put back");
}

/// Hazard rows 5 and 7: a laptop slept through the lifetime of its lock and others took over.
#[test]
fn a_lock_taken_for_stale_during_a_pause_stops_the_next_commit() {
    for is_sleep in [true, false] {
        let setup = setup();
        let guard = setup.shared().unwrap();
        if is_sleep {
            setup.fake.pass(31 * MINUTE);
        } else {
            setup.fake.set_clock_forward(31 * MINUTE);
        }
        // Another host, to which our process numbers mean nothing.
        assert_eq!(remove_stale(&setup.files, &elsewhere(), &setup.time(), &setup.ctx).unwrap().removed, 1);
        let exclusive = setup.exclusive().unwrap();
        assert_eq!(guard.assert_held().unwrap_err().kind, ErrorKind::LockLost);
        exclusive.assert_held().unwrap();
        drop(guard);
        exclusive.assert_held().unwrap();
    }
}

#[test]
fn a_lock_nobody_touched_during_a_pause_is_written_anew() {
    let setup = setup();
    let guard = setup.exclusive().unwrap();
    let before = guard.id();
    setup.fake.pass(60 * MINUTE);
    guard.assert_held().unwrap();
    assert_ne!(guard.id(), before);
    let elsewhere = remove_stale(&setup.files, &elsewhere(), &setup.time(), &setup.ctx).unwrap();
    assert_eq!(elsewhere.removed, 0);
}

#[test]
fn a_cancelled_wait_leaves_no_lock_behind() {
    let setup = setup();
    setup.ctx.cancel.cancel();
    assert_eq!(setup.shared().err().unwrap().kind, ErrorKind::Cancelled);
    assert_eq!(setup.locks(), []);
}
