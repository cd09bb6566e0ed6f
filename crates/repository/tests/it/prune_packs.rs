//! Prune on packs made for the purpose: blobs stored twice, damaged, compressed or not, spread over index files,
//! and listings that do not show everything.

use lifeboat_repository::ErrorKind;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::check::ProblemKind;
use lifeboat_repository::config::Version;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::pack::Compression;
use lifeboat_repository::prune::{PruneOptions, PruneReport};
use lifeboat_repository::storage::{Body, FileId, FileKind, MemStorage, Storage, StorageError, Stored};
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::storage::FaultStorage;

use crate::craft::{Craft, giant_tree};
use crate::prune::{all, prune, prune_with, wasteful};
use crate::vault;

const DATA: BlobKind = BlobKind::Data;
const AUTO: Compression = Compression::Auto;
const OFF: Compression = Compression::Off;

/// Prunes, and makes sure that all that was there is there.
fn prune_all(craft: &Craft) -> PruneReport {
    let before = vault::everything_in(&craft.storage);
    let report = prune(&craft.storage);
    assert_eq!(vault::everything_in(&craft.storage), before);
    report
}

/// Hazard row 1.
#[test]
fn a_blob_that_a_pack_holds_twice_survives() {
    for with_garbage in [true, false] {
        let craft = Craft::new(Version::V2);
        let (a, b, garbage) = (&b"needed"[..], &b"needed as well"[..], &b"not needed"[..]);
        let mut blobs = vec![(DATA, a, OFF), (DATA, a, OFF), (DATA, b, OFF)];
        if with_garbage {
            blobs.push((DATA, garbage, OFF));
        }
        craft.indexed(&blobs);
        // One more pack that holds nothing but a copy.
        craft.indexed(&[(DATA, a, OFF)]);
        craft.snapshot(&[a, b]);
        let report = prune_all(&craft);
        assert!(report.is_complete());
        let sound = vault::assert_sound(&craft.storage);
        assert_eq!((sound.unused_blobs, sound.duplicate_blobs), (0, 0), "{report:#?}");
    }
}

/// Hazard row 2.
#[test]
fn compressed_and_plain_blobs_are_repacked_to_what_they_were() {
    for version in [Version::V1, Version::V2] {
        let craft = Craft::new(version);
        let (long, short) = (vec![b'x'; 5000], b"short".to_vec());
        let compression = if version == Version::V1 { OFF } else { AUTO };
        let blobs = [(DATA, &*long, compression), (DATA, &*short, OFF), (DATA, b"garbage", OFF)];
        let pack = craft.indexed(&blobs);
        craft.snapshot(&[&long, &short, &long]);
        let report = prune_all(&craft);
        assert_eq!(report.packs_to_repack, 1);
        assert!(!craft.storage.contents().contains_key(&pack.into()), "the old pack is gone");
        vault::assert_sound(&craft.storage);
        vault::assert_restic_agrees(&craft.storage);
    }
}

#[test]
fn plain_data_is_compressed_when_asked_for() {
    let craft = Craft::new(Version::V2);
    let long = vec![b'x'; 5000];
    craft.indexed(&[(DATA, &long, OFF)]);
    craft.snapshot(&[&long]);
    assert_eq!(prune_all(&craft).packs_to_repack, 0);
    let options = PruneOptions { repack_uncompressed: true, ..all() };
    let report = prune_with(&vault::open_on(craft.storage.clone()), &options).unwrap();
    assert_eq!(report.packs_to_repack, 1);
    let bytes = vault::assert_sound(&craft.storage).pack_bytes;
    assert!(bytes < 2000, "{bytes} bytes");
}

#[test]
fn a_pack_with_a_damaged_blob_is_kept_as_it_is() {
    let craft = Craft::new(Version::V2);
    let blobs: [&[u8]; 3] = [b"first", b"second", b"third"];
    let (pack, packed) = craft.pack(&[
        (DATA, blobs[0], OFF),
        (DATA, blobs[1], OFF),
        (DATA, blobs[2], OFF),
        (DATA, b"garbage", OFF),
    ]);
    craft.index(&[(pack, &packed)]);
    craft.snapshot(&blobs);
    craft.flip(pack, packed[1].offset + 20);
    let before = craft.storage.contents()[&FileId::from(pack)].to_vec();
    let report = prune(&craft.storage);
    assert_eq!((report.problem_count, report.packs_kept_damaged), (1, 1));
    assert_eq!(report.problems[0].kind, ProblemKind::Damaged);
    assert_eq!(*craft.storage.contents()[&FileId::from(pack)], before);
    let repository = vault::open(&craft.storage);
    for (blob, is_whole) in blobs.into_iter().zip([true, false, true]) {
        let blob = BlobRef { kind: DATA, id: BlobId::of(blob) };
        assert_eq!(repository.read_blob(blob).is_ok(), is_whole);
    }
}

/// Hazard row 11: nothing is given up for a copy that is no better.
#[test]
fn of_two_copies_the_one_that_can_be_read_stays() {
    let blob = &b"stored twice"[..];
    for damaged in [0, 1] {
        let craft = Craft::new(Version::V2);
        let kept = craft.pack(&[(DATA, blob, OFF), (DATA, b"needed", OFF)]);
        let wasteful = craft.pack(&[(DATA, blob, OFF), (DATA, b"garbage", OFF)]);
        craft.index(&[(kept.0, &kept.1), (wasteful.0, &wasteful.1)]);
        craft.snapshot(&[blob, b"needed"]);
        craft.flip([kept.0, wasteful.0][damaged], 20);
        let report = prune_all(&craft);
        assert!(report.is_complete(), "{report:#?}");
    }
}

