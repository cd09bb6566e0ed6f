//! Every counter of a restore, and what becomes of what is there already.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lifeboat_model::files::{ConflictPolicy, FilesRestoreSpec};
use lifeboat_worker::JobError;

use crate::scene::{Ran, Scene};

fn saved() -> (Scene, Ran) {
    let scene = Scene::new();
    scene.write("a", vec![1; 100_000]);
    scene.write("same as a", vec![1; 100_000]);
    scene.write("sub/b", "from the snapshot");
    scene.write("sub/c.log", "log");
    let ran = scene.back_up(&scene.order(&[&scene.source()], None));
    assert!(!ran.is_partial());
    (scene, ran)
}

fn to(folder: &Path) -> FilesRestoreSpec {
    FilesRestoreSpec { target_path: Some(folder.to_str().unwrap().to_owned()), ..FilesRestoreSpec::default() }
}

#[test]
fn a_restore_counts_what_it_wrote_and_what_it_fetched_for_that() {
    let (scene, snapshot) = saved();
    let target = scene.path("target");
    assert!(matches!(scene.restore(&snapshot, to(&target)).done, Err(JobError::NoTarget(_))));
    fs::create_dir(&target).unwrap();
    let ran = scene.restore(&snapshot, to(&target));
    assert!(!ran.is_partial());
    let counters = ran.counters;
    assert_eq!(fs::read(target.join("source/sub/b")).unwrap(), b"from the snapshot");
    let bytes = 200_000 + 17 + 3;
    assert_eq!((counters.items_total, counters.bytes_total), (Some(6), Some(bytes)));
    assert_eq!((counters.items_done, counters.items_actual), (6, 6));
    assert_eq!((counters.bytes_done, counters.bytes_handled), (bytes, bytes));
    assert_eq!(counters.bytes_actual, 100_000 + 17 + 3, "what is twice in the snapshot is fetched once");
    assert_eq!(ran.count("success"), 6);

    // Once more over it: files stay, and nothing is fetched.
    let ran = scene.restore(&snapshot, to(&target));
    let counters = ran.counters;
    assert!(!ran.is_partial());
    assert_eq!((counters.bytes_done, counters.bytes_actual, counters.bytes_handled), (0, 0, bytes));
    assert_eq!([ran.count("skipped"), ran.count("success")], [4, 2], "folders get their times again");
    assert_eq!((counters.items_done, counters.items_actual), (6, 2));
}

#[test]
fn rules_are_relative_to_the_lowest_folder_that_was_backed_up() {
    let (scene, snapshot) = saved();
    let target = scene.path("target");
    fs::create_dir(&target).unwrap();
    let spec = FilesRestoreSpec {
        include: vec!["/source/sub".to_owned()],
        exclude: vec!["sub/*.log".to_owned()],
        ..to(&target)
    };
    let ran = scene.restore(&snapshot, spec);
    assert!(target.join("source/sub/b").exists());
    assert!(!target.join("source/sub/c.log").exists() && !target.join("source/a").exists());
    assert_eq!((ran.counters.items_total, ran.counters.items_done), (Some(2), 2), "the folder and the file");
    assert!(!ran.is_partial());
}

