//! What cannot be saved, restored or removed costs one line in the report and an exit code, never the whole and never a
//! silent success.
//!
//! The faults are real: system calls that fail, files that change at a moment chosen by `strace`, users who may not
//! read.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lifeboat_testkit::random::Random;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::sandbox::Ran;
use crate::shared_vault::SharedVault;

/// A vault and a source with a file that is about to get into trouble and others that are not.
fn troubled() -> (SharedVault, PathBuf) {
    let vault = SharedVault::new();
    for name in ["source/before", "source/folder/beside", "source/folder/zz", "source/sub/other"] {
        vault.sandbox.write(name, name);
    }
    let file = vault.sandbox.path("source/folder/troubled");
    fs::write(&file, vec![7; 5 << 20]).unwrap();
    (vault, file)
}

/// Our program under `strace`, which injects the fault into system calls on the path.
fn with_fault(vault: &SharedVault, path: &Path, fault: &str, arguments: &[&str]) -> Command {
    let calls = fault.split(':').next().unwrap();
    let ours = vault.command(arguments);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(trace_of(vault)).arg("-P").arg(path);
    command.arg("-e").arg(format!("trace={calls}")).arg("-e").arg(format!("inject={fault}"));
    command.arg(ours.get_program()).args(arguments).stdin(Stdio::null());
    command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(vault.sandbox.path(""));
    command
}

fn trace_of(vault: &SharedVault) -> PathBuf {
    vault.sandbox.path("trace")
}

fn spawn(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let program = command.get_program().to_owned();
    command.spawn().unwrap_or_else(|error| {
        panic!("this test needs the program {program:?}, which cannot be run: {error}")
    })
}

fn finish(child: Child) -> Ran {
    Ran::new(child.wait_with_output().unwrap())
}

/// Waits until `is_so`; fails if the child ends before.
#[track_caller]
fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        assert_eq!(child.try_wait().unwrap(), None, "the child ended before what was waited for");
        std::thread::yield_now();
    }
}

/// Starts a backup, stops it in its first such call on the path, lets `change` happen and the backup go on.
fn change_during(vault: &SharedVault, path: &Path, call: &str, change: impl FnOnce()) -> Ran {
    let fault = format!("{call}:signal=SIGSTOP:when=1");
    let source = vault.sandbox.arg("source");
    let mut strace = spawn(&mut with_fault(vault, path, &fault, &["backup", "--no-progress", &source]));
    let trace = trace_of(vault);
    wait_until(&mut strace, || {
        fs::read_to_string(&trace).is_ok_and(|said| said.contains("stopped by SIGSTOP"))
    });
    change();
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let children = fs::read_to_string(children).unwrap();
    let traced: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(traced).unwrap(), Signal::CONT).unwrap();
    finish(strace)
}

/// Fails unless the run ended with code 3 and exactly one line that names path, operation and cause.
#[track_caller]
fn expect_one_loss(ran: Ran, path: &Path, operation: &str, cause: &str) {
    let ran = ran.expect_code(3);
    let lines: Vec<_> = ran.stderr.lines().collect();
    let start = format!("error: cannot {operation} {}: ", path.display());
    assert_eq!(lines.len(), 1, "{}", ran.stderr);
    assert!(lines[0].starts_with(&start) && lines[0].contains(cause), "{start}…{cause} is not {}", lines[0]);
    assert!(
        ran.text().contains("snapshot") && ran.text().contains("1 item could not be read"),
        "{}",
        ran.text()
    );
}

/// The paths below the source in the latest snapshot, as restic lists them, and their sizes.
fn listed(vault: &SharedVault) -> Vec<(String, u64)> {
    let printed = String::from_utf8(vault.restic().run(["ls", "latest", "--json"])).unwrap();
    let source = vault.sandbox.arg("source/");
    let nodes = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let below = nodes.filter_map(|node| {
        let path = node["path"].as_str()?.strip_prefix(&source)?.to_owned();
        Some((path, node["size"].as_u64().unwrap_or_default()))
    });
    below.collect()
}

/// Fails unless the snapshot holds all that was not in trouble, and the vault is whole. Returns the troubled file's
/// size in the snapshot.
#[track_caller]
fn expect_the_rest(vault: &SharedVault) -> Option<u64> {
    let listed = listed(vault);
    for name in ["before", "folder/beside", "folder/zz", "sub/other"] {
        assert!(listed.iter().any(|(path, size)| path == name && *size > 0), "{name} is not in {listed:?}");
    }
    vault.restic().check();
    listed.iter().find(|(path, _)| path == "folder/troubled").map(|(_, size)| *size)
}

