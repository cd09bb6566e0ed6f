//! What surrounds every command: keys, completions, manual pages, signals, pipes.

use std::io::Read;
use std::process::Stdio;

use crate::sandbox::Sandbox;

#[test]
fn passwords_are_added_changed_and_removed() {
    let sandbox = Sandbox::new();
    sandbox.write("one", "1");
    sandbox.write("two", "2");
    sandbox.write("three", "3");
    let vault = sandbox.arg("vault");
    let with = |password: &str, arguments: &[&str]| {
        sandbox.run(&[&["-r", &vault, "-p", &sandbox.arg(password)], arguments].concat())
    };
    with("one", &["init"]).ok();
    let added =
        with("one", &["key", "add", "--new-password-file", &sandbox.arg("two"), "--json"]).ok().json();
    let keys = with("two", &["key", "list", "--json"]).ok().json();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    let current = keys.as_array().unwrap().iter().find(|key| key["current"] == true).unwrap();
    assert_eq!(current["id"], added["id"]);
    with("two", &["key", "remove", added["id"].as_str().unwrap()]).expect_code(1);
    with("one", &["key", "remove", &added["id"].as_str().unwrap()[..8]]).ok();
    with("two", &["snapshots"]).expect_code(12);
    with("one", &["key", "passwd", "--new-password-file", &sandbox.arg("three")]).ok();
    with("one", &["snapshots"]).expect_code(12);
    with("three", &["snapshots"]).ok();
    sandbox.restic_on(&sandbox.path("vault"), &sandbox.path("three"), &["check"]).ok();
}

#[test]
fn every_shell_gets_its_completions() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&["completions", shell]).ok().text();
        assert!(script.contains("exclude-if-present"), "{shell}");
    }
}

#[test]
fn every_command_gets_a_manual_page() {
    let sandbox = Sandbox::new();
    sandbox.run(&["man", &sandbox.arg("pages")]).ok();
    for page in ["lifeboat.1", "lifeboat-backup.1", "lifeboat-key-passwd.1"] {
        let text = std::fs::read_to_string(sandbox.path("pages").join(page)).unwrap();
        assert!(text.contains(".SH"), "{page}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_1_also_as_json() {
    let sandbox = Sandbox::new();
    sandbox.run(&["backup", "--no-such-option"]).expect_code(1);
    let ran = sandbox.run(&["snapshots", "--json", "--latest", "x"]).expect_code(1);
    let message: serde_json::Value = serde_json::from_str(ran.stderr.trim()).unwrap();
    assert_eq!((&message["message_type"], &message["code"]), (&"exit_error".into(), &1.into()));
    sandbox.run(&["--help"]).ok();
    sandbox.run(&["--version"]).ok();
}

#[test]
fn a_reader_that_goes_away_is_no_error_message() {
    let sandbox = Sandbox::new();
    let mut child = sandbox
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!(complaint, "");
    assert_eq!(child.wait().unwrap().code(), Some(141));
}
