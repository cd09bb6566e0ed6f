//! Files that arrive as streams become a snapshot: in any order, at once, and only when all of it can be read again.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::intake::{Cut, Intake, IntakeOptions, Received};
use lifeboat_repository::lock::LockMode;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{FileKind, LocalStorage, MemStorage, Storage};
use lifeboat_repository::tree::{Node, NodeKind, mode};
use lifeboat_repository::{Ctx, Error, ErrorKind, Result};
use lifeboat_testkit::repository::{init, lock, open, snapshot_of};
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::storage::{Fault, FaultStorage, Op};

use crate::rng::Rng;

const PAGE: u32 = 32 << 10;

fn pages() -> Cut {
    Cut::Every(NonZeroU32::new(PAGE).unwrap())
}

fn file_node() -> Node {
    Node { mode: 0o640, ..Node::default() }
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| rng.next().to_le_bytes()).flatten().take(length).collect()
}

/// Some files of all sizes, by path; those with `p` in front have pages.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut rng = Rng::new(4);
    let sizes = [0, 1, 8192, 32768, 32769, 600_000, 3_000_000];
    let names = ["a", "a.b", "a-/x", "a0/b/c/d", "p/1", "p/2", "p/base/3"];
    names.iter().zip(sizes).map(|(name, size)| ((*name).to_owned(), bytes(&mut rng, size))).collect()
}

fn cut_of(path: &str) -> Cut {
    if path.starts_with('p') { pages() } else { Cut::Content }
}

fn options() -> IntakeOptions {
    IntakeOptions { folder: "rm-1".into(), workers: 2 }
}

