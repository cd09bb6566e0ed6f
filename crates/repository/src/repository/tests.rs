//! Repositories made and opened, their passwords, and sealed files when they are damaged.

use std::io::Write;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::Ctx;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::id::{BlobId, Id};
use crate::key::{KdfCost, KeyOrigin, Password};
use crate::save::{FinishedTree, TreeStack};
use crate::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

fn settings() -> Settings {
    Settings {
        time: Time { clock: Arc::new(Epoch), zone: TimeZone::UTC },
        spool_folder: std::env::temp_dir(),
        compression: Compression::Auto,
        pack_bytes: Settings::PACK_BYTES,
    }
}

fn origin() -> KeyOrigin {
    KeyOrigin { created: Timestamp::UNIX_EPOCH, hostname: "host".into(), username: "user".into() }
}

fn new(password: &str) -> NewRepository {
    NewRepository {
        version: Version::V2,
        polynomial: None,
        password: Password::new(password),
        cost: KdfCost::CHEAPEST,
        origin: origin(),
    }
}

pub(super) fn init(storage: &MemStorage) -> Repository {
    Repository::init(Arc::new(storage.clone()), new("secret"), settings()).unwrap()
}

fn open(storage: &MemStorage, password: &str) -> Result<Repository, crate::Error> {
    Repository::open(Arc::new(storage.clone()), &Password::new(password), settings())
}

#[test]
fn a_new_repository_opens_with_its_password_and_no_other() {
    let storage = MemStorage::new();
    let made = init(&storage);
    assert_eq!(open(&storage, "secret").unwrap().config(), made.config());
    assert_eq!(open(&storage, "other").unwrap_err().kind, ErrorKind::WrongPassword);
    assert_eq!(open(&MemStorage::new(), "secret").unwrap_err().kind, ErrorKind::NoRepository);
}

#[test]
fn init_never_touches_what_is_or_was_a_repository() {
    let storage = MemStorage::new();
    let made = init(&storage);
    let again = |storage: &MemStorage| Repository::init(Arc::new(storage.clone()), new("x"), settings());
    assert_eq!(again(&storage).unwrap_err().kind, ErrorKind::RepositoryExists);
    made.save_unpacked(FileKind::Snapshot, b"{}").unwrap();
    storage.tamper(FileId::CONFIG, None);
    let before = storage.contents();
    assert_eq!(again(&storage).unwrap_err().kind, ErrorKind::RepositoryExists);
    assert_eq!(storage.contents(), before);
}

#[test]
fn init_clears_the_key_left_by_an_init_that_died() {
    let storage = MemStorage::new();
    init(&storage);
    storage.tamper(FileId::CONFIG, None);
    let made = init(&storage);
    assert_eq!(made.list_keys().unwrap(), [made.key_id()]);
    open(&storage, "secret").unwrap();
}

#[test]
fn passwords_can_be_added_changed_and_removed_but_not_the_one_in_use() {
    let storage = MemStorage::new();
    let mut repository = init(&storage);
    let second = repository.add_key(&Password::new("second"), KdfCost::CHEAPEST, origin()).unwrap();
    assert_eq!(open(&storage, "second").unwrap().key_id(), second);
    let in_use = repository.key_id();
    assert_eq!(repository.remove_key(in_use).unwrap_err().kind, ErrorKind::InvalidInput);
    repository.change_password(&Password::new("third"), KdfCost::CHEAPEST, origin()).unwrap();
    repository.remove_key(second).unwrap();
    for (password, opens) in [("secret", false), ("second", false), ("third", true)] {
        assert_eq!(open(&storage, password).is_ok(), opens, "{password}");
    }
}

