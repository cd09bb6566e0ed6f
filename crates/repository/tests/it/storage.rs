//! The storages and their wrappers: the contract each must keep, and what each wrapper adds.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_repository::Cancel;
use lifeboat_repository::clock::{Pace, RealPace};
use lifeboat_repository::id::Id;
use lifeboat_repository::storage::{
    Body, Cache, FileId, FileKind, Interruptible, LocalStorage, MemStorage, RateSource, Rates, Retry,
    RetryPolicy, Storage, StorageError, StorageErrorKind, Stored, Throttle, list_ids,
};
use lifeboat_testkit::storage::{Fault, FaultStorage, Op, storage_suite};
use lifeboat_testkit::time::FakeTime;

#[test]
fn mem_keeps_the_contract() {
    storage_suite(|| Box::new(MemStorage::new()));
}

#[test]
fn local_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    storage_suite(|| {
        let place = tempfile::tempdir_in(&folder).unwrap().keep();
        Box::new(LocalStorage::new(place.join("vault")))
    });
}

#[test]
fn retry_keeps_the_contract() {
    storage_suite(|| Box::new(retry(MemStorage::new(), &Arc::default(), &Cancel::default())));
}

#[test]
fn throttle_keeps_the_contract() {
    storage_suite(|| Box::new(throttle(MemStorage::new(), &Arc::default(), &Cancel::default())));
}

#[test]
fn cache_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    storage_suite(|| {
        let place = tempfile::tempdir_in(&folder).unwrap().keep();
        Box::new(Cache::new(MemStorage::new(), place))
    });
}

#[test]
fn interruptible_keeps_the_contract() {
    storage_suite(|| Box::new(Interruptible::new(Arc::new(MemStorage::new()), Cancel::default())));
}

#[test]
fn all_wrappers_together_keep_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    storage_suite(|| {
        let (fake, cancel) = (Arc::default(), Cancel::default());
        let inner = Interruptible::new(Arc::new(MemStorage::new()), cancel.clone());
        let inner = throttle(retry(inner, &fake, &cancel), &fake, &cancel);
        Box::new(Cache::new(inner, tempfile::tempdir_in(&folder).unwrap().keep()))
    });
}

fn retry<S: Storage>(inner: S, fake: &Arc<FakeTime>, cancel: &Cancel) -> Retry<S> {
    let pace = Arc::<FakeTime>::clone(fake);
    Retry::new(inner, RetryPolicy { retries: 3, ..RetryPolicy::default() }, pace, cancel.clone())
}

fn throttle<S: Storage>(inner: S, fake: &Arc<FakeTime>, cancel: &Cancel) -> Throttle<S> {
    let rates = Rates { upload: NonZeroU64::new(1000), download: NonZeroU64::new(2000) };
    Throttle::new(inner, Arc::new(rates), Arc::<FakeTime>::clone(fake), cancel.clone())
}

fn file(kind: FileKind, content: &[u8]) -> (FileId, Body) {
    (FileId::new(kind, Id::of(content)), Body::from_bytes(content.to_vec()))
}

fn listed(storage: &dyn Storage, kind: FileKind) -> Result<Vec<Id>, StorageErrorKind> {
    list_ids(storage, kind).map_err(|error| error.kind)
}

/// Hazard rows 3 and 13: whatever goes wrong once, the call is made again and everything is in its place.
#[test]
fn each_call_survives_each_passing_fault() {
    for fault in [Fault::Error, Fault::ErrorButDone, Fault::Short] {
        let mem = MemStorage::new();
        let faulty = FaultStorage::new(mem.clone());
        let storage = retry(faulty.clone(), &Arc::default(), &Cancel::default());
        let (file, body) = file(FileKind::Pack, b"content");
        for (file, body) in [(file, &body), (FileId::CONFIG, &Body::from_bytes(b"config".to_vec()))] {
            if fault == Fault::Short && file == FileId::CONFIG {
                continue; // a storage that can leave half a config needs `init` to be run anew
            }
            faulty.fail_call(0, fault);
            storage.put(file, body).unwrap();
        }
        assert_eq!(**mem.contents().get(&file).unwrap(), b"content");
        if fault != Fault::Short {
            faulty.fail_call(0, fault);
            assert_eq!(storage.read(file, 2..4).unwrap(), b"nt");
        }
        faulty.fail_call(0, fault);
        assert_eq!(storage.size(file).unwrap(), 7);
        faulty.fail_call(0, fault);
        storage.delete(file).unwrap();
        assert_eq!(mem.contents().len(), usize::from(fault != Fault::Short));
        assert_eq!(faulty.faults(), if fault == Fault::Short { 3 } else { 5 });
    }
}