/// Hazard row 15.
#[test]
fn entries_of_a_pack_that_are_spread_over_index_files_all_stay() {
    let craft = Craft::new(Version::V2);
    let (first, second) = (&b"first"[..], &b"second"[..]);
    let (pack, packed) = craft.pack(&[(DATA, first, OFF), (DATA, second, OFF)]);
    craft.index(&[(pack, &packed[..1])]);
    let gone = craft.pack(&[(DATA, b"garbage", OFF)]);
    craft.index(&[(gone.0, &gone.1), (pack, &packed[1..]), (pack, &packed[..1])]);
    craft.snapshot(&[first, second]);
    let report = prune_all(&craft);
    assert_eq!((report.packs_to_delete, report.index_files_written), (1, 1));
    let sound = vault::assert_sound(&craft.storage);
    assert_eq!((sound.index_files, sound.blobs, sound.hint_count), (1, 3, 0));
}

/// Hazard row 16.
#[test]
fn a_listing_that_lags_behind_loses_nothing() {
    let craft = Craft::new(Version::V2);
    let faulty = FaultStorage::new(craft.storage.clone());
    let needed = craft.indexed(&[(DATA, b"needed", OFF)]);
    craft.snapshot(&[b"needed"]);
    // Both a pack that is needed and one that is not are stored, but not listed.
    for pack in [needed, craft.indexed(&[(DATA, b"garbage", OFF)])] {
        let content = craft.storage.contents()[&FileId::from(pack)].to_vec();
        faulty.freeze_listings();
        faulty.put(pack.into(), &Body::from_bytes(content)).unwrap();
        let before = craft.storage.contents();
        let repository = vault::open_on(faulty.clone());
        prune_with(&repository, &all()).unwrap_err();
        assert_eq!(craft.storage.contents(), before);
        faulty.thaw_listings();
    }
    assert!(prune_all(&craft).is_complete());
}

/// A storage in which a file appears when the packs are listed.
#[derive(Clone)]
struct Late {
    inner: MemStorage,
    file: FileId,
    content: Vec<u8>,
}

impl Storage for Late {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: std::ops::Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.inner.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        if kind == FileKind::Pack {
            self.inner.tamper(self.file, Some(self.content.clone()));
        }
        self.inner.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// Hazard rows 4 and 16: the end of a backup is seen only when the plan is made.
#[test]
fn a_snapshot_or_index_that_appears_while_planning_stops_the_prune() {
    let storage = wasteful(Version::V2);
    refuses_late(&storage, vault::files(&storage, FileKind::Snapshot)[0]);
    let known = vault::files(&storage, FileKind::Index);
    Craft::over(storage.clone()).indexed(&[(DATA, b"not needed yet", OFF)]);
    let new = vault::files(&storage, FileKind::Index).into_iter().find(|file| !known.contains(file));
    refuses_late(&storage, new.unwrap());
}

fn refuses_late(storage: &MemStorage, file: FileId) {
    let before = storage.contents();
    let content = before[&file].to_vec();
    storage.tamper(file, None);
    let repository = vault::open_on(Late { inner: storage.clone(), file, content });
    assert_eq!(prune_with(&repository, &all()).unwrap_err().kind, ErrorKind::Storage);
    assert_eq!(storage.contents(), before);
}

#[test]
fn a_missing_pack_is_forgotten_only_if_nobody_needs_it() {
    let craft = Craft::new(Version::V2);
    let needed = craft.indexed(&[(DATA, b"needed", OFF), (DATA, b"garbage", OFF)]);
    let garbage = craft.indexed(&[(DATA, b"more garbage", OFF)]);
    craft.snapshot(&[b"needed"]);
    craft.storage.tamper(garbage.into(), None);
    assert_eq!(prune(&craft.storage.fork()).packs_absent, 1);
    craft.storage.tamper(needed.into(), None);
    let before = craft.storage.contents();
    let error = prune_with(&vault::open_on(craft.storage.clone()), &all()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert_eq!(craft.storage.contents(), before);
}

#[test]
fn a_giant_tree_is_checked_and_repacked() {
    let craft = Craft::new(Version::V2);
    let tree = giant_tree();
    assert!(tree.len() > 17 << 20);
    let blobs = [(BlobKind::Tree, tree.as_bytes(), AUTO), (BlobKind::Tree, &br#"{"nodes":[]}"#[..], OFF)];
    craft.indexed(&blobs);
    let mut snapshot = kit::snapshot_of(&["/".into()]);
    snapshot.tree = BlobId::of(tree.as_bytes());
    craft.repository.save_snapshot(&snapshot).unwrap();
    let report = prune(&craft.storage);
    assert_eq!((report.packs_to_repack, report.unused.blobs), (1, 1));
    let sound = vault::assert_sound(&craft.storage);
    assert_eq!((sound.blobs, sound.unused_blobs), (1, 0));
    let repository = vault::open(&craft.storage);
    let nodes_read: Result<Vec<_>, _> = repository.read_tree(snapshot.tree).unwrap().collect();
    assert_eq!(nodes_read.unwrap().len(), 90_000);
}