const EIO: &str = "read,pread64:error=EIO:when=2+";

#[test]
fn a_file_that_fails_while_being_read_costs_one_line() {
    let (vault, file) = troubled();
    let source = vault.sandbox.arg("source");
    let ran = finish(spawn(&mut with_fault(&vault, &file, EIO, &["backup", "--no-progress", &source])));
    expect_one_loss(ran, &file, "read", "Input/output error");
    assert_eq!(expect_the_rest(&vault), None);
    // Nothing of it was taken for saved: the next backup reads it.
    vault.back_up(&[]);
    assert_eq!(expect_the_rest(&vault), Some(5 << 20));
}

#[test]
fn programs_are_told_of_a_loss_in_json() {
    let (vault, file) = troubled();
    let source = vault.sandbox.arg("source");
    let ran =
        finish(spawn(&mut with_fault(&vault, &file, EIO, &["--json", "backup", &source]))).expect_code(3);
    let errors: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((&errors[0]["message_type"], &errors[0]["during"]), (&"error".into(), &"backup".into()));
    assert_eq!(errors[0]["item"], file.to_str().unwrap());
    assert!(errors[0]["error"]["message"].as_str().unwrap().contains("Input/output error"), "{errors:?}");
    let summary = ran.json();
    assert_eq!((&summary["message_type"], &summary["error_count"]), (&"summary".into(), &1.into()));
    assert_eq!(vault.snapshots()[0]["id"], summary["snapshot_id"]);
}

#[test]
fn a_folder_that_fails_while_being_listed_costs_one_line() {
    let (vault, file) = troubled();
    let folder = file.parent().unwrap();
    let arguments = ["backup", "--no-progress", &vault.sandbox.arg("source")];
    let ran = finish(spawn(&mut with_fault(&vault, folder, "getdents64:error=EIO", &arguments)));
    expect_one_loss(ran, folder, "list", "Input/output error");
    let listed = listed(&vault);
    for name in ["before", "sub/other"] {
        assert!(listed.iter().any(|(path, _)| path == name), "{name} is not in {listed:?}");
    }
    vault.restic().check();
}

#[test]
fn a_file_that_vanishes_costs_one_line() {
    let (vault, file) = troubled();
    let folder = file.parent().unwrap();
    let ran = change_during(&vault, folder, "getdents64", || fs::remove_file(&file).unwrap());
    expect_one_loss(ran, &file, "stat", "No such file");
    assert_eq!(expect_the_rest(&vault), None);
}

#[test]
fn a_file_that_grows_costs_one_line_and_is_saved_as_it_was_read() {
    let (vault, file) = troubled();
    let ran = change_during(&vault, &file, "read", || {
        let mut file = OpenOptions::new().append(true).open(&file).unwrap();
        file.write_all(&[8; 1000]).unwrap();
    });
    expect_one_loss(ran, &file, "read a steady state of", "grew from 5242880 to 5243880 bytes");
    assert_eq!(expect_the_rest(&vault), Some((5 << 20) + 1000));
}

#[test]
fn a_file_that_shrinks_costs_one_line_and_is_saved_as_it_was_read() {
    let (vault, file) = troubled();
    let ran = change_during(&vault, &file, "read", || {
        OpenOptions::new().write(true).open(&file).unwrap().set_len(10).unwrap();
    });
    expect_one_loss(ran, &file, "read a steady state of", "shrank from 5242880 to 10 bytes");
    let saved = expect_the_rest(&vault).unwrap();
    assert!(0 < saved && saved < 5 << 20, "{saved}");
}

#[test]
fn a_file_that_may_not_be_opened_costs_one_line() {
    let (vault, file) = troubled();
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let source = vault.sandbox.arg("source");
    let ran = finish(spawn(&mut vault.command_of_nobody(&["backup", "--no-progress", &source])));
    expect_one_loss(ran, &file, "open", "Permission denied");
    assert_eq!(expect_the_rest(&vault), None);
}

#[test]
fn a_folder_that_may_not_be_listed_costs_one_line() {
    let (vault, _) = troubled();
    let folder = vault.sandbox.path("source/closed");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("unseen"), "unseen").unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o000)).unwrap();
    let source = vault.sandbox.arg("source");
    let ran = finish(spawn(&mut vault.command_of_nobody(&["backup", "--no-progress", &source])));
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    expect_one_loss(ran, &folder, "list", "Permission denied");
    assert_eq!(expect_the_rest(&vault), Some(5 << 20));
}