#[test]
fn a_listing_is_tried_again_only_until_a_file_was_visited() {
    let faulty = FaultStorage::new(MemStorage::new());
    let storage = retry(faulty.clone(), &Arc::default(), &Cancel::default());
    let (file, body) = file(FileKind::Pack, b"content");
    storage.put(file, &body).unwrap();
    faulty.fail_call(0, Fault::Error);
    assert_eq!(listed(&storage, FileKind::Pack), Ok(vec![file.id]));
    faulty.fail_call(0, Fault::ErrorButDone);
    assert_eq!(listed(&storage, FileKind::Pack), Err(StorageErrorKind::Io), "one file was visited");
}

#[test]
fn pauses_double_up_to_a_limit_and_end_with_the_error() {
    let (faulty, fake) = (FaultStorage::new(MemStorage::new()), Arc::<FakeTime>::default());
    faulty.fail_from(0, Fault::Error);
    let policy = RetryPolicy {
        retries: 4,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(3),
    };
    let storage = Retry::new(faulty.clone(), policy, Arc::<FakeTime>::clone(&fake), Cancel::default());
    assert_eq!(storage.size(FileId::CONFIG).unwrap_err().kind, StorageErrorKind::Io);
    assert_eq!(fake.take_waits(), [1, 2, 3, 3].map(Duration::from_secs));
    assert_eq!(faulty.count(Op::Size, FileKind::Config), 5);
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    let faulty = FaultStorage::new(MemStorage::new());
    let storage = retry(faulty.clone(), &Arc::default(), &Cancel::default());
    let (file, body) = file(FileKind::Pack, b"content");
    assert_eq!(storage.delete(file).unwrap_err().kind, StorageErrorKind::NotFound);
    faulty.fail_call(0, Fault::Full);
    assert_eq!(storage.put(file, &body).unwrap_err().kind, StorageErrorKind::Full);
    assert_eq!((faulty.count(Op::Delete, FileKind::Pack), faulty.count(Op::Put, FileKind::Pack)), (1, 1));
}

#[test]
fn a_second_config_is_no_success_of_a_retry() {
    let faulty = FaultStorage::new(MemStorage::new());
    let storage = retry(faulty.clone(), &Arc::default(), &Cancel::default());
    storage.put(FileId::CONFIG, &Body::from_bytes(b"theirs".to_vec())).unwrap();
    faulty.fail_call(0, Fault::Error);
    let refused = storage.put(FileId::CONFIG, &Body::from_bytes(b"mine..".to_vec())).unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::AlreadyExists);
}

#[test]
fn a_pause_ends_with_the_cancellation() {
    let faulty = FaultStorage::new(MemStorage::new());
    faulty.fail_from(0, Fault::Error);
    let cancel = Cancel::default();
    let policy = RetryPolicy { first_pause: Duration::from_secs(100_000), ..RetryPolicy::default() };
    let storage = Retry::new(faulty, policy, Arc::new(RealPace), cancel.clone());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| storage.size(FileId::CONFIG).unwrap_err().kind);
        cancel.cancel();
        assert_eq!(waiting.join().unwrap(), StorageErrorKind::Cancelled);
    });
}

#[test]
fn a_throttled_storage_moves_so_many_bytes_a_second() {
    let fake = Arc::<FakeTime>::default();
    let storage = throttle(MemStorage::new(), &fake, &Cancel::default());
    let (file, body) = file(FileKind::Pack, &[7; 500]);
    for _ in 0..10 {
        storage.put(file, &body).unwrap();
    }
    assert_eq!(fake.uptime(), Duration::from_secs(5), "ten at 1000 bytes a second");
    for _ in 0..8 {
        storage.read(file, 0..500).unwrap();
    }
    assert_eq!(fake.uptime(), Duration::from_secs(7), "eight at 2000");
    fake.pass(Duration::from_secs(60));
    storage.put(file, &body).unwrap();
    assert_eq!(fake.uptime(), Duration::from_millis(67_500), "time that nobody used is gone");
    let lock = FileId::new(FileKind::Lock, file.id);
    storage.put(lock, &body).unwrap();
    assert_eq!(fake.uptime(), Duration::from_millis(67_500), "locks pass");
}

/// So many bytes a second until each of these moments, and then as many as can be.
struct Stepped(Arc<FakeTime>, Vec<(u64, u64)>);

