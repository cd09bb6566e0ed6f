//! `ls`, `find`, `diff`, `dump`, `stats` and `check` next to restic on the same vault.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::sandbox::{Ran, Sandbox};
use crate::shared_vault::SharedVault;

/// Two snapshots of one folder with something of every kind.
fn with_two_snapshots() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("source/a/file", "first content");
    sandbox.write("source/a/deep/er/file", "deep content");
    sandbox.write("source/same/file", "the same in both");
    sandbox.write("source/gone/file", "soon gone");
    sandbox.write("source/meta", "meta");
    sandbox.write(&format!("source/{}", "long".repeat(50)), "");
    std::os::unix::fs::symlink("a/file", sandbox.path("source/link")).unwrap();
    let odd = sandbox.path("source").join(std::ffi::OsStr::from_bytes(b"odd\xff\x1bname"));
    std::fs::write(odd, "odd").unwrap();
    assert!(Command::new("mkfifo").arg(sandbox.path("source/pipe")).status().unwrap().success());
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    sandbox.write("source/a/file", "second content, longer");
    sandbox.write("source/new/file", "new");
    std::fs::remove_dir_all(sandbox.path("source/gone")).unwrap();
    std::fs::remove_file(sandbox.path("source/pipe")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(sandbox.path("source/meta"), mode).unwrap();
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    sandbox
}

fn ids(sandbox: &Sandbox) -> Vec<String> {
    let list = sandbox.run(&["snapshots", "--json"]).ok().json();
    list.as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
}

/// Every field of restic's object is in ours with the same value.
#[track_caller]
fn assert_covers(ours: &Value, theirs: &Value) {
    for (field, value) in theirs.as_object().unwrap() {
        assert_eq!(&ours[field], value, "{field} of {ours}");
    }
}

#[test]
fn ls_lists_what_restic_lists() {
    let sandbox = with_two_snapshots();
    let ours = sandbox.run(&["ls", "latest", "--json"]).ok().json_lines();
    let theirs = sandbox.restic(&["ls", "latest", "--json"]).ok().json_lines();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_covers(ours, theirs);
    }
    let lines = |ran: Ran| ran.text().lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let folder = sandbox.arg("source/a");
    for options in [&["--long"][..], &[&folder], &["--recursive", &folder], &[&folder, "--long"]] {
        let arguments = [&["ls", "latest"], options].concat();
        let plain = |line: &String| !line.contains("odd");
        let (mut ours, mut theirs) =
            (lines(sandbox.run(&arguments).ok()), lines(sandbox.restic(&arguments).ok()));
        ours.retain(plain);
        theirs.retain(plain);
        assert_eq!(ours, theirs, "{options:?}");
    }
    let text = sandbox.run(&["ls", "latest"]).ok();
    assert!(!text.stdout.contains(&0x1b), "control characters reach the terminal");
    let below = sandbox.run(&["ls", &format!("latest:{folder}"), "-q"]).ok().text();
    assert_eq!(below, "/deep\n/deep/er\n/deep/er/file\n/file\n");
    sandbox.run(&["ls", "latest:/nowhere"]).expect_code(1);
}

#[test]
fn find_finds_what_restic_finds() {
    let sandbox = with_two_snapshots();
    for options in [
        &["file"][..],
        &["-i", "FILE"],
        &["deep/*/file", "meta"],
        &["--oldest", "2099-01-01", "file"],
        &["--newest", "2099-01-01", "new"],
        &["no such name"],
        &["*"],
    ] {
        let arguments = [&["find", "--json"], options].concat();
        let (ours, theirs) = (sandbox.run(&arguments).ok().json(), sandbox.restic(&arguments).ok().json());
        let (ours, theirs) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
        assert_eq!(ours.len(), theirs.len(), "{options:?}");
        for theirs in theirs {
            let ours = ours.iter().find(|ours| ours["snapshot"] == theirs["snapshot"]).unwrap();
            assert_eq!(ours["hits"], theirs["hits"], "{options:?}");
            let paths = |found: &Value| -> BTreeSet<String> {
                let matches = found["matches"].as_array().unwrap();
                matches.iter().map(|found| found["path"].as_str().unwrap().to_owned()).collect()
            };
            assert_eq!(paths(ours), paths(theirs), "{options:?}");
            assert_covers(&ours["matches"][0], &theirs["matches"][0]);
        }
    }
    let text = sandbox.run(&["find", "deep/er/file"]).ok().text();
    assert_eq!(text.lines().filter(|line| line.ends_with("/source/a/deep/er/file")).count(), 2, "{text}");
}

