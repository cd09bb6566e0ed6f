//! The damage matrix: every kind of damage to every kind of file, and what each operation makes of it.
//!
//! None may panic, none may pass it over in silence, none may make it worse.

use lifeboat_repository::check::{CheckReport, Subject};
use lifeboat_repository::key::Password;
use lifeboat_repository::repository::Repository;
use lifeboat_repository::storage::{FileId, FileKind, MemStorage};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::repository::{PASSWORD, settings};

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
