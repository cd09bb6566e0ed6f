//! `restore` and `prune` as a user meets them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sandbox::Sandbox;

/// Every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    files(folder).into_keys().collect()
}

fn with_backup() -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["a", "b.txt", "deep/c.txt", "deep/er/d"] {
        sandbox.write(&format!("source/{name}"), &format!("content of {name}"));
    }
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    sandbox
}

#[test]
fn a_restore_brings_everything_back_below_the_target_at_its_full_path() {
    let sandbox = with_backup();
    let summary = sandbox
        .run(&["restore", "latest", "--target", &sandbox.arg("out"), "--verify", "--json"])
        .ok()
        .json();
    let root = sandbox.path("out").join(sandbox.arg("source").trim_start_matches('/'));
    assert_eq!(files(&root), files(&sandbox.path("source")));
    assert_eq!((&summary["message_type"], &summary["error_count"]), (&"summary".into(), &0.into()));
    assert_eq!(summary["files_verified"], 4);
}

#[test]
fn a_folder_of_a_snapshot_is_restored_without_what_is_above_it() {
    let sandbox = with_backup();
    let folder = format!("latest:{}", sandbox.arg("source/deep"));
    sandbox.run(&["restore", &folder, "-t", &sandbox.arg("out")]).ok();
    assert_eq!(names(&sandbox.path("out")), ["c.txt", "er/d"]);
    sandbox.run(&["restore", "latest:/nowhere", "-t", &sandbox.arg("out")]).expect_code(1);
}

#[test]
fn includes_and_excludes_choose_what_comes_back() {
    let sandbox = with_backup();
    let folder = format!("latest:{}", sandbox.arg("source"));
    let restored = |name: &str, options: &[&str]| {
        let target = sandbox.arg(name);
        sandbox.run(&[&["restore", &folder, "-t", &target], options].concat()).ok();
        names(&sandbox.path(name))
    };
    assert_eq!(restored("1", &["--include", "*.txt"]), ["b.txt", "deep/c.txt"]);
    assert_eq!(restored("2", &["--iinclude", "/DEEP", "--exclude", "er"]), ["deep/c.txt"]);
    assert_eq!(restored("3", &["--exclude", "*", "--exclude", "!a"]), ["a"]);
}

#[test]
fn what_exists_is_treated_as_told() {
    let sandbox = with_backup();
    let folder = format!("latest:{}", sandbox.arg("source"));
    let restore =
        |options: &[&str]| sandbox.run(&[&["restore", &folder, "-t", &sandbox.arg("out")], options].concat());
    sandbox.write("out/a", "mine");
    sandbox.write("out/extra", "mine");
    restore(&["--overwrite", "never"]).ok();
    assert_eq!(files(&sandbox.path("out"))["a"], "mine");
    let dry = restore(&["--dry-run", "--delete"]).ok().text();
    assert!(dry.contains("deleted   ") && dry.contains("extra"), "{dry}");
    assert_eq!(files(&sandbox.path("out"))["extra"], "mine");
    restore(&["--delete"]).ok();
    assert_eq!(files(&sandbox.path("out")), files(&sandbox.path("source")));
}

#[test]
fn a_damaged_file_is_named_and_the_rest_comes_back() {
    let sandbox = with_backup();
    sandbox.write("source/new", &"another pack".repeat(100));
    let before = packs(&sandbox);
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    let added = packs(&sandbox).into_iter().filter(|pack| !before.contains(pack));
    let largest = added.max_by_key(|pack| std::fs::metadata(pack).unwrap().len()).unwrap();
    // The content of the new file is the only data in the packs of the second backup.
    let listed = sandbox
        .run(&["find", "--json", "--pack", largest.file_name().unwrap().to_str().unwrap()])
        .ok()
        .json();
    let is_data = listed[0]["object_type"] == "blob";
    let victim = if is_data {
        largest
    } else {
        packs(&sandbox).into_iter().find(|pack| !before.contains(pack) && *pack != largest).unwrap()
    };
    let mut content = std::fs::read(&victim).unwrap();
    content[20] ^= 1;
    std::fs::set_permissions(&victim, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&victim, content).unwrap();
    let folder = format!("latest:{}", sandbox.arg("source"));
    let ran = sandbox.run(&["restore", &folder, "-t", &sandbox.arg("out")]).expect_code(1);
    assert!(ran.stderr.contains("/new"), "{}", ran.stderr);
    let restored = files(&sandbox.path("out"));
    for name in ["a", "b.txt", "deep/c.txt", "deep/er/d"] {
        assert_eq!(restored[name], format!("content of {name}"));
    }
}