impl RateSource for Stepped {
    fn rates(&self) -> (Rates, Duration) {
        let now = self.0.uptime();
        let step = self.1.iter().find(|(until, _)| Duration::from_secs(*until) > now);
        let rate = step.and_then(|(_, rate)| NonZeroU64::new(*rate));
        let left = step.map_or(Duration::MAX, |(until, _)| Duration::from_secs(*until) - now);
        (Rates { upload: rate, download: rate }, left)
    }
}

#[test]
fn a_rate_that_changes_counts_at_once_for_who_waits_already() {
    let fake = Arc::<FakeTime>::default();
    let rates = Arc::new(Stepped(Arc::clone(&fake), vec![(10, 100), (20, 400)]));
    let storage = Throttle::new(MemStorage::new(), rates, Arc::<FakeTime>::clone(&fake), Cancel::default());
    let (first, body) = file(FileKind::Pack, &[7; 3000]);
    storage.put(first, &body).unwrap();
    assert_eq!(fake.uptime(), Duration::from_secs(15), "1000 bytes in 10 seconds and 2000 in 5");
    storage.put(first, &body).unwrap();
    assert_eq!(fake.uptime(), Duration::from_secs(20), "2000 in 5 seconds, and then there is no limit");
    storage.put(first, &body).unwrap();
    assert_eq!(fake.uptime(), Duration::from_secs(20));
}

#[test]
fn a_throttled_call_ends_with_the_cancellation() {
    let cancel = Cancel::default();
    let storage = throttle(MemStorage::new(), &Arc::default(), &cancel);
    let (file, body) = file(FileKind::Pack, &[7; 500]);
    cancel.cancel();
    assert_eq!(storage.put(file, &body).unwrap_err().kind, StorageErrorKind::Cancelled);
}

struct Cached {
    folder: tempfile::TempDir,
    mem: MemStorage,
    calls: FaultStorage,
    storage: Cache<FaultStorage>,
}

fn cached() -> Cached {
    let folder = tempfile::tempdir().unwrap();
    let mem = MemStorage::new();
    let calls = FaultStorage::new(mem.clone());
    let storage = Cache::new(calls.clone(), folder.path());
    Cached { folder, mem, calls, storage }
}

impl Cached {
    fn copy_of(&self, file: FileId) -> std::path::PathBuf {
        let folder = if file.kind == FileKind::Index { "index" } else { "snapshots" };
        self.folder.path().join(folder).join(file.id.to_string())
    }

    fn fetches(&self) -> usize {
        self.calls.count(Op::Read, FileKind::Index) + self.calls.count(Op::Read, FileKind::Snapshot)
    }
}

#[test]
fn indexes_and_snapshots_are_fetched_once() {
    let cached = cached();
    for kind in [FileKind::Index, FileKind::Snapshot] {
        let (own, body) = file(kind, b"put through the cache");
        cached.storage.put(own, &body).unwrap();
        let (other, body) = file(kind, b"put by somebody else");
        cached.mem.put(other, &body).unwrap();
        for _ in 0..3 {
            assert_eq!(cached.storage.read(own, 4..11).unwrap(), b"through");
            assert_eq!(cached.storage.read(other, 0..20).unwrap(), b"put by somebody else");
        }
    }
    assert_eq!(cached.fetches(), 2);
}

/// Hazard row 17: copies that were altered, cut or put there by somebody are never believed.
#[test]
fn a_poisoned_copy_is_fetched_anew() {
    let cached = cached();
    let (file, body) = file(FileKind::Index, b"content");
    for poison in [&b"CONTENT"[..], b"cont", b"", b"content and more"] {
        cached.storage.put(file, &body).unwrap();
        std::fs::write(cached.copy_of(file), poison).unwrap();
        let before = cached.fetches();
        assert_eq!(cached.storage.read(file, 0..7).unwrap(), b"content");
        assert_eq!(cached.storage.read(file, 0..7).unwrap(), b"content");
        assert_eq!(cached.fetches() - before, 1);
    }
}

/// Hazard row 17: the repository is what the storage has, not what a cache remembers of it.
#[test]
fn a_file_deleted_elsewhere_is_not_served_from_the_copy() {
    let cached = cached();
    let (file, body) = file(FileKind::Snapshot, b"content");
    cached.storage.put(file, &body).unwrap();
    cached.mem.delete(file).unwrap();
    assert_eq!(cached.storage.read(file, 0..7).unwrap_err().kind, StorageErrorKind::NotFound);
    assert_eq!(cached.storage.size(file).unwrap_err().kind, StorageErrorKind::NotFound);
    assert_eq!(listed(&cached.storage, FileKind::Snapshot), Ok(vec![]));
    assert!(!cached.copy_of(file).exists(), "a complete listing tidies up");
}

