//! `backup` as a user meets it.

use std::collections::BTreeSet;

use crate::sandbox::Sandbox;

/// The paths below the source in the latest snapshot, as restic sees them.
fn saved(sandbox: &Sandbox) -> BTreeSet<String> {
    let prefix = format!("{}/", sandbox.arg("source"));
    let listed = sandbox.restic(&["ls", "latest", "--json"]).ok();
    let paths = listed.json_lines().into_iter().filter_map(|node| node["path"].as_str().map(str::to_owned));
    paths.filter_map(|path| path.strip_prefix(&prefix).map(str::to_owned)).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_backup_ends_with_a_summary() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.write("source/b", "more content");
    let text = sandbox.run(&["backup", &sandbox.arg("source")]).ok().text();
    for expected in ["2 new, 0 changed, 0 unmodified", "19 B of 19 B read", "saved"] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    sandbox.write("source/b", "changed content");
    let summary = sandbox.run(&["--json", "backup", &sandbox.arg("source")]).ok().json();
    assert_eq!(summary["message_type"], "summary");
    assert_eq!(
        (&summary["files_new"], &summary["files_changed"], &summary["files_unmodified"]),
        (&0.into(), &1.into(), &1.into())
    );
    assert_eq!(summary["bytes_read"], 15);
    assert_eq!(summary["total_bytes_processed"], 22);
    let id = summary["snapshot_id"].as_str().unwrap();
    let listed = sandbox.run(&["snapshots", "--json", "latest"]).ok().json();
    assert_eq!(listed[0]["id"], id);
}

#[test]
fn excludes_and_includes_choose_what_is_saved() {
    let sandbox = Sandbox::new();
    for file in [
        "a.o",
        "a.c",
        "B.O",
        "cache/CACHEDIR.TAG",
        "cache/x",
        "skip/.nobackup",
        "skip/x",
        "deep/er/big",
        "deep/keep.o",
    ] {
        sandbox.write(&format!("source/{file}"), "0123456789");
    }
    sandbox.write("source/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    sandbox.write("source/deep/er/big", &"x".repeat(2000));
    sandbox.write("patterns", "# objects\n*.$EXT\n!keep.o\n");
    let source = sandbox.arg("source");
    let back_up = |options: &[&str]| {
        sandbox.run_with(&[("EXT", "o")], &[&["backup", &source], options].concat()).ok();
        saved(&sandbox)
    };
    let patterns = sandbox.arg("patterns");
    let options = ["--exclude-file", &patterns, "--iexclude", "b.o", "--exclude-caches"];
    let more = ["--exclude-if-present", ".nobackup", "--exclude-larger-than", "1k"];
    assert_eq!(
        back_up(&[&options[..], &more].concat()),
        names(&[
            "a.c",
            "cache",
            "cache/CACHEDIR.TAG",
            "deep",
            "deep/er",
            "deep/keep.o",
            "skip",
            "skip/.nobackup"
        ])
    );
    let include = format!("{source}/deep/*.o");
    assert_eq!(back_up(&["--include", &include]), names(&["deep", "deep/keep.o"]));
    let ran = sandbox.run(&["backup", &source, "-e", "a", "-e", "x/[", "-e", "\\"]).expect_code(1);
    assert!(ran.stderr.contains("x/["), "{}", ran.stderr);
}

#[test]
fn missing_roots_are_named_and_only_all_of_them_end_the_backup() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let missing = sandbox.arg("missing");
    let ran = sandbox.run(&["backup", &missing, &sandbox.arg("missing2")]).expect_code(1);
    assert!(ran.stderr.contains(&missing) && ran.stderr.contains("missing2"), "{}", ran.stderr);
    assert!(!sandbox.default_vault().exists());
    let ran = sandbox.run(&["backup", &missing, &sandbox.arg("source"), "--json"]).expect_code(3);
    assert!(ran.stderr.contains(&missing), "{}", ran.stderr);
    let error: serde_json::Value = serde_json::from_str(ran.stderr.lines().next_back().unwrap()).unwrap();
    assert_eq!((&error["message_type"], &error["during"]), (&"error".into(), &"backup".into()));
    assert_eq!(ran.json()["error_count"], 1);
    assert_eq!(
        sandbox.run(&["snapshots", "--json"]).ok().json()[0]["paths"],
        serde_json::json!([sandbox.arg("source")])
    );
}