#[test]
fn find_tells_what_uses_a_blob_a_tree_or_a_pack() {
    let sandbox = with_two_snapshots();
    let tree =
        sandbox.run(&["snapshots", "--json", "latest"]).ok().json()[0]["tree"].as_str().unwrap().to_owned();
    let found = sandbox.run(&["find", "--json", "--tree", &tree[..12]]).ok().json();
    assert_eq!(found[0]["object_type"], "tree");
    assert_eq!((found[0]["id"].as_str(), found.as_array().unwrap().len()), (Some(tree.as_str()), 1));
    let packs = std::fs::read_dir(sandbox.default_vault().join("data")).unwrap();
    let packs = packs.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let mut objects = 0;
    for pack in packs {
        let name = pack.unwrap().file_name().into_string().unwrap();
        let found = sandbox.run(&["find", "--json", "--pack", &name]).ok().json();
        for object in found.as_array().unwrap() {
            objects += 1;
            let kind = if object["object_type"] == "tree" { "--tree" } else { "--blob" };
            let again = sandbox.run(&["find", "--json", kind, object["id"].as_str().unwrap()]).ok().json();
            assert!(again.as_array().unwrap().contains(object), "{object} is not in {again}");
        }
    }
    assert!(objects > 10, "{objects} objects");
    sandbox.run(&["find", "--blob", "not hex"]).expect_code(1);
}

#[test]
fn diff_tells_what_restic_tells() {
    let sandbox = with_two_snapshots();
    let ids = ids(&sandbox);
    for options in [&["--json"][..], &["--json", "--metadata"]] {
        for (from, to) in [(&ids[0], &ids[1]), (&ids[1], &ids[0]), (&ids[0], &ids[0])] {
            let arguments = [&["diff", from, to], options].concat();
            let (ours, theirs) = (sandbox.run(&arguments).ok(), sandbox.restic(&arguments).ok());
            let sorted =
                |ran: &Ran| -> BTreeSet<String> { ran.json_lines().iter().map(Value::to_string).collect() };
            assert_eq!(sorted(&ours), sorted(&theirs), "{options:?}");
        }
    }
    let text = sandbox.run(&["diff", &ids[0], &ids[1]]).ok().text();
    assert!(text.contains("M    ") && text.contains("1 changed"), "{text}");
    let of_folder = format!("{}:{}", ids[0], sandbox.arg("source/a"));
    let changes =
        sandbox.run(&["diff", "--json", &of_folder, &format!("{}:{}", ids[1], sandbox.arg("source/a"))]);
    assert_eq!(
        changes.ok().json_lines()[0],
        json!({"message_type": "change", "path": "/file", "modifier": "M"})
    );
}

