//! The first minutes with the program: the default vault, its key, and which vault and password are used.

use std::os::unix::fs::PermissionsExt;

use crate::sandbox::Sandbox;

#[test]
fn the_first_backup_makes_the_default_vault_and_restic_reads_it() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a/b", "content");
    let first = sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    let key_file = sandbox.key_file();
    assert!(first.stderr.contains(key_file.to_str().unwrap()), "{}", first.stderr);
    assert!(first.stderr.contains("Keep a copy"), "{}", first.stderr);
    assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
    let second = sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    assert!(!second.stderr.contains("Keep a copy"), "the warning is printed once: {}", second.stderr);
    sandbox.restic(&["check", "--read-data"]).ok();
    let listed = sandbox.restic(&["snapshots", "--json"]).ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["paths"][0], sandbox.arg("source"));
    let content = sandbox.restic(&["dump", "latest", &sandbox.arg("source/a/b")]).ok();
    assert_eq!(content.text(), "content");
}

#[test]
fn a_first_run_that_died_after_writing_the_key_is_completed_by_the_second() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.write("home/.config/lifeboat/vault.key", "a-key-left-behind\n");
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    sandbox.restic(&["snapshots"]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.key_file()).unwrap(), "a-key-left-behind\n");
}

#[test]
fn a_default_vault_without_its_key_file_names_the_file() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    std::fs::remove_file(sandbox.key_file()).unwrap();
    let ran = sandbox.run(&["snapshots"]).expect_code(1);
    assert!(ran.stderr.contains(sandbox.key_file().to_str().unwrap()), "{}", ran.stderr);
    assert!(!sandbox.key_file().exists());
}

#[test]
fn only_the_default_vault_is_made_on_first_use() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let vault = sandbox.arg("elsewhere");
    let ran =
        sandbox.run_with(&[("LIFEBOAT_PASSWORD", "x")], &["-r", &vault, "backup", &sandbox.arg("source")]);
    let ran = ran.expect_code(10);
    assert!(ran.stderr.contains(&vault), "{}", ran.stderr);
    assert!(!sandbox.path("elsewhere").exists());
    for command in ["snapshots", "unlock", "key list", "forget --keep-last 1"] {
        let words: Vec<_> = command.split(' ').collect();
        sandbox.run(&words).expect_code(10);
    }
    assert!(!sandbox.default_vault().exists());
}

#[test]
fn vault_and_password_come_from_options_then_our_variables_then_restics() {
    let sandbox = Sandbox::new();
    for (name, password) in [("one", "1"), ("two", "2"), ("three", "3")] {
        sandbox.write(&format!("pw{password}"), &format!("{password}\n"));
        sandbox
            .run(&["init", "--vault", &sandbox.arg(name), "-p", &sandbox.arg(&format!("pw{password}"))])
            .ok();
    }
    let [one, two, three] = ["one", "two", "three"].map(|name| sandbox.arg(name));
    let vault_of = |variables: &[(&str, &str)], options: &[&str]| {
        let arguments = [options, &["key", "list", "--json"]].concat();
        let key = sandbox.run_with(variables, &arguments).ok().json()[0]["id"].clone();
        ["one", "two", "three"]
            .into_iter()
            .find(|name| sandbox.path(name).join("keys").join(key.as_str().unwrap()).exists())
            .unwrap()
    };
    let pw3 = sandbox.arg("pw3");
    let restics = [("RESTIC_REPOSITORY", one.as_str()), ("RESTIC_PASSWORD", "1")];
    assert_eq!(vault_of(&restics, &[]), "one");
    let ours = [&restics[..], &[("LIFEBOAT_VAULT", two.as_str()), ("LIFEBOAT_PASSWORD", "2")]].concat();
    assert_eq!(vault_of(&ours, &[]), "two");
    assert_eq!(vault_of(&ours, &["--repo", &three, "--password-file", &pw3]), "three");
    sandbox.write("place", &format!("{one}\n"));
    let command = format!("cat '{}'", sandbox.arg("pw1"));
    let by_file = [("RESTIC_REPOSITORY_FILE", sandbox.arg("place")), ("RESTIC_PASSWORD_COMMAND", command)];
    let by_file: Vec<_> = by_file.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(vault_of(&by_file, &[]), "one");
    sandbox.run_with(&[("LIFEBOAT_PASSWORD", "wrong")], &["-r", &one, "snapshots"]).expect_code(12);
}

