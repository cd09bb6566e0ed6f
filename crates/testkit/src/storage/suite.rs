//! What every storage promises, as tests. Whoever writes a storage runs this on it.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;
use lifeboat_repository::id::Id;
use lifeboat_repository::spool::Spool;
use lifeboat_repository::storage::{Body, FileId, FileKind, Storage, StorageErrorKind, Stored};

const KINDS: [FileKind; 5] =
    [FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

/// Runs the contract on new, empty storages.
pub fn storage_suite(make: impl Fn() -> Box<dyn Storage>) {
    let ready = || {
        let storage = make();
        storage.create().expect("a new storage can be made ready");
        storage.create().expect("and once more");
        storage
    };
    what_is_put_can_be_read_in_parts(&*ready());
    a_short_file_is_told_from_a_missing_one(&*ready());
    each_kind_has_its_own_names(&*ready());
    a_second_config_is_refused(&*ready());
    the_same_put_twice_is_harmless(&*ready());
    a_listing_can_be_stopped(&*ready());
    a_spooled_body_arrives_whole(&*ready());
    many_threads_may_call_at_once(&*ready());
    a_sweep_leaves_files_alone(&*ready());
}

fn file(kind: FileKind, content: &[u8]) -> (FileId, Body) {
    (FileId::new(kind, Id::of(content)), Body::from_bytes(content.to_vec()))
}

fn listed(storage: &dyn Storage, kind: FileKind) -> BTreeSet<Stored> {
    let mut all = BTreeSet::new();
    let result = storage.list(kind, &mut |stored| {
        assert!(all.insert(stored), "{stored:?} was listed twice");
        true
    });
    result.expect("the listing succeeds");
    all
}

fn what_is_put_can_be_read_in_parts(storage: &dyn Storage) {
    let (file, body) = file(FileKind::Pack, b"0123456789");
    storage.put(file, &body).expect("put");
    assert_eq!(storage.size(file).expect("size"), 10);
    for (range, part) in [(0..10, &b"0123456789"[..]), (3..5, b"34"), (9..10, b"9"), (4..4, b"")] {
        assert_eq!(storage.read(file, range).expect("read"), part);
    }
    storage.delete(file).expect("delete");
    assert_eq!(listed(storage, FileKind::Pack), BTreeSet::new());
}

fn a_short_file_is_told_from_a_missing_one(storage: &dyn Storage) {
    for kind in KINDS {
        let (file, body) = file(kind, b"content");
        let missing = [
            storage.read(file, 0..1).map(|_| ()).expect_err("nothing to read").kind,
            storage.size(file).map(|_| ()).expect_err("nothing to inspect").kind,
            storage.delete(file).expect_err("nothing to delete").kind,
        ];
        assert_eq!(missing, [StorageErrorKind::NotFound; 3]);
        storage.put(file, &body).expect("put");
        for range in [0..8, 7..9, 20..30] {
            let short = storage.read(file, range).expect_err("the file is too short");
            assert_eq!(short.kind, StorageErrorKind::Truncated);
        }
    }
}

fn each_kind_has_its_own_names(storage: &dyn Storage) {
    for (kind, content) in KINDS.into_iter().zip(["k", "lo", "sna", "inde", "packs"]) {
        let id = Id::of(b"the same for all");
        storage.put(FileId::new(kind, id), &Body::from_bytes(content.into())).expect("put");
    }
    for (kind, size) in KINDS.into_iter().zip(1..) {
        let id = Id::of(b"the same for all");
        assert_eq!(listed(storage, kind), BTreeSet::from([Stored { id, size }]));
    }
    assert_eq!(listed(storage, FileKind::Config), BTreeSet::new());
}

fn a_second_config_is_refused(storage: &dyn Storage) {
    let missing = storage.read(FileId::CONFIG, 0..1).expect_err("there is no config yet");
    assert_eq!(missing.kind, StorageErrorKind::NotFound);
    storage.put(FileId::CONFIG, &Body::from_bytes(b"first".to_vec())).expect("put");
    let refused = storage.put(FileId::CONFIG, &Body::from_bytes(b"other".to_vec()));
    assert_eq!(refused.expect_err("a second config").kind, StorageErrorKind::AlreadyExists);
    assert_eq!(storage.read(FileId::CONFIG, 0..5).expect("read"), b"first");
}

fn the_same_put_twice_is_harmless(storage: &dyn Storage) {
    for kind in KINDS {
        let (file, body) = file(kind, b"content");
        storage.put(file, &body).expect("put");
        storage.put(file, &body).expect("put again");
        assert_eq!(listed(storage, kind).len(), 1);
    }
}

fn a_listing_can_be_stopped(storage: &dyn Storage) {
    let wanted: BTreeSet<_> = (0..300_u32)
        .map(|number| {
            let (file, body) = file(FileKind::Lock, &number.to_le_bytes());
            storage.put(file, &body).expect("put");
            Stored { id: file.id, size: 4 }
        })
        .collect();
    assert_eq!(listed(storage, FileKind::Lock), wanted);
    for stop_after in [1, 256, 257] {
        let mut visited = 0;
        let result = storage.list(FileKind::Lock, &mut |_| {
            visited += 1;
            visited < stop_after
        });
        result.expect("stopping is no error");
        assert_eq!(visited, stop_after);
    }
}

fn a_spooled_body_arrives_whole(storage: &dyn Storage) {
    let content: Vec<u8> = (0..1_000_003_u32).flat_map(u32::to_le_bytes).collect();
    let mut spool = Spool::create(&std::env::temp_dir()).expect("a spool");
    spool.write_all(&content).expect("room for a spool");
    let file = FileId::new(FileKind::Pack, Id::of(&content));
    storage.put(file, &Body::Spool(Arc::new(spool))).expect("put");
    let read = storage.read(file, 0..content.len() as u64).expect("read");
    assert!(read == content);
}

fn many_threads_may_call_at_once(storage: &dyn Storage) {
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                for number in 0..10_u8 {
                    let (file, body) = file(FileKind::Pack, &[thread, number]);
                    storage.put(file, &body).expect("put");
                    assert_eq!(storage.read(file, 0..2).expect("read"), [thread, number]);
                    if number % 2 == 0 {
                        storage.delete(file).expect("delete");
                    }
                }
            });
        }
    });
    assert_eq!(listed(storage, FileKind::Pack).len(), 20);
}

fn a_sweep_leaves_files_alone(storage: &dyn Storage) {
    for kind in KINDS {
        let (file, body) = file(kind, b"content");
        storage.put(file, &body).expect("put");
    }
    assert_eq!(storage.sweep(Timestamp::MAX).expect("sweep"), 0);
    for kind in KINDS {
        assert_eq!(listed(storage, kind).len(), 1);
    }
}