fn packs(sandbox: &Sandbox) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(sandbox.default_vault().join("data")).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|pack| pack.unwrap().path())
        .collect()
}

#[test]
fn forget_and_prune_free_what_nobody_needs() {
    let sandbox = with_backup();
    sandbox.write("source/a", &"something quite different ".repeat(1000));
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    let unused = |options: &[&str]| {
        sandbox.run(&[&["prune", "--json"], options].concat()).ok().json()["bytes"]["unused"].as_u64()
    };
    assert_eq!(unused(&["--dry-run"]), Some(0));
    sandbox.run(&["forget", "--keep-last", "1"]).ok();
    assert!(unused(&["--dry-run"]) > Some(0));
    sandbox.run(&["backup", "-q", "--tag", "x", &sandbox.arg("source")]).ok();
    sandbox.run(&["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]).ok();
    assert_eq!(unused(&["--dry-run"]), Some(0));
    sandbox.restic(&["check", "--read-data"]).ok();
    let folder = format!("latest:{}", sandbox.arg("source"));
    sandbox.run(&["restore", &folder, "-t", &sandbox.arg("out")]).ok();
    assert_eq!(files(&sandbox.path("out")), files(&sandbox.path("source")));
}

#[test]
fn snapshots_are_copied_into_a_vault_that_cuts_files_alike() {
    let sandbox = with_backup();
    sandbox.write("source/a", "changed");
    sandbox.run(&["backup", "-q", "--tag", "second", &sandbox.arg("source")]).ok();
    sandbox.write("pw", "secret");
    let (from, key, to, pw) =
        (sandbox.default_vault(), sandbox.key_file(), sandbox.arg("copy"), sandbox.arg("pw"));
    let from = ["--from-repo", from.to_str().unwrap(), "--from-password-file", key.to_str().unwrap()];
    let in_copy = |arguments: &[&str]| sandbox.run(&[&["-r", &to, "-p", &pw], arguments].concat());
    in_copy(&[&["copy"], &from[..]].concat()).expect_code(10);
    in_copy(&[&["init", "--copy-chunker-params"], &from[..]].concat()).ok();
    let one = in_copy(&[&["copy", "--json", "--tag", "second"], &from[..]].concat()).ok().json();
    assert_eq!((&one["snapshots_copied"], &one["snapshots_skipped"]), (&1.into(), &0.into()));
    let rest = in_copy(&[&["copy", "--json"], &from[..]].concat()).ok().json();
    assert_eq!((&rest["snapshots_copied"], &rest["snapshots_skipped"]), (&1.into(), &1.into()));
    // A backup of what the copy holds adds nothing: both vaults cut files at the same places.
    let again = in_copy(&["backup", "--json", "--force", &sandbox.arg("source")]).ok().json();
    assert_eq!(again["data_blobs"], 0);
    sandbox.restic_on(&sandbox.path("copy"), &sandbox.path("pw"), &["check", "--read-data"]).ok();
}

#[test]
fn deleting_below_the_root_needs_an_include_or_exclude() {
    let sandbox = with_backup();
    std::os::unix::fs::symlink("/", sandbox.path("slash")).unwrap();
    let up = "../".repeat(sandbox.path("x").components().count());
    // Dry runs, so that nothing is lost where these are not refused.
    let restore = |target: &str, options: &[&str]| {
        let common = ["restore", "latest", "--dry-run", "--delete", "--target", target];
        sandbox.run(&[&common, options].concat())
    };
    for target in ["/", "//.", &sandbox.arg("slash"), &up, "/proc/self/root", "/nowhere/.."] {
        let ran = restore(target, &[]).expect_code(1);
        assert!(ran.stderr.contains("needs an include or exclude"), "{target}: {}", ran.stderr);
        assert_eq!(ran.text(), "", "{target}");
    }
    restore("/", &["--include", &sandbox.arg("source")]).ok();
}

#[test]
fn latest_is_not_an_older_snapshot_while_one_cannot_be_read() {
    let sandbox = with_backup();
    let old = sandbox.run(&["snapshots", "--json"]).ok().json()[0]["id"].as_str().unwrap().to_owned();
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    for snapshot in std::fs::read_dir(sandbox.default_vault().join("snapshots")).unwrap() {
        let path = snapshot.unwrap().path();
        if path.file_name().unwrap() != old.as_str() {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::write(&path, "damage").unwrap();
        }
    }
    let out = sandbox.arg("out");
    let file = sandbox.arg("source/a");
    for command in [&["restore", "latest", "-t", &out][..], &["ls", "latest"], &["dump", "latest", &file]] {
        let ran = sandbox.run(command).expect_code(1);
        assert!(ran.stderr.contains("cannot tell which snapshot is the latest"), "{}", ran.stderr);
        assert_eq!(ran.text(), "");
    }
    assert!(!sandbox.path("out").exists());
    sandbox.run(&["restore", &old, "-t", &out]).ok();
    // A backup only compares with it.
    let ran = sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    assert!(ran.stderr.contains("warning: "), "{}", ran.stderr);
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let sandbox = with_backup();
    sandbox.run(&["restore", "latest", "-t", &sandbox.arg("out"), "--dry-run", "--verify"]).expect_code(1);
    let (vault, key) = (sandbox.default_vault(), sandbox.key_file());
    let from = ["--from-vault", vault.to_str().unwrap(), "--from-password-file", key.to_str().unwrap()];
    let to = sandbox.arg("new");
    let init = ["init", "--vault", &to, "--password-file", key.to_str().unwrap()];
    let ran = sandbox.run(&[&init[..], &from].concat()).expect_code(1);
    assert!(ran.stderr.contains("--copy-chunker-params"), "{}", ran.stderr);
    assert!(!sandbox.path("new").exists());
}

#[test]
fn a_dry_forget_shows_what_its_prune_would_free() {
    let sandbox = with_backup();
    sandbox.write("source/a", &"something quite different ".repeat(1000));
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    let forget = ["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "-q", "--json"];
    let plan = sandbox.run(&[&forget[..], &["--dry-run"]].concat()).ok().json();
    assert_eq!(plan["dry_run"], true);
    assert!(plan["bytes"]["unused"].as_u64() > Some(0), "{plan}");
    assert_eq!(sandbox.run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 2);
    let done = sandbox.run(&forget).ok().json();
    assert_eq!((&plan["bytes"]["unused"], &plan["blobs"]), (&done["bytes"]["unused"], &done["blobs"]));
}

#[test]
fn no_lock_goes_with_what_only_reads_and_with_nothing_else() {
    let sandbox = with_backup();
    sandbox.write("pw", "secret");
    let (vault, key) = (sandbox.default_vault(), sandbox.key_file());
    let (source, pw, to) = (sandbox.arg("source"), sandbox.arg("pw"), sandbox.arg("copy"));
    sandbox.run(&["-r", &to, "-p", &pw, "init"]).ok();
    // Where a file is, no lock can be put.
    std::fs::remove_dir(vault.join("locks")).unwrap();
    std::fs::write(vault.join("locks"), "").unwrap();
    for command in
        ["backup -n SOURCE", "prune -n", "forget -n --keep-last 1 --prune", "snapshots", "key list"]
    {
        let words: Vec<_> =
            command.split(' ').map(|word| if word == "SOURCE" { &source } else { word }).collect();
        sandbox.run(&[&["--no-lock"], &words[..]].concat()).ok();
        sandbox.run(&words).expect_code(1);
    }
    let from = ["--from-repo", vault.to_str().unwrap(), "--from-password-file", key.to_str().unwrap()];
    let copy = [&["-r", &to, "-p", &pw, "copy"], &from[..]].concat();
    sandbox.run(&copy).expect_code(1);
    sandbox.run(&[&copy[..], &["--no-lock"]].concat()).ok();
    for command in ["backup SOURCE", "prune", "forget --keep-last 1", "key passwd", "key remove 12"] {
        let words: Vec<_> =
            command.split(' ').map(|word| if word == "SOURCE" { &source } else { word }).collect();
        let ran = sandbox.run(&[&["--no-lock"], &words[..]].concat()).expect_code(1);
        assert!(ran.stderr.contains("--no-lock"), "{command}: {}", ran.stderr);
    }
}