#[test]
fn restics_password_variable_is_not_taken_for_the_default_vaults() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let restics = [("RESTIC_PASSWORD", "for another repository")];
    sandbox.run_with(&restics, &["backup", &sandbox.arg("source")]).ok();
    sandbox.run_with(&restics, &["snapshots"]).ok();
    sandbox.restic(&["snapshots"]).ok();
}

#[test]
fn a_vault_is_not_made_over_another() {
    let sandbox = Sandbox::new();
    let password = [("LIFEBOAT_PASSWORD", "x")];
    let made = sandbox.run_with(&password, &["init", "--json", "-r", &sandbox.arg("v")]).ok().json();
    assert_eq!(made["message_type"], "initialized");
    sandbox.run_with(&password, &["init", "-r", &sandbox.arg("v")]).expect_code(1);
    sandbox.run_with(&password, &["snapshots", "-r", &sandbox.arg("v")]).ok();
}

#[test]
fn a_new_password_of_the_default_vault_goes_into_its_key_file() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    let old = std::fs::read_to_string(sandbox.key_file()).unwrap();
    sandbox.write("old", &old);
    sandbox.write("new", "a new one\n");
    let new = sandbox.arg("new");
    let ran = sandbox.run(&["key", "passwd", "--new-password-file", &new]).ok();
    assert!(ran.stderr.contains(sandbox.key_file().to_str().unwrap()), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(sandbox.key_file()).unwrap(), "a new one\n");
    assert_eq!(std::fs::metadata(sandbox.key_file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(sandbox.key_file().parent().unwrap()).unwrap().count(), 1);
    sandbox.run(&["snapshots"]).ok();
    sandbox.restic(&["snapshots"]).ok();
    sandbox.run(&["-p", &sandbox.arg("old"), "snapshots"]).expect_code(12);
    assert_eq!(sandbox.run(&["key", "list", "--json"]).ok().json().as_array().unwrap().len(), 1);
}

#[test]
fn a_password_that_is_not_in_the_key_file_is_changed_without_touching_that() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    let key = std::fs::read_to_string(sandbox.key_file()).unwrap();
    sandbox.write("second", "second");
    sandbox.write("third", "third");
    let (second, third) = (sandbox.arg("second"), sandbox.arg("third"));
    sandbox.run(&["key", "add", "--new-password-file", &second]).ok();
    sandbox.run(&["-p", &second, "key", "passwd", "--new-password-file", &third]).ok();
    assert_eq!(std::fs::read_to_string(sandbox.key_file()).unwrap(), key);
    sandbox.run(&["snapshots"]).ok();
    sandbox.run(&["-p", &third, "snapshots"]).ok();
    sandbox.run(&["-p", &second, "snapshots"]).expect_code(12);
}

#[test]
fn a_key_file_that_cannot_be_replaced_leaves_the_password_as_it_was() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    std::fs::create_dir_all(sandbox.key_file().parent().unwrap()).unwrap();
    // Nothing can be written beside what the link leads to, by nobody.
    std::os::unix::fs::symlink("/proc/sys/kernel/hostname", sandbox.key_file()).unwrap();
    sandbox.run(&["backup", &sandbox.arg("source")]).ok();
    sandbox.write("new", "a new one");
    let new = sandbox.arg("new");
    let ran = sandbox.run(&["key", "passwd", "--new-password-file", &new]).expect_code(1);
    assert!(ran.stderr.contains("cannot write a new key file beside"), "{}", ran.stderr);
    sandbox.run(&["snapshots"]).ok();
    sandbox.run(&["-p", &new, "snapshots"]).expect_code(12);
}

#[test]
fn a_dry_first_backup_makes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("source/a", "content");
    let ran = sandbox.run(&["backup", "--dry-run", &sandbox.arg("source")]).ok();
    assert!(ran.text().contains(sandbox.default_vault().to_str().unwrap()), "{}", ran.text());
    let summary = sandbox.run(&["backup", "--dry-run", "--json", &sandbox.arg("source")]).ok().json();
    assert_eq!((&summary["files_new"], &summary["dry_run"]), (&1.into(), &true.into()));
    assert_eq!(std::fs::read_dir(sandbox.path("home")).unwrap().count(), 0);
    sandbox.run(&["backup", "--no-lock", &sandbox.arg("source")]).expect_code(1);
    assert_eq!(std::fs::read_dir(sandbox.path("home")).unwrap().count(), 0);
}
