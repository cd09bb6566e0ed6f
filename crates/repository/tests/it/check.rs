//! Checks of vaults that restic and we wrote, whole and damaged in ways of their own.

use std::sync::Arc;

use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::check::{CheckOptions, HintKind, ProblemKind, ReadData, Subject};
use lifeboat_repository::id::{BlobId, Id};
use lifeboat_repository::storage::{Body, FileId, FileKind, LocalStorage, MemStorage, Storage};
use lifeboat_repository::{Ctx, ErrorKind};
use lifeboat_testkit::repository as kit;
use lifeboat_testkit::restic::Restic;
use lifeboat_testkit::tree::{TreeOptions, build};

use crate::vault;

#[test]
fn a_vault_that_restic_wrote_is_sound() {
    for version in ["1", "2"] {
        let work = tempfile::tempdir().unwrap();
        let vault = work.path().join("vault");
        let tree = work.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        build(&tree, 5, &TreeOptions::default());
        let restic = Restic::new(&vault);
        restic.run(["init", "--repository-version", version]);
        restic.backup(work.path(), ["tree"]);
        std::fs::write(tree.join("one more"), "content").unwrap();
        restic.backup(work.path(), ["tree"]);
        let repository = kit::open(Arc::new(LocalStorage::new(&vault)));
        let report = vault::check(&repository);
        assert!(report.is_sound(), "{:#?}", report.problems);
        assert_eq!(
            (report.snapshots, report.unused_blobs, report.hint_count),
            (2, 0, 0),
            "{:?}",
            report.hints
        );
        assert_eq!(report.packs_read, report.packs);
        assert_eq!(report.bytes_read, report.pack_bytes);
        restic.run(["forget", "--keep-last", "1"]);
        let report = vault::check(&repository);
        assert!(report.is_sound() && report.unused_blobs > 0, "{report:#?}");
    }
}

#[test]
fn one_damaged_snapshot_does_not_hide_what_the_others_miss() {
    let vault = vault::small();
    let second = tempfile::tempdir().unwrap();
    std::fs::write(second.path().join("other"), "something else").unwrap();
    let id = vault::backup(&vault, second.path());
    vault.tamper(id.into(), Some(b"rubbish".to_vec()));
    let packs = vault::files(&vault, FileKind::Pack);
    for pack in &packs {
        vault.tamper(*pack, None);
    }
    let report = vault::check(&vault::open(&vault));
    let subjects: Vec<_> = report.problems.iter().map(|problem| problem.subject).collect();
    for file in packs.into_iter().chain([id.into()]) {
        assert!(subjects.contains(&Subject::File(file)), "{file} is not among {subjects:?}");
    }
    let has_tree = subjects.iter().any(|subject| matches!(subject, Subject::Blob(_)));
    assert!(has_tree, "the tree of the other snapshot cannot be read");
}

#[test]
fn one_damaged_index_file_is_named_and_the_others_count() {
    let vault = vault::small();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other"), "something else").unwrap();
    vault::backup(&vault, folder.path());
    let indexes = vault::files(&vault, FileKind::Index);
    assert_eq!(indexes.len(), 2);
    let repository = vault::open(&vault);
    vault.tamper(indexes[0], Some(vec![0; 100]));
    let report = vault::check(&repository);
    assert_eq!(report.index_files, 2);
    assert!(report.problems.iter().any(|problem| problem.subject == Subject::File(indexes[0])));
    assert!(report.blobs > 0);
}

/// Puts an index file that says this.
fn put_index(vault: &MemStorage, json: &str) -> FileId {
    let id = vault::open(vault).save_unpacked(FileKind::Index, json.as_bytes()).unwrap();
    FileId::new(FileKind::Index, id)
}

#[test]
fn an_index_that_contradicts_a_pack_is_found() {
    let vault = vault::small();
    let pack = vault::files(&vault, FileKind::Pack)[0];
    let blob = Id::of(b"a blob that is not there");
    let json = format!(
        r#"{{"packs":[{{"id":"{}","blobs":[{{"id":"{blob}","type":"data","offset":3,"length":40}}]}}]}}"#,
        pack.id
    );
    put_index(&vault, &json);
    let report = vault::check(&vault::open(&vault));
    let of_pack = |kind| {
        report
            .problems
            .iter()
            .filter(|problem| (problem.subject, problem.kind) == (Subject::File(pack), kind))
            .count()
    };
    assert_eq!(of_pack(ProblemKind::WrongSize), 1, "{:#?}", report.problems);
    assert_eq!(of_pack(ProblemKind::Contradicted), 2, "blobs across each other, and the header");
    assert_eq!(
        report.hints.iter().map(|hint| hint.kind).collect::<Vec<_>>(),
        [HintKind::PackInSeveralIndexes]
    );
}

#[test]
fn harmless_oddities_are_hints() {
    let vault = vault::small();
    let index = vault::files(&vault, FileKind::Index)[0];
    let json = vault::open(&vault).load_unpacked(FileKind::Index, index.id).unwrap();
    let json = String::from_utf8(json).unwrap();
    let legacy = json.strip_prefix(r#"{"packs":"#).unwrap().strip_suffix('}').unwrap();
    put_index(&vault, legacy);
    vault.tamper(index, None);
    let stray = b"a pack that an interrupted backup left".to_vec();
    let file = FileId::new(FileKind::Pack, Id::of(&stray));
    vault.put(file, &Body::from_bytes(stray)).unwrap();
    let report = vault::assert_sound(&vault);
    let kinds: Vec<_> = report.hints.iter().map(|hint| (hint.kind, hint.subject)).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert_eq!(kinds[0].0, HintKind::LegacyIndex);
    assert_eq!(kinds[1], (HintKind::UnreferencedPack, Subject::File(file)));
}

#[test]
fn a_snapshot_without_its_tree_is_a_problem_of_the_tree() {
    let vault = vault::small();
    let repository = vault::open(&vault);
    let mut snapshot = kit::snapshot_of(&["x".into()]);
    snapshot.tree = BlobId::of(b"nowhere");
    let id = repository.save_snapshot(&snapshot).unwrap();
    let report = vault::check(&repository);
    let tree = BlobRef { kind: BlobKind::Tree, id: snapshot.tree };
    let [problem] = &*report.problems else { panic!("{:#?}", report.problems) };
    assert_eq!((problem.subject, problem.kind), (Subject::Blob(tree), ProblemKind::Missing));
    assert!(problem.to_string().contains(&id.to_string()), "{problem}");
}

#[test]
fn a_subset_reads_as_many_packs_as_asked_for() {
    let vault = vault::small();
    let repository = vault::open(&vault);
    let packs_read = |read_data| {
        let options = CheckOptions { read_data, ..CheckOptions::default() };
        repository.check(&options, &Ctx::default()).unwrap().packs_read
    };
    assert_eq!(packs_read(ReadData::None), 0);
    assert_eq!(packs_read(ReadData::Percent(50.0)), 1);
    assert_eq!(packs_read(ReadData::Bytes(1 << 30)), 2);
    assert_eq!((1..=3).map(|number| packs_read(ReadData::Group { number, of: 3 })).sum::<u64>(), 2);
}

#[test]
fn a_cancelled_check_is_cancelled() {
    let ctx = Ctx::default();
    let repository = vault::open(&vault::small());
    ctx.cancel.cancel();
    let error = repository.check(&vault::everything(), &ctx).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
}
