//! The damage matrix: every kind of damage to every kind of file, and what each operation makes of it.
//!
//! None may panic, none may pass it over in silence, none may make it worse.

use std::path::Path;
use std::sync::Arc;

use lifeboat_adapters::files::FilesTarget;
use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::check::{CheckReport, Subject};
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::key::Password;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::restore::RestoreOptions;
use lifeboat_repository::storage::{FileId, FileKind, MemStorage};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::repository::{self as testkit, PASSWORD, settings};
use tempfile::TempDir;

use crate::vault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    Delete,
    Truncate,
    Flip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Config,
    Key,
    Index,
    PackHeader,
    PackBody,
    Snapshot,
}

pub(crate) const DAMAGES: [Damage; 3] = [Damage::Delete, Damage::Truncate, Damage::Flip];
pub(crate) const PARTS: [Part; 6] =
    [Part::Config, Part::Key, Part::Index, Part::PackHeader, Part::PackBody, Part::Snapshot];

impl Part {
    fn kind(self) -> FileKind {
        match self {
            Self::Config => FileKind::Config,
            Self::Key => FileKind::Key,
            Self::Index => FileKind::Index,
            Self::PackHeader | Self::PackBody => FileKind::Pack,
            Self::Snapshot => FileKind::Snapshot,
        }
    }
}

/// Does the damage to each file of the kind in turn, and gives the damaged vaults with the file each has lost.
pub(crate) fn damaged(vault: &MemStorage, damage: Damage, part: Part) -> Vec<(MemStorage, FileId)> {
    let contents = vault.contents();
    let files = contents.iter().filter(|(file, _)| file.kind == part.kind());
    let damage_one = |(file, content): (&FileId, &std::sync::Arc<Vec<u8>>)| {
        let mut content = content.to_vec();
        // A pack ends with its header, and that with its length.
        let at = if part == Part::PackHeader { content.len() - 10 } else { 20 };
        match damage {
            Damage::Truncate => content.truncate(at),
            Damage::Flip => content[at] ^= 4,
            Damage::Delete => {}
        }
        let vault = vault.fork();
        vault.tamper(*file, (damage != Damage::Delete).then_some(content));
        (vault, *file)
    };
    files.map(damage_one).collect()
}

/// All damaged forms of `vault`, one after another.
pub(crate) fn each_damage(vault: &MemStorage, mut visit: impl FnMut(Damage, Part, &MemStorage, FileId)) {
    for damage in DAMAGES {
        for part in PARTS {
            let damaged = damaged(vault, damage, part);
            assert!(!damaged.is_empty(), "the vault has files of every kind");
            for (vault, file) in damaged {
                visit(damage, part, &vault, file);
            }
        }
    }
}

/// Opens the vault; what cannot be opened says why.
fn try_open(vault: &MemStorage) -> Result<Repository, lifeboat_repository::Error> {
    Repository::open(std::sync::Arc::new(vault.clone()), &Password::new(PASSWORD), settings())
}

fn assert_names(report: &CheckReport, file: FileId, what: &str) {
    let is_named = report.problems.iter().any(|problem| problem.subject == Subject::File(file));
    assert!(is_named, "{what}: {file} is not among {:#?}", report.problems);
}

#[test]
fn a_vault_without_a_whole_config_or_key_says_so_when_opened() {
    each_damage(&vault::small(), |damage, part, vault, _| {
        let opened = try_open(vault).map(|_| ()).map_err(|error| error.kind);
        let expected = match (part, damage) {
            (Part::Config, Damage::Delete) => Err(ErrorKind::NoRepository),
            // This bit is in the remark on when the key was made; only check minds.
            (Part::Key, Damage::Flip) => Ok(()),
            (Part::Config | Part::Key, _) => Err(ErrorKind::Damaged),
            _ => Ok(()),
        };
        assert_eq!(opened, expected, "{damage:?} {part:?}");
    });
}