#[test]
fn a_damaged_file_is_passed_on_and_not_kept() {
    let cached = cached();
    let (file, _) = file(FileKind::Index, b"content");
    cached.mem.tamper(file, Some(b"cOntent".to_vec()));
    assert_eq!(cached.storage.read(file, 0..7).unwrap(), b"cOntent");
    assert!(!cached.copy_of(file).exists());
    cached.mem.tamper(file, Some(b"content".to_vec()));
    assert_eq!(cached.storage.read(file, 0..7).unwrap(), b"content");
}

/// Hazard row 18: no copy can be written in any of these places.
#[test]
fn a_cache_without_room_fails_nothing() {
    let mem = MemStorage::new();
    let blocked = tempfile::NamedTempFile::new().unwrap();
    for folder in [blocked.path(), Path::new("/proc/no-such-folder")] {
        let storage = Cache::new(mem.clone(), folder);
        let (file, body) = file(FileKind::Index, b"content");
        storage.put(file, &body).unwrap();
        assert_eq!(storage.read(file, 0..7).unwrap(), b"content");
        assert_eq!(listed(&storage, FileKind::Index), Ok(vec![file.id]));
        storage.delete(file).unwrap();
    }
}

#[test]
fn a_hanging_call_is_given_up_when_cancelled() {
    type Attempt = fn(&dyn Storage) -> Result<(), StorageError>;
    let calls: [Attempt; 5] = [
        |storage| storage.put(FileId::CONFIG, &Body::from_bytes(vec![1])),
        |storage| storage.read(FileId::CONFIG, 0..1).map(|_| ()),
        |storage| storage.size(FileId::CONFIG).map(|_| ()),
        |storage| storage.list(FileKind::Pack, &mut |_| true),
        |storage| storage.delete(FileId::CONFIG),
    ];
    for call in calls {
        let faulty = FaultStorage::new(MemStorage::new());
        faulty.fail_from(0, Fault::Hang);
        let cancel = Cancel::default();
        let storage = Interruptible::new(Arc::new(faulty.clone()), cancel.clone());
        std::thread::scope(|scope| {
            let hanging = scope.spawn(|| call(&storage).unwrap_err().kind);
            faulty.wait_for_hang();
            cancel.cancel();
            // It ends although the storage has not answered.
            assert_eq!(hanging.join().unwrap(), StorageErrorKind::Cancelled);
        });
        faulty.release();
    }
}

#[test]
fn a_healthy_storage_still_answers_after_a_cancellation() {
    let cancel = Cancel::default();
    let storage = Interruptible::new(Arc::new(MemStorage::new()), cancel.clone());
    let (lock, body) = file(FileKind::Lock, b"lock");
    storage.put(lock, &body).unwrap();
    cancel.cancel();
    storage.delete(lock).unwrap();
    assert_eq!(listed(&storage, FileKind::Lock), Ok(vec![]));
}

/// Hazard row 16: the tool that tests of pruning need, shown to work.
#[test]
fn a_frozen_listing_omits_what_came_after() {
    let storage = FaultStorage::new(MemStorage::new());
    let [(before, body), (after, _)] = [file(FileKind::Pack, b"a"), file(FileKind::Pack, b"b")];
    storage.put(before, &body).unwrap();
    storage.freeze_listings();
    storage.put(after, &body).unwrap();
    assert_eq!(listed(&storage, FileKind::Pack), Ok(vec![before.id]));
    assert_eq!(storage.size(after).unwrap(), 1, "only listings lag");
    storage.thaw_listings();
    assert_eq!(listed(&storage, FileKind::Pack).unwrap().len(), 2);
}

/// What running a call on another thread costs: printed, for people.
#[test]
fn an_interruptible_call_gives_the_same_answer() {
    let mem = MemStorage::new();
    let (file, body) = file(FileKind::Pack, &[7; 4096]);
    mem.put(file, &body).unwrap();
    let wrapped = Interruptible::new(Arc::new(mem.clone()), Cancel::default());
    let time = |storage: &dyn Storage| {
        let start = Instant::now();
        for _ in 0..2_000 {
            assert_eq!(storage.read(file, 0..4096).unwrap().len(), 4096);
        }
        start.elapsed() / 2_000
    };
    println!("a read takes {:?}, interruptible {:?}", time(&mem), time(&wrapped));
    let mut visited = Vec::new();
    wrapped
        .list(FileKind::Pack, &mut |stored| {
            visited.push(stored);
            true
        })
        .unwrap();
    assert_eq!(visited, [Stored { id: file.id, size: 4096 }]);
}