#[test]
fn a_damaged_key_does_not_stop_another_one_from_opening() {
    let storage = MemStorage::new();
    let repository = init(&storage);
    for id in 0..=255u8 {
        storage.tamper(FileId::new(FileKind::Key, crate::id::Id::from_bytes([id; 32])), Some(b"{".to_vec()));
    }
    assert_eq!(open(&storage, "secret").unwrap().key_id(), repository.key_id());
    storage.tamper(repository.key_id().into(), None);
    assert_eq!(open(&storage, "secret").unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn sealed_files_come_back_or_are_damaged() {
    let storage = MemStorage::new();
    let repository = init(&storage);
    let content = br#"{"a":"content that is worth compressing compressing compressing"}"#;
    let id = repository.save_unpacked(FileKind::Snapshot, content).unwrap();
    assert_eq!(repository.load_unpacked(FileKind::Snapshot, id).unwrap(), content);
    let file = FileId::new(FileKind::Snapshot, id);
    let mut stored = storage.contents()[&file].to_vec();
    stored[40] ^= 1;
    storage.tamper(file, Some(stored));
    let error = repository.load_unpacked(FileKind::Snapshot, id).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    repository.load_index(&Ctx::default()).unwrap();
}

#[test]
fn a_key_left_by_a_lost_race_to_make_the_repository_does_not_stop_the_password() {
    for _ in 0..8 {
        let (storage, loser) = (MemStorage::new(), MemStorage::new());
        let winner_key = init(&storage).key_id();
        let stray = FileId::from(init(&loser).key_id());
        storage.tamper(stray, Some(loser.contents()[&stray].to_vec()));
        assert_eq!(open(&storage, "secret").unwrap().key_id(), winner_key);
    }
}

#[test]
fn who_comes_second_in_making_a_repository_takes_the_key_back() {
    let storage = MemStorage::new();
    let winner = init(&storage);
    let late = LateConfig(storage.clone());
    let lost = Repository::init(Arc::new(late), new("secret"), settings()).unwrap_err();
    assert_eq!(lost.kind, ErrorKind::RepositoryExists);
    assert_eq!(winner.list_keys().unwrap(), [winner.key_id()]);
}

/// Does not show the config that is there, as it was a moment ago.
struct LateConfig(MemStorage);

impl Storage for LateConfig {
    fn create(&self) -> Result<(), StorageError> {
        self.0.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.0.put(file, body)
    }

    fn read(&self, file: FileId, range: std::ops::Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.0.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        let hidden = FileId { id: Id::of(b"hidden"), ..file };
        self.0.size(if file.kind == FileKind::Config { hidden } else { file })
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.0.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.0.delete(file)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

/// What a tree of this number could say, for as long as that.
fn text(number: usize, bytes: usize) -> Vec<u8> {
    (0..).flat_map(|word: u64| format!("{number}:{word:x},").into_bytes()).take(bytes).collect()
}

#[test]
fn trees_come_off_the_stack_as_they_went_on_however_long_they_are() {
    const MIB: usize = 1 << 20;
    let sizes = [6 * MIB, 100, 3 * MIB / 2, MIB, 3 * MIB, 9 * MIB, 12, 4 * MIB, 2 * MIB + 1];
    let repository = init(&MemStorage::new());
    let mut stack = TreeStack::new(&repository);
    let mut open = Vec::new();
    let take_off = |stack: &mut TreeStack<'_>, number: usize, start: u64| {
        stack.write_all(b"the end").unwrap();
        let expected = [text(number, sizes[number]), b"the end".to_vec()].concat();
        let tree = stack.take_off(start).unwrap();
        let (id, is_small) = match tree {
            FinishedTree::InMemory { id, json } => (id, json == expected),
            FinishedTree::Sealed(tree) => (tree.id, false),
        };
        assert_eq!(id, BlobId::of(&expected), "tree {number}");
        assert_eq!(is_small, expected.len() <= 4 * MIB, "tree {number}");
        assert_eq!(stack.len(), start);
    };
    for (number, bytes) in sizes.into_iter().enumerate() {
        open.push((number, stack.len()));
        stack.write_all(&text(number, bytes)).unwrap();
        if number % 3 == 2 {
            let (number, start) = open.pop().unwrap();
            take_off(&mut stack, number, start);
        }
    }
    assert!(stack.len() > 12 << 20);
    while let Some((number, start)) = open.pop() {
        take_off(&mut stack, number, start);
    }
}
