//! What `--verbose` tells of single items, beside what restic tells of the same.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::sandbox::Ran;
use crate::shared_vault::SharedVault;

/// A vault with two backups' worth of changes: `new` will be new, `changed` another, the rest as before.
fn changed_source() -> SharedVault {
    let vault = SharedVault::new();
    for name in ["same", "changed", "dir/same", "other/below"] {
        vault.sandbox.write(&format!("source/{name}"), "before");
    }
    vault.back_up(&[]);
    vault.sandbox.write("source/changed", "after, and longer");
    vault.sandbox.write("source/dir/new", "");
    vault
}

/// What was said of each item: the word for it, and the fields of the message.
fn said(messages: Vec<Value>) -> BTreeMap<String, (String, Vec<String>)> {
    let of_items = messages.into_iter().filter(|message| message["message_type"] == "verbose_status");
    let said = of_items.map(|message| {
        let text = |name: &str| message[name].as_str().unwrap().to_owned();
        let fields = message.as_object().unwrap().keys().cloned().collect();
        (text("item"), (text("action"), fields))
    });
    said.collect()
}

/// The lines of a run that begin with one of restic's words, without the folder all items are in.
fn told(vault: &SharedVault, ran: &Ran) -> Vec<String> {
    const WORDS: [&str; 7] =
        ["new ", "modified ", "unchanged ", "restored ", "updated ", "deleted ", "found "];
    let text = ran.text().replace(vault.source().to_str().unwrap(), "…");
    let lines = text.lines().filter(|line| WORDS.iter().any(|word| line.starts_with(word)));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_backup_tells_programs_of_each_item_what_restic_tells() {
    let vault = changed_source();
    let source = vault.sandbox.arg("source");
    let arguments = ["backup", "--json", "-v", &source];
    for judge in vault.restic().judges() {
        let dry = [&arguments[..], &["--dry-run"]].concat();
        let lines = String::from_utf8(judge.run(&dry)).unwrap();
        let mut theirs = said(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
        let mut ours = said(vault.lifeboat(&dry).ok().json_lines());
        assert_eq!(ours.remove("").unwrap().0, "scan_finished");
        theirs.remove("");
        // Those above the source are told by restic as they are found: changed at any time.
        theirs.retain(|item, _| item.starts_with(&source));
        ours.retain(|item, _| item.starts_with(&source));
        assert_eq!(ours.len(), 8, "{ours:?}");
        for (item, (action, fields)) in ours {
            let (their_action, their_fields) = &theirs[&item];
            assert_eq!(&action, their_action, "{item}");
            assert!(fields.iter().all(|field| their_fields.contains(field)), "{fields:?}");
        }
    }
    let quiet = said(vault.lifeboat(&["backup", "--json", "--dry-run", &source]).ok().json_lines());
    assert_eq!(quiet, BTreeMap::new());
    let added = vault.lifeboat(&arguments).ok().json_lines();
    let item = |name: &str| added.iter().find(|line| line["item"] == format!("{source}/{name}")).unwrap();
    assert_eq!((&item("changed")["data_size"], &item("same")["data_size"]), (&17.into(), &0.into()));
    assert!(item("dir/")["metadata_size"].as_u64().unwrap() > 100);
    assert!(item("changed")["duration"].as_f64().unwrap() < 60.0);
}

#[test]
fn a_backup_tells_people_of_changes_and_when_asked_twice_of_the_rest() {
    let vault = changed_source();
    let source = vault.sandbox.arg("source");
    let backup =
        |options: &[&str]| told(&vault, &vault.lifeboat(&[&["backup", &source], options].concat()).ok());
    assert_eq!(backup(&["--dry-run"]), [""; 0]);
    let mut changes = backup(&["--dry-run", "-v"]);
    assert!(changes.iter().any(|line| line == "found 5 files of 35 B"), "{changes:?}");
    changes.retain(|line| line.contains('…'));
    assert_eq!(changes[..2], ["modified  …/changed, 17 B added", "new       …/dir/new, 0 B added"]);
    assert!(changes[2].starts_with("modified  …/dir/, ") && changes[3].starts_with("modified  …/, "));
    assert_eq!(changes.len(), 4);
    let all = backup(&["-vv"]);
    assert!(all.contains(&"unchanged …/other/".to_owned()) && all.contains(&"unchanged …/same".to_owned()));
    assert_eq!(backup(&["-vv", "--quiet"]), [""; 0]);
    let again = backup(&["-v"]);
    assert!(again.iter().all(|line| !line.contains('…')), "{again:?}");
}

#[test]
fn a_restore_tells_of_each_item_what_restic_tells() {
    let vault = changed_source();
    vault.back_up(&[]);
    // Older ones do not tell of single items.
    let judge = vault.restic().judges().into_iter().find(|judge| judge.version() >= vec![0, 17]);
    let (ours, theirs) = (vault.sandbox.arg("ours"), vault.sandbox.arg("theirs"));
    let source = vault.sandbox.arg("source");
    let restored = |name: &str| format!("{source}/{name}");
    let both = |options: &[&str]| {
        let arguments =
            [&["restore", "latest", "--json", "-vv", "--overwrite", "if-changed"], options].concat();
        let theirs = judge.as_ref().map(|judge| {
            let lines = judge.run([&arguments[..], &["--target", &theirs]].concat());
            let lines = String::from_utf8(lines).unwrap();
            said(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        });
        let ours = said(vault.lifeboat(&[&arguments[..], &["--target", &ours]].concat()).ok().json_lines());
        (ours, theirs)
    };
    let (first, their_first) = both(&[]);
    for target in [Some(&ours), judge.as_ref().map(|_| &theirs)].into_iter().flatten() {
        fs::write(format!("{target}{}", restored("same")), "spoilt by somebody").unwrap();
        fs::remove_file(format!("{target}{}", restored("changed"))).unwrap();
        fs::write(format!("{target}{}", restored("dir/extra")), "").unwrap();
    }
    let (second, their_second) = both(&["--delete"]);
    for (ours, theirs) in [(&first, their_first), (&second, their_second)] {
        let Some(theirs) = theirs else { continue };
        for name in ["same", "changed", "dir/new", "dir/same"] {
            assert_eq!(ours[&restored(name)], theirs[&restored(name)], "{name}");
        }
    }
    let words =
        |name: &str| [&first, &second].map(|said| said.get(&restored(name)).map(|said| said.0.clone()));
    for (name, expected) in [
        ("same", [Some("restored"), Some("updated")]),
        ("changed", [Some("restored"), Some("restored")]),
        ("dir/same", [Some("restored"), Some("unchanged")]),
        ("dir/extra", [None, Some("deleted")]),
    ] {
        assert_eq!(words(name), expected.map(|word| word.map(str::to_owned)), "{name}");
    }
}

#[test]
fn a_restore_tells_people_of_changes_and_when_asked_twice_of_the_rest() {
    let vault = changed_source();
    vault.back_up(&[]);
    let target = vault.sandbox.arg("target");
    let restore = |options: &[&str]| {
        let arguments = ["restore", "latest", "--target", &target, "--overwrite", "if-changed"];
        told(&vault, &vault.lifeboat(&[&arguments[..], options].concat()).ok())
    };
    let would = restore(&["--dry-run"]);
    assert!(would.contains(&"restored  …/same, 6 B".to_owned()), "{would:?}");
    let mut did = restore(&["-v"]);
    did.sort();
    let mut expected = would;
    expected.sort();
    assert_eq!(did, expected, "what a dry run tells is what is done");
    assert_eq!(restore(&["-v"]), [""; 0]);
    assert!(restore(&["-vv"]).contains(&"unchanged …/same, 6 B".to_owned()));
}