#[test]
fn folders_that_are_called_alike_come_back_under_the_whole_of_their_paths() {
    let scene = Scene::new();
    scene.write("a/data/x", "of a");
    scene.write("b/data/x", "of b");
    scene.write("b/data/y", "of b alone");
    scene.write("c/other/z", "elsewhere");
    let source = scene.source();
    let paths = ["a/data", "b/data", "c/other"].map(|path| source.join(path));
    let snapshot = scene.back_up(&scene.order(&paths.each_ref().map(|path| path.as_path()), None));
    let target = scene.path("target");
    fs::create_dir(&target).unwrap();
    let ran = scene.restore(&snapshot, to(&target));
    assert!(!ran.is_partial());
    let below = target.join(source.strip_prefix("/").unwrap());
    for (file, content) in
        [("a/data/x", "of a"), ("b/data/x", "of b"), ("b/data/y", "of b alone"), ("c/other/z", "elsewhere")]
    {
        assert_eq!(fs::read_to_string(below.join(file)).unwrap(), content);
    }
    assert_eq!((ran.counters.items_total, ran.counters.items_actual), (Some(7), 7));

    // Rules stay relative to the last of the names.
    let target = scene.path("some");
    fs::create_dir(&target).unwrap();
    let spec = FilesRestoreSpec { include: vec!["/data/y".to_owned()], ..to(&target) };
    assert!(!scene.restore(&snapshot, spec).is_partial());
    let below = target.join(source.strip_prefix("/").unwrap());
    assert!(below.join("b/data/y").exists() && !below.join("b/data/x").exists() && !below.join("a").exists());

    // Two that are called differently come back as ever.
    let snapshot = scene.back_up(&scene.order(&[&paths[0], &paths[2]], None));
    let target = scene.path("each");
    fs::create_dir(&target).unwrap();
    assert!(!scene.restore(&snapshot, to(&target)).is_partial());
    assert!(target.join("data/x").exists() && target.join("other/z").exists());
}

#[test]
fn the_policy_decides_what_becomes_of_a_file_that_is_there() {
    let (scene, snapshot) = saved();
    let file = scene.source().join("sub/b");
    for (conflict, age_days, is_replaced) in [
        (ConflictPolicy::SkipTheFile, 100, false),
        (ConflictPolicy::OverwriteExisting, 0, true),
        (ConflictPolicy::KeepLatest, 100, true),
        (ConflictPolicy::KeepLatest, -1, false),
    ] {
        fs::write(&file, "from the disk").unwrap();
        let day = Duration::from_secs(86_400);
        #[expect(clippy::disallowed_methods, reason = "files have the time of the machine")]
        let now = SystemTime::now();
        let time = if age_days < 0 { now + day } else { now - day * u32::try_from(age_days).unwrap() };
        fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let ran = scene.restore(&snapshot, FilesRestoreSpec { conflict, ..FilesRestoreSpec::default() });
        assert!(!ran.is_partial());
        let there = fs::read_to_string(&file).unwrap();
        assert_eq!(there == "from the snapshot", is_replaced, "{conflict:?} {age_days}");
        let row = ran.rows.iter().find(|row| row[0] == file.to_str().unwrap()).unwrap();
        assert_eq!(row[1], if is_replaced { "success" } else { "skipped" });
    }
}

#[test]
fn an_entry_that_cannot_be_written_makes_the_restore_partial_and_is_named() {
    let (scene, snapshot) = saved();
    let target = scene.path("target");
    fs::create_dir_all(target.join("source/sub/b/folder with content/x")).unwrap();
    let spec = FilesRestoreSpec { conflict: ConflictPolicy::OverwriteExisting, ..to(&target) };
    let ran = scene.restore(&snapshot, spec);
    assert!(ran.is_partial());
    assert_eq!(ran.failed, [target.join("source/sub/b").to_str().unwrap()]);
    assert_eq!((ran.counters.items_done, ran.counters.items_actual), (6, 5));
    assert_eq!(ran.counters.bytes_done, 200_003);
}

#[test]
fn a_damaged_pack_is_never_a_whole_restore() {
    let (scene, snapshot) = saved();
    let target = scene.path("target");
    fs::create_dir(&target).unwrap();
    for pack in scene.packs() {
        let whole = fs::read(&pack).unwrap();
        let mut damaged = whole.clone();
        // In the first blob; what is at the end nobody reads who has the index.
        damaged[10] ^= 1;
        fs::write(&pack, damaged).unwrap();
        let ran = scene.restore(&snapshot, to(&target));
        match ran.done {
            Ok(ref done) => {
                assert!(done.is_partial && !ran.failed.is_empty(), "{}", pack.display());
                assert_eq!(ran.count("failed"), ran.failed.len() as u64);
            }
            Err(_) => assert_eq!(ran.count("success"), 0, "{}", pack.display()),
        }
        fs::write(&pack, whole).unwrap();
        fs::remove_dir_all(target.join("source")).unwrap_or_default();
    }
    assert!(!scene.restore(&snapshot, to(&target)).is_partial(), "as it was");
}