#[test]
fn check_names_every_damage() {
    let whole = vault::small();
    let live = vault::assert_sound(&whole).blobs;
    each_damage(&whole, |damage, part, vault, file| {
        let what = format!("{damage:?} {part:?}");
        // Opened before the damage, for what cannot be opened after it.
        let handle = whole.fork();
        let repository = vault::open(&handle);
        handle.tamper(file, vault.contents().get(&file).map(|content| content.to_vec()));
        let before = handle.contents();
        let report = vault::check(&repository);
        assert_eq!(handle.contents(), before, "{what}: a check writes nothing");
        match (part, damage) {
            // Nobody can know of a snapshot that is gone without a trace; its blobs are merely unused.
            (Part::Snapshot, Damage::Delete) => {
                assert!(report.is_sound());
                assert_eq!(report.unused_blobs, live);
            }
            (Part::Index, Damage::Delete) => {
                assert!(!report.is_sound(), "{what}");
                assert_eq!(report.hint_count, 2, "{what}: the packs are in no index now");
            }
            _ => assert_names(&report, file, &what),
        }
    });
}

#[test]
fn check_without_reading_data_finds_missing_and_short_files() {
    let whole = vault::small();
    each_damage(&whole, |damage, part, vault, file| {
        let is_about_size = damage != Damage::Flip && part.kind() == FileKind::Pack;
        if is_about_size {
            let report = vault::open(vault).check(&Default::default(), &Ctx::default()).unwrap();
            assert_names(&report, file, &format!("{damage:?} {part:?}"));
            assert_eq!(report.packs_read, 0);
        }
    });
}

#[test]
fn check_finds_every_flipped_bit() {
    let whole = vault::small();
    let work: Vec<_> = whole.contents().into_iter().collect();
    let bits: usize = work.iter().map(|(_, content)| content.len() * 8).sum();
    assert!(bits > 10_000, "the vault is more than a few headers");
    std::thread::scope(|scope| {
        for part in 0..2 {
            let (whole, work) = (whole.fork(), &work);
            scope.spawn(move || {
                let repository = vault::open(&whole);
                for (file, content) in work {
                    for bit in (part..content.len() * 8).step_by(2) {
                        let mut flipped = content.to_vec();
                        flipped[bit / 8] ^= 1 << (bit % 8);
                        whole.tamper(*file, Some(flipped));
                        let report = vault::check(&repository);
                        assert_names(&report, *file, &format!("bit {bit} of {file}"));
                    }
                    whole.tamper(*file, Some(content.to_vec()));
                }
                assert!(vault::check(&repository).is_sound());
            });
        }
    });
}

/// What a backup with a parent and a restore of it must say of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It needs the file, and refuses to go on.
    Refuses,
    /// It needs the file and names what it misses, but does what can be done.
    Tells,
    /// It does not need what is damaged.
    Unconcerned,
}

/// Which operation needs which file: a backup the index, the parent's snapshot and its trees; a restore these and
/// the data. Neither needs the header of a pack that an index describes. (Config and key they need to open.)
fn expected(damage: Damage, part: Part, is_tree_pack: bool) -> (Verdict, Verdict) {
    use Verdict::{Refuses, Tells, Unconcerned};
    let is_gone = damage == Damage::Delete;
    match part {
        Part::Config | Part::Key => (Refuses, Refuses),
        Part::Snapshot => (Refuses, Refuses),
        // Without any index there is no parent's tree; with a damaged one nobody knows what is stored.
        Part::Index => (if is_gone { Tells } else { Refuses }, Refuses),
        Part::PackHeader if !is_gone => (Unconcerned, Unconcerned),
        // The one tree pack holds the root.
        Part::PackHeader | Part::PackBody if is_tree_pack => (Tells, Refuses),
        Part::PackHeader | Part::PackBody => (Unconcerned, Tells),
    }
}

fn verdict(ran: &lifeboat_repository::Result<bool>) -> Verdict {
    match ran {
        Err(_) => Verdict::Refuses,
        Ok(true) => Verdict::Tells,
        Ok(false) => Verdict::Unconcerned,
    }
}