#[test]
fn a_root_that_patterns_leave_empty_is_warned_of() {
    let (vault, _) = troubled();
    let (source, sub) = (vault.sandbox.arg("source"), vault.sandbox.arg("source/sub"));
    let ran = vault.lifeboat(&["backup", "--exclude", "other", &sub]).ok();
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains(&sub), "{}", ran.stderr);
    let ran = vault.lifeboat(&["backup", "--exclude", "other", &source]).ok();
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_folder_in_which_wildcards_cannot_be_tried_costs_one_line() {
    let (vault, _) = troubled();
    let closed = vault.sandbox.path("source/closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("unseen.c"), "unseen").unwrap();
    let source = vault.sandbox.arg("source");
    vault
        .sandbox
        .write("list", &format!("{source}/closed/*.c\n{source}/b*\n{source}/folder\n{source}/sub\n"));
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let list = vault.sandbox.arg("list");
    let ran =
        finish(spawn(&mut vault.command_of_nobody(&["backup", "--no-progress", "--files-from", &list])));
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    expect_one_loss(ran, &closed, "list", "Permission denied");
    assert_eq!(expect_the_rest(&vault), Some(5 << 20));
}

#[test]
fn a_path_listed_in_a_file_that_is_not_there_costs_one_line() {
    let (vault, _) = troubled();
    let source = vault.sandbox.arg("source");
    vault.sandbox.write("list", &format!("{source}/gone\n{source}/b*\n{source}/folder\n{source}/sub\n"));
    let ran = vault.lifeboat(&["backup", "--files-from", &vault.sandbox.arg("list")]);
    expect_one_loss(ran, &vault.sandbox.path("source/gone"), "find", "No such file");
    assert_eq!(expect_the_rest(&vault), Some(5 << 20));
}

#[test]
fn a_file_that_fills_the_disk_costs_one_line_and_leaves_nothing_behind() {
    let (vault, file) = troubled();
    // Of so many blobs that each of the threads that restore writes several.
    fs::write(&file, Random::new(1).bytes(24 << 20)).unwrap();
    vault.back_up(&[]);
    let target = vault.sandbox.path("target");
    let restored = crate::shared_vault::restored(&target, &file);
    let arguments = ["restore", "latest", "--no-progress", "--target", target.to_str().unwrap()];
    let full = "pwrite64:error=ENOSPC:when=2+";
    let ran = finish(spawn(&mut with_fault(&vault, &restored, full, &arguments))).expect_code(1);
    let named: Vec<_> = ran.stderr.lines().filter(|line| line.contains("No space left on device")).collect();
    assert_eq!(named.len(), 1, "{}", ran.stderr);
    assert!(named[0].contains(&format!("cannot write {}", file.display())), "{}", ran.stderr);
    let beside: Vec<_> =
        fs::read_dir(restored.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(beside.len() == 2 && beside.iter().all(|name| name != "troubled"), "{beside:?}");
    vault.lifeboat(&arguments).ok();
    assert_eq!(fs::read(restored).unwrap(), fs::read(file).unwrap());
}

#[test]
fn packs_that_cannot_be_removed_are_named_with_the_cause() {
    let (vault, _) = troubled();
    let id = vault.back_up(&[])["snapshot_id"].as_str().unwrap().to_owned();
    vault.lifeboat(&["forget", &id]).ok();
    let data = vault.place.join("data");
    let folders = || fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let packs: Vec<_> = folders().flat_map(|folder| fs::read_dir(folder).unwrap()).collect();
    let close =
        |mode| folders().for_each(|path| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap());
    let mut command = vault.command_of_nobody(&["prune", "--json"]);
    close(0o555);
    let ran = finish(spawn(&mut command)).expect_code(3);
    close(0o755);
    let errors: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| errors.iter().filter(|line| line["message_type"] == kind).collect::<Vec<_>>();
    let mut told: Vec<_> = of_kind("error").iter().map(|line| line["message"].to_string()).collect();
    told.sort();
    let mut names: Vec<_> =
        packs.into_iter().map(|pack| pack.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(told.len(), names.len(), "{errors:?}");
    for (told, name) in told.iter().zip(&names) {
        assert!(
            told.contains(&format!("cannot remove pack {name}")) && told.contains("Permission denied"),
            "{told}"
        );
    }
    assert_eq!(of_kind("warning").len(), 1, "{errors:?}");
    let summary = ran.json();
    assert_eq!(
        (&summary["packs"]["not_deleted"], &summary["num_errors"]),
        (&names.len().into(), &names.len().into())
    );
    vault.restic().check();
    vault.lifeboat(&["prune"]).ok();
    assert_eq!(folders().flat_map(|folder| fs::read_dir(folder).unwrap()).count(), 0);
}