#[test]
fn dump_prints_files_and_makes_archives_that_others_unpack() {
    let sandbox = with_two_snapshots();
    let file = sandbox.run(&["dump", "latest", &sandbox.arg("source/a/file")]).ok();
    assert_eq!(file.text(), "second content, longer");
    let folder = sandbox.arg("source");
    for (options, unpack) in
        [(&["-a", "tar"][..], &["tar", "-xf"][..]), (&["-a", "zip"], &["python3", "-m", "zipfile", "-e"])]
    {
        let name = options[1];
        let archive = sandbox.arg(&format!("archive.{name}"));
        let dump = [&["dump", "latest", &folder, "--target", &archive], options].concat();
        sandbox.run(&dump).ok();
        let target = sandbox.path(&format!("unpacked-{name}"));
        std::fs::create_dir(&target).unwrap();
        let mut command = Command::new(unpack[0]);
        command.args(&unpack[1..]).arg(&archive).current_dir(&target);
        if name == "zip" {
            command.arg(&target);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let root = target.join(folder.trim_start_matches('/'));
        for file in ["a/file", "a/deep/er/file", "same/file", "meta", &"long".repeat(50)] {
            let original = std::fs::read(sandbox.path("source").join(file)).unwrap();
            assert_eq!(std::fs::read(root.join(file)).unwrap(), original, "{name} {file}");
        }
        if name == "tar" {
            assert_eq!(std::fs::read_link(root.join("link")).unwrap().to_str(), Some("a/file"));
            let times =
                ["source/meta", "source/a"].map(|name| std::fs::metadata(sandbox.path(name)).unwrap());
            let unpacked = ["meta", "a"].map(|name| std::fs::metadata(root.join(name)).unwrap());
            for (original, unpacked) in times.iter().zip(&unpacked) {
                assert_eq!(original.modified().unwrap(), unpacked.modified().unwrap());
                assert_eq!(original.permissions(), unpacked.permissions());
            }
        }
    }
    let ours = sandbox.run(&["dump", "latest", "/"]).ok().stdout;
    sandbox.write("list", "");
    std::fs::write(sandbox.path("list"), ours).unwrap();
    let theirs = sandbox.restic(&["dump", "latest", "/"]).ok().stdout;
    std::fs::write(sandbox.path("theirs"), theirs).unwrap();
    let listed = |archive: &str| {
        let output = Command::new("tar").arg("-tvf").arg(sandbox.path(archive)).output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert_eq!(listed("list"), listed("theirs"));
    sandbox.run(&["dump", "latest", "/nowhere"]).expect_code(1);
    sandbox.run(&["dump", "latest", &sandbox.arg("source/link")]).expect_code(1);
}

#[test]
fn stats_counts_what_restic_counts() {
    let sandbox = with_two_snapshots();
    std::fs::hard_link(sandbox.path("source/meta"), sandbox.path("source/meta2")).unwrap();
    sandbox.run(&["backup", "-q", &sandbox.arg("source")]).ok();
    for mode in ["restore-size", "files-by-contents", "blobs-per-file", "raw-data"] {
        for names in [&[][..], &["latest"]] {
            let arguments = [&["stats", "--json", "--mode", mode], names].concat();
            let (ours, theirs) =
                (sandbox.run(&arguments).ok().json(), sandbox.restic(&arguments).ok().json());
            assert_covers(&ours, &theirs);
        }
    }
}

#[test]
fn check_finds_a_sound_vault_sound_and_names_damage() {
    let sandbox = with_two_snapshots();
    let sound = sandbox.run(&["check", "--read-data", "--json"]).ok().json();
    assert_eq!((&sound["message_type"], &sound["num_errors"]), (&"summary".into(), &0.into()));
    assert!(sound["packs_read"].as_u64() > Some(0));
    sandbox.run(&["check", "--read-data-subset", "1/2"]).ok();
    sandbox.run(&["check", "--read-data-subset", "3/2"]).expect_code(1);
    let data = sandbox.default_vault().join("data");
    let folder = std::fs::read_dir(&data)
        .unwrap()
        .map(|folder| folder.unwrap().path())
        .find(|folder| std::fs::read_dir(folder).unwrap().next().is_some());
    let victim = std::fs::read_dir(folder.unwrap()).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(victim.path()).unwrap();
    let ran = sandbox.run(&["check", "--json"]).expect_code(1);
    assert!(ran.stderr.contains(victim.file_name().to_str().unwrap()), "{}", ran.stderr);
    assert!(ran.json()["num_errors"].as_u64() > Some(0));
}

/// What was found is one array of JSON, whatever cannot be read before it.
#[test]
fn find_names_what_it_cannot_look_into_and_finds_the_rest() {
    let vault = SharedVault::new();
    vault.sandbox.write("source/lost/wanted", "1");
    vault.back_up(&[]);
    let packs = vault.packs();
    vault.sandbox.write("source/sound/wanted", "2");
    vault.back_up(&[]);
    packs.iter().for_each(|pack| std::fs::remove_file(pack).unwrap());
    let ran = vault.lifeboat(&["find", "--json", "--snapshot", "latest", "wanted"]).expect_code(1);
    let found = ran.json();
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!((&found[0]["hits"], found[0]["matches"].as_array().unwrap().len()), (&1.into(), 1), "{found}");
    assert_eq!(found[0]["matches"][0]["path"], vault.sandbox.arg("source/sound/wanted"));
    assert!(ran.stderr.contains("\"warning\""), "{}", ran.stderr);
}
