//! Every counter of a backup against a walk of its own and against what restic says is in the vault.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lifeboat_model::files::FilesSpec;
use lifeboat_testkit::random::Random;
use lifeboat_worker::JobError;
use serde_json::Value;

use crate::scene::Scene;

/// Entries, regular files and their bytes below a folder, itself included.
fn walk(folder: &Path) -> (u64, u64, u64) {
    let mut found = (1, 0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let (items, files, bytes) = match () {
            () if meta.is_dir() => walk(&path),
            () if meta.is_file() => (1, 1, meta.len()),
            () => (1, 0, 0),
        };
        found = (found.0 + items, found.1 + files, found.2 + bytes);
    }
    found
}

/// Length before compression of all blobs of file content that the vault's indexes name, as restic reads them.
fn data_bytes(scene: &Scene) -> u64 {
    let restic = scene.restic();
    let listed = String::from_utf8(restic.run(["list", "index"])).unwrap();
    let mut blobs = BTreeSet::new();
    for index in listed.lines() {
        let index: Value = serde_json::from_slice(&restic.cat("index", index)).unwrap();
        for blob in
            index["packs"].as_array().unwrap().iter().flat_map(|pack| pack["blobs"].as_array().unwrap())
        {
            if blob["type"] == "data" {
                let sealed = blob["length"].as_u64().unwrap() - 32;
                let plain = blob["uncompressed_length"].as_u64().unwrap_or(sealed);
                blobs.insert((blob["id"].as_str().unwrap().to_owned(), plain));
            }
        }
    }
    blobs.iter().map(|(_, plain)| plain).sum()
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    Random::new(seed).bytes(length)
}

/// A file that root can see and nobody can read.
fn unreadable() -> PathBuf {
    PathBuf::from(format!("/proc/{}/mem", std::process::id()))
}

#[test]
fn each_counter_equals_a_walk_and_the_blobs_that_restic_finds() {
    let scene = Scene::new();
    scene.write("big", random(1, 5_000_000));
    scene.write("copy of big", random(1, 5_000_000));
    scene.write("text", "the same words ".repeat(100_000));
    scene.write("deep/er/small", "small");
    scene.write("deep/er/same as small", "small");
    scene.write("empty", "");
    symlink("big", scene.source().join("link")).unwrap();
    let (items, files, bytes) = walk(&scene.source());
    assert_eq!((items, files), (10, 6));

    let bad = unreadable();
    let first = scene.back_up(&scene.order(&[&scene.source(), &bad], None));
    let counters = first.counters;
    assert!(first.is_partial(), "one could not be read");
    assert_eq!(first.failed, [bad.to_str().unwrap()]);
    assert_eq!(counters.items_total, Some(items + 1));
    assert_eq!(counters.files_total, Some(files + 1));
    assert_eq!(counters.bytes_total, Some(bytes));
    assert_eq!((counters.items_done, counters.files_done), (items + 1, files + 1));
    assert_eq!((counters.items_actual, counters.files_actual), (items, files));
    assert_eq!((counters.bytes_done, counters.bytes_handled), (bytes, bytes));
    assert_eq!(counters.bytes_actual, data_bytes(&scene), "duplicates are stored once");
    assert!(counters.bytes_actual < bytes - 5_000_000);
    assert_eq!([first.count("success"), first.count("failed"), first.count("skipped")], [items, 1, 0]);

    // Unchanged, and without what could not be read.
    let again = scene.back_up(&scene.order(&[&scene.source()], Some(&first)));
    let counters = again.counters;
    assert!(!again.is_partial() && again.failed.is_empty());
    assert_eq!((counters.bytes_done, counters.bytes_actual), (0, 0));
    assert_eq!((counters.items_done, counters.items_actual, counters.files_actual), (items, 0, 0));
    assert_eq!((counters.bytes_total, counters.bytes_handled), (Some(bytes), bytes));
    assert_eq!([again.count("success"), again.count("skipped")], [0, items]);

    // Two changed, one of them to what is known; one new with its folder's time.
    let before = data_bytes(&scene);
    scene.write("deep/er/small", "changed");
    scene.write("empty", "small");
    scene.write("new", random(2, 700_000));
    let (items, files, bytes) = walk(&scene.source());
    let third = scene.back_up(&scene.order(&[&scene.source()], Some(&again)));
    let counters = third.counters;
    assert_eq!(
        (counters.items_total, counters.files_total, counters.bytes_total),
        (Some(items), Some(files), Some(bytes))
    );
    assert_eq!((counters.items_done, counters.files_done, counters.bytes_handled), (items, files, bytes));
    assert_eq!(counters.files_actual, 3);
    assert_eq!(counters.items_actual, 4, "the folder that has a new name in it is another one");
    assert_eq!(counters.bytes_done, 7 + 5 + 700_000);
    assert_eq!(counters.bytes_actual, 7 + 700_000, "what is known is not stored again");
    assert_eq!(data_bytes(&scene) - before, counters.bytes_actual);
    assert_eq!(third.count("success") + third.count("skipped"), third.counters.items_done);
    scene.restic().check();
}