#[test]
fn roots_come_from_files_too() {
    let sandbox = Sandbox::new();
    for name in ["source/x.c", "source/y.c", "source/z.h", "source/sub/w"] {
        sandbox.write(name, name);
    }
    sandbox.write("list", &format!("# comment\n  {}/*.c\n\n", sandbox.arg("source")));
    sandbox.write("raw", &format!("{}\0", sandbox.arg("source/sub")));
    sandbox
        .run(&["backup", "--files-from", &sandbox.arg("list"), "--files-from-raw", &sandbox.arg("raw")])
        .ok();
    assert_eq!(saved(&sandbox), names(&["sub", "sub/w", "x.c", "y.c"]));
    sandbox.run(&["backup"]).expect_code(1);
    sandbox.write("raw", "no zero at the end");
    sandbox.run(&["backup", "--files-from-raw", &sandbox.arg("raw")]).expect_code(1);
}

#[test]
fn a_dry_run_stores_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["init"]).ok();
    let summary = sandbox.run(&["backup", "-n", "--json", &sandbox.arg("source")]).ok().json();
    assert_eq!((&summary["dry_run"], &summary["files_new"]), (&true.into(), &1.into()));
    assert!(summary.get("snapshot_id").is_none());
    assert!(summary["data_added"].as_u64() > Some(0));
    let vault = sandbox.default_vault();
    for folder in ["snapshots", "index"] {
        assert_eq!(std::fs::read_dir(vault.join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn host_time_tags_and_parent_are_noted_in_the_snapshot() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let source = sandbox.arg("source");
    let options = ["--host", "h", "--time", "2020-02-03 04:05:06", "--tag", "a,b", "--tag", "c"];
    let first = sandbox.run(&[&["backup", "--json", &source], &options[..]].concat()).ok().json();
    sandbox.run(&["backup", "--host", "h", &source]).ok();
    sandbox.run(&["backup", "--host", "other", &source]).ok();
    sandbox.run(&["backup", "--host", "h", "--force", &source]).ok();
    let list = sandbox.run(&["snapshots", "--json"]).ok().json();
    assert_eq!(list[0]["time"], "2020-02-03T04:05:06Z");
    assert_eq!((&list[0]["hostname"], &list[0]["tags"]), (&"h".into(), &serde_json::json!(["a", "b", "c"])));
    assert_eq!(list[1]["parent"], first["snapshot_id"]);
    assert!(list[2].get("parent").is_none() && list[3].get("parent").is_none());
}

#[test]
fn a_locked_vault_is_exit_11_and_a_dead_holders_lock_is_removed() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    let vault = sandbox.default_vault();
    // A backup that reads from a pipe holds its lock until the pipe ends.
    let mut holder = std::process::Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(&vault)
        .arg("--password-file")
        .arg(sandbox.key_file())
        .args(["backup", "--stdin"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("these tests need the program restic");
    let locks = || std::fs::read_dir(vault.join("locks")).unwrap().count();
    while locks() == 0 {
        std::thread::yield_now();
    }
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    sandbox.run(&["forget", "--keep-last", "1"]).expect_code(11);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let ran = sandbox.run(&["forget", "--keep-last", "1"]).ok();
    assert!(ran.stderr.contains("removed a lock"), "{}", ran.stderr);
    assert_eq!(locks(), 0);
}

#[test]
fn standard_input_becomes_a_file() {
    let sandbox = Sandbox::new();
    sandbox.write("dump", &"select 1;\n".repeat(200_000));
    let back_up = |options: &[&str]| {
        let stdin = std::fs::File::open(sandbox.path("dump")).unwrap();
        let mut command = sandbox.command(&[&["backup", "--stdin", "--json"], options].concat());
        let output = command.stdin(stdin).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    back_up(&["--stdin-filename", "db/dump.sql"]);
    let content = sandbox.restic(&["dump", "latest", "/db/dump.sql"]).ok().text();
    assert_eq!(content, std::fs::read_to_string(sandbox.path("dump")).unwrap());
    // An unchanged time must not make the second stream pass for the first.
    back_up(&["--time", "2020-01-01 00:00:00"]);
    sandbox.write("dump", "");
    back_up(&["--time", "2020-01-01 00:00:00"]);
    sandbox.write("dump", "new");
    back_up(&["--time", "2020-01-01 00:00:00", "--host", "other"]);
    assert_eq!(sandbox.restic(&["dump", "--host", "other", "latest", "/stdin"]).ok().text(), "new");
    sandbox.restic(&["check", "--read-data"]).ok();
    sandbox.run(&["backup", "--stdin", "/etc"]).expect_code(1);
    sandbox.run(&["backup", "--stdin", "--stdin-filename", "../x"]).expect_code(1);
}