/// Backs up the folder with the parent; tells whether anything was said to be wrong.
fn try_backup(vault: &MemStorage, folder: &Path, parent: SnapshotId) -> lifeboat_repository::Result<bool> {
    let repository = try_open(vault)?;
    let report = testkit::backup(&repository, folder, &["."], Some(parent))?;
    assert_eq!(report.lost_count, 0, "the source is whole");
    Ok(!report.parent_errors.is_empty())
}

/// Restores the snapshot; tells whether anything was said to be wrong.
fn try_restore(vault: &MemStorage, snapshot: SnapshotId, target: &Path) -> lifeboat_repository::Result<bool> {
    let repository = try_open(vault)?;
    let tree = repository.load_snapshot(snapshot)?.tree;
    repository.load_index(&Ctx::default())?;
    let target = FilesTarget::open(target, Path::new("/"), Path::new("/tmp")).unwrap();
    Ok(repository.restore(tree, &target, &RestoreOptions::default(), &Ctx::default())?.lost_count > 0)
}

/// A folder, and a vault with a backup of it.
fn ground() -> (TempDir, MemStorage, SnapshotId, FileId) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["first", "second"] {
        std::fs::write(folder.path().join(name), format!("content of the {name} file")).unwrap();
    }
    let vault = MemStorage::new();
    testkit::init(Arc::new(vault.clone()));
    let snapshot = vault::backup(&vault, folder.path());
    let repository = vault::open(&vault);
    let tree = BlobRef { kind: BlobKind::Tree, id: repository.load_snapshot(snapshot).unwrap().tree };
    let tree_pack = repository.locate(tree).unwrap()[0].pack;
    (folder, vault, snapshot, tree_pack.into())
}

#[test]
fn backup_and_restore_tell_every_damage_to_what_they_need_and_make_none_worse() {
    let (folder, whole, snapshot, tree_pack) = ground();
    let mut told = 0;
    each_damage(&whole, |damage, part, vault, file| {
        let what = format!("{damage:?} {part:?} {file}");
        let before = vault.contents();
        let mut expected = expected(damage, part, file == tree_pack);
        if part == Part::Key && damage == Damage::Flip {
            // This bit is in the remark on when the key was made; only check minds.
            expected = (Verdict::Unconcerned, Verdict::Unconcerned);
        }
        let target = tempfile::tempdir().unwrap();
        let restored = verdict(&try_restore(vault, snapshot, target.path()));
        assert_eq!(vault.contents(), before, "{what}: a restore writes nothing");
        if restored == Verdict::Unconcerned {
            assert_eq!(vault::files_in(target.path()), vault::files_in(folder.path()), "{what}");
        }
        for name in ["first", "second"] {
            // Whatever is there under a file's name is that file.
            if let Ok(content) = std::fs::read(target.path().join(name)) {
                assert_eq!(content, std::fs::read(folder.path().join(name)).unwrap(), "{what}");
            }
        }
        let backed_up = verdict(&try_backup(vault, folder.path(), snapshot));
        assert_eq!((backed_up, restored), expected, "{what}");
        told += [backed_up, restored].iter().filter(|verdict| **verdict != Verdict::Unconcerned).count();
        for (file, content) in &before {
            assert_eq!(vault.contents().get(file), Some(content), "{what}: a backup only adds");
        }
        if backed_up == Verdict::Refuses {
            assert_eq!(vault.contents(), before, "{what}: refused, so nothing is added");
        }
    });
    assert!(told > 20, "{told} verdicts were more than silence");
}

#[test]
fn a_backup_mends_the_trees_and_the_index_that_its_parent_has_lost() {
    let (folder, whole, snapshot, tree_pack) = ground();
    let index = vault::files(&whole, FileKind::Index)[0];
    for file in [index, tree_pack] {
        let vault = whole.fork();
        vault.tamper(file, None);
        assert!(try_backup(&vault, folder.path(), snapshot).unwrap());
        let target = tempfile::tempdir().unwrap();
        assert!(!try_restore(&vault, snapshot, target.path()).unwrap(), "also the snapshot from before");
        assert_eq!(vault::files_in(target.path()), vault::files_in(folder.path()));
    }
}