fn receive(repository: &Repository, fill: impl FnOnce(&Intake<'_>) -> Result<()>) -> Result<Received> {
    let lock = lock(repository, LockMode::Shared);
    let received = repository.receive(&options(), fill, &lock, &Ctx::default());
    lock.release()?;
    received.map(|(received, ())| received)
}

fn commit(repository: &Repository, received: Received) -> SnapshotId {
    let lock = lock(repository, LockMode::Shared);
    received.read_back(repository, &Ctx::default()).unwrap();
    let report = received.commit(repository, snapshot_of(&[]), &lock, &Ctx::default()).unwrap();
    lock.release().unwrap();
    report.snapshot.unwrap()
}

/// All files at once, a little of each at a time.
fn interleaved(intake: &Intake<'_>, files: &BTreeMap<String, Vec<u8>>, rng: &mut Rng) -> Result<()> {
    let mut open = Vec::new();
    for (path, content) in files {
        open.push((intake.file(Path::new(path), file_node(), cut_of(path))?, content.as_slice()));
    }
    while !open.is_empty() {
        let at = rng.below(open.len());
        let (file, left) = &mut open[at];
        let (now, later) = left.split_at((1 + rng.below(70_000)).min(left.len()));
        file.write(now)?;
        *left = later;
        if left.is_empty() {
            open.swap_remove(at).0.finish()?;
        }
    }
    Ok(())
}

#[test]
fn the_order_of_arrival_makes_no_difference() {
    let (files, storage) = (files(), MemStorage::new());
    init(Arc::new(storage.clone()));
    let repository = open(Arc::new(storage));
    let mut rng = Rng::new(1);
    let first = receive(&repository, |intake| interleaved(intake, &files, &mut rng)).unwrap();
    let again = receive(&repository, |intake| interleaved(intake, &files, &mut rng)).unwrap();
    assert_eq!(again.report().bytes_read, files.values().map(|content| content.len() as u64).sum::<u64>());
    assert_eq!((again.report().data_blobs, again.report().files.unmodified), (0, 6));
    let tree = |received: &Received| {
        let top = repository.read_tree(received.root()).unwrap().next().unwrap().unwrap();
        let names = repository.read_tree(top.subtree.unwrap()).unwrap().map(|node| node.unwrap().name);
        names.map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(tree(&first), ["a", "a-", "a.b", "a0", "p"]);
    assert_eq!(tree(&again), tree(&first));
}

#[test]
fn restic_checks_and_restores_what_has_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let vault = folder.path().join("vault");
    let restic = Restic::init(&vault);
    let repository = open(Arc::new(LocalStorage::new(&vault)));
    let files = files();
    let received = receive(&repository, |intake| {
        let dir = Node { kind: NodeKind::Dir, mode: mode::DIR | 0o700, ..Node::default() };
        intake.entry(Path::new("p/base"), dir)?;
        let link = Node {
            kind: NodeKind::Symlink,
            mode: mode::SYMLINK | 0o777,
            link_target: b"a".to_vec(),
            ..Node::default()
        };
        intake.entry(Path::new("a0/link"), link)?;
        interleaved(intake, &files, &mut Rng::new(2))
    });
    let snapshot = commit(&repository, received.unwrap());
    let target = folder.path().join("target");
    for restic in restic.judges() {
        restic.check();
        fs::create_dir(&target).unwrap();
        restic.restore(&snapshot.to_string(), &target);
        for (path, content) in &files {
            assert!(fs::read(target.join("rm-1").join(path)).unwrap() == *content, "{path}");
        }
        assert_eq!(fs::read_link(target.join("rm-1/a0/link")).unwrap(), Path::new("a"));
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn pages_that_did_not_change_are_not_stored_again() {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    let repository = open(Arc::new(storage));
    let mut rng = Rng::new(3);
    let mut content = bytes(&mut rng, 100 * PAGE as usize);
    let save = |content: &[u8]| {
        receive(&repository, |intake| {
            let mut file = intake.file(Path::new("p"), file_node(), pages())?;
            file.write(content)?;
            file.finish()
        })
        .unwrap()
    };
    assert_eq!(save(&content).report().data_blobs, 100);
    for page in [0, 17, 99] {
        content[page * PAGE as usize + 5] ^= 1;
    }
    let report = save(&content);
    assert_eq!((report.report().data_blobs, report.report().bytes_read), (3, 100 * u64::from(PAGE)));
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_no_snapshot() {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    let repository = open(Arc::new(storage.clone()));
    let put = |intake: &Intake<'_>, path: &str| intake.file(Path::new(path), file_node(), pages())?.finish();
    for path in ["", "/etc/passwd", "../x", "a/../../x", ".", "a\0b"] {
        let refused = receive(&repository, |intake| put(intake, path)).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidInput, "{path}");
    }
    for paths in [["x", "x"], ["x", "x/"], ["x", "x/y"], ["x/y", "x"]] {
        let refused = receive(&repository, |intake| paths.iter().try_for_each(|path| put(intake, path)));
        assert!(refused.unwrap_err().to_string().contains("twice"), "{paths:?}");
    }
    let unfinished = receive(&repository, |intake| {
        let mut file = intake.file(Path::new("x"), file_node(), pages())?;
        file.write(b"half of it")
    });
    assert!(unfinished.unwrap_err().to_string().contains("never finished"));
    let failed = receive(&repository, |_| Err(Error::new(ErrorKind::Io, "the source has gone away")));
    assert_eq!(failed.unwrap_err().to_string(), "the source has gone away");
    assert!(storage.contents().keys().all(|file| file.kind != FileKind::Snapshot));
}

#[test]
fn a_pack_damaged_before_it_is_read_back_is_found() {
    for is_of_an_earlier_backup in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(LocalStorage::new(folder.path()));
        let repository = init(Arc::clone(&storage) as Arc<dyn Storage>);
        let files = files();
        let fill = |intake: &Intake<'_>| interleaved(intake, &files, &mut Rng::new(7));
        let mut received = receive(&repository, fill).unwrap();
        received.read_back(&repository, &Ctx::default()).unwrap();
        if is_of_an_earlier_backup {
            received = receive(&repository, fill).unwrap();
        }
        let mut packs = Vec::new();
        storage
            .list(FileKind::Pack, &mut |stored| {
                packs.push((stored.size, stored.id.to_string()));
                true
            })
            .unwrap();
        let (size, largest) = packs.iter().max().unwrap();
        let path = folder.path().join("data").join(&largest[..2]).join(largest);
        let mut content = fs::read(&path).unwrap();
        if is_of_an_earlier_backup {
            content.truncate(content.len() - 1);
        } else {
            content[usize::try_from(size / 2).unwrap()] ^= 1;
        }
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        let found = received.read_back(&repository, &Ctx::default()).unwrap_err();
        assert_eq!(found.kind, ErrorKind::Damaged, "{found}");
    }
}

#[test]
fn an_upload_that_fails_ends_the_intake_with_its_error() {
    let mut hits = 0;
    for number in 0..20 {
        let mem = MemStorage::new();
        init(Arc::new(mem.clone()));
        let storage = Arc::new(FaultStorage::new(mem.clone()));
        let repository = open(Arc::clone(&storage) as Arc<dyn Storage>);
        let lock = lock(&repository, LockMode::Shared);
        storage.forget_calls();
        storage.fail_call(number, Fault::Full);
        let files = files();
        let fill = |intake: &Intake<'_>| interleaved(intake, &files, &mut Rng::new(9));
        let received = repository.receive(&options(), fill, &lock, &Ctx::default());
        if storage.faults() > 0 {
            hits += 1;
            assert_eq!(received.map(drop).unwrap_err().kind, ErrorKind::Storage);
            assert_eq!(storage.count(Op::Put, FileKind::Snapshot), 0);
        }
        lock.release().unwrap();
    }
    assert!(hits > 0);
}

#[test]
fn what_has_arrived_can_be_taken_back_and_moved() {
    let storage = MemStorage::new();
    init(Arc::new(storage.clone()));
    let repository = open(Arc::new(storage));
    let received = receive(&repository, |intake| {
        for path in ["d/a", "d/b", "e", "g/h"] {
            let mut file = intake.file(Path::new(path), file_node(), Cut::Content)?;
            file.write(path.as_bytes())?;
            file.finish()?;
        }
        assert_eq!(intake.take_back(|path| path.starts_with("d")), 2);
        assert_eq!(intake.take_back(|path| path.starts_with("d")), 0);
        assert!(intake.rename(Path::new("e"), Path::new("g/h"))?);
        assert!(!intake.rename(Path::new("e"), Path::new("x"))?);
        assert!(intake.rename(Path::new("x"), Path::new("../x")).is_err());
        intake.file(Path::new("d/a"), file_node(), Cut::Content)?.finish()
    });
    let mut found = Vec::new();
    let mut folders = vec![(String::new(), received.unwrap().root())];
    while let Some((above, folder)) = folders.pop() {
        for node in repository.read_tree(folder).unwrap().map(Result::unwrap) {
            let path = format!("{above}/{}", String::from_utf8(node.name.clone()).unwrap());
            found.extend(node.content.map(|_| (path.clone(), node.size)));
            folders.extend(node.subtree.map(|subtree| (path, subtree)));
        }
    }
    found.sort();
    assert_eq!(found, [("/rm-1/d/a".to_owned(), 0), ("/rm-1/g/h".to_owned(), 1)]);
}