#[test]
fn a_source_that_is_not_there_has_failed_and_one_of_two_is_partial() {
    let scene = Scene::new();
    scene.write("a", "a");
    let (gone, there) = (scene.path("gone"), scene.source());
    let ran = scene.back_up(&scene.order(&[&gone], None));
    assert!(matches!(ran.done, Err(JobError::NoSource)), "{:?}", ran.done);
    let ran = scene.back_up(&scene.order(&[&gone, &there], None));
    assert!(ran.is_partial());
    assert_eq!(ran.failed, [gone.to_str().unwrap()]);
    assert_eq!((ran.counters.items_done, ran.counters.items_total), (3, Some(3)));
    let empty = scene.path("empty");
    fs::create_dir(&empty).unwrap();
    let ran = scene.back_up(&scene.order(&[&empty], None));
    assert!(!ran.is_partial(), "an empty source is a whole one");
    assert_eq!((ran.counters.items_total, ran.counters.bytes_total), (Some(1), Some(0)));
}

#[test]
fn a_wildcard_takes_what_matches_and_nothing_beside() {
    let scene = Scene::new();
    for name in ["ann/docs/x", "bob/docs/y", "bob/music/z", "cat"] {
        scene.write(name, name);
    }
    let ran = scene.back_up(&scene.order(&[&scene.source().join("*/docs")], None));
    let paths: BTreeSet<_> = ran.rows.iter().map(|row| row[0].as_str()).collect();
    let wanted = ["ann/docs", "ann/docs/x", "bob/docs", "bob/docs/y"].map(|name| scene.source().join(name));
    assert_eq!(paths, wanted.iter().map(|path| path.to_str().unwrap()).collect());
    assert_eq!((ran.counters.items_total, ran.counters.bytes_total), (Some(4), Some(20)));
    let listed = String::from_utf8(scene.restic().run(["ls", "latest"])).unwrap();
    assert!(
        listed.contains("bob/docs/y") && !listed.contains("music") && !listed.contains("cat"),
        "{listed}"
    );
    let ran = scene.back_up(&scene.order(&[&scene.source().join("*/films")], None));
    assert!(matches!(ran.done, Err(JobError::NoSource)));
    // What is no wildcard means itself.
    scene.write("[x]/a", "a");
    let ran = scene.back_up(&scene.order(&[&scene.source().join("[x]*")], None));
    assert_eq!(ran.counters.items_total, Some(2));
}

#[test]
fn rules_take_absolute_paths_and_names_in_folders() {
    let scene = Scene::new();
    for name in ["docs/a.pdf", "docs/b.txt", "sub/docs/c.pdf", "music/d.mp3"] {
        scene.write(name, name);
    }
    let with = |include: &[&str], exclude: &[&str]| {
        let mut order = scene.order(&[&scene.source()], None);
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        order.spec.files = FilesSpec { include: owned(include), exclude: owned(exclude), ..order.spec.files };
        let ran = scene.back_up(&order);
        let below = format!("{}/", scene.source().display());
        let names = ran.rows.iter().filter_map(|row| Some(row[0].strip_prefix(&below)?.to_owned()));
        names.filter(|name| name.contains('.')).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(with(&["docs/*.pdf"], &[]), ["docs/a.pdf", "sub/docs/c.pdf"]);
    let absolute = scene.source().join("docs");
    assert_eq!(with(&[absolute.to_str().unwrap()], &["*.txt"]), ["docs/a.pdf"]);
    assert_eq!(with(&[], &["docs/*.pdf", "/nothing"]), ["docs/b.txt", "music/d.mp3"]);
}

#[test]
fn a_limit_holds_in_real_time() {
    let scene = Scene::new();
    scene.write("a", random(3, 1_500_000));
    let mut order = scene.order(&[&scene.source()], None);
    order.speed_limit = Some("0:24:1024".parse().unwrap());
    let began = std::time::Instant::now();
    let ran = scene.back_up(&order);
    let needed = ran.counters.bytes_actual as f64 / (1024.0 * 1024.0);
    assert!(began.elapsed().as_secs_f64() >= needed, "{:?} for {needed} s", began.elapsed());
}

#[test]
fn nothing_outside_the_allowed_folders_is_read() {
    let scene = Scene::new();
    scene.write("inside/a", "a");
    fs::create_dir(scene.path("outside")).unwrap();
    symlink(scene.path("outside"), scene.source().join("way")).unwrap();
    for (path, is_allowed) in [("inside", true), ("inside/a", true), ("way/x", false), ("../outside", false)]
    {
        let mut order = scene.order(&[&scene.source().join(path)], None);
        order.allowed = vec![scene.source()];
        let ran = scene.back_up(&order);
        assert_eq!(matches!(ran.done, Err(JobError::NotAllowed(_))), !is_allowed, "{path}: {:?}", ran.done);
    }
}
