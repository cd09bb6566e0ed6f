//! Kill -9 at every moment of the commands that change who may open a vault, or whether somebody may: there is always a
//! password that opens it, the key file holds one, and the vault is whole.
//!
//! The program is killed after the first system call that changes a file, then in another run after the second, and so
//! on until it comes through. `strace` tells of the calls and holds each up a little, so that the kill comes before it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use lifeboat_repository::storage::LocalStorage;
use lifeboat_testkit::repository::{PASSWORD, init};
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::Sandbox;

const CHANGES: &str = "write,fsync,?fdatasync,?rename,renameat,?renameat2,?link,linkat,?unlink,unlinkat";
const DELAY_MICROSECONDS: u32 = 10_000;

/// A home with a default vault whose key file is the one way in, and what it was before the kill.
struct Home {
    sandbox: Sandbox,
    kills: u32,
}

impl Home {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("source/a", "content");
        // A key that is cheap to open, or most of the time would go into that.
        sandbox.write("home/.config/lifeboat/vault.key", &format!("{PASSWORD}\n"));
        fs::create_dir_all(sandbox.default_vault()).unwrap();
        drop(init(Arc::new(LocalStorage::new(sandbox.default_vault()))));
        sandbox.run(&["backup", &sandbox.arg("source")]).ok();
        fs::copy(sandbox.key_file(), sandbox.path("old")).unwrap();
        sandbox.write("new", "a new one\n");
        Self { sandbox, kills: 0 }
    }

    /// Keeps the home as it is now for [`Home::reset`].
    fn keep(&self) {
        copy(&self.sandbox.path("home"), &self.sandbox.path("kept"));
    }

    fn reset(&self) {
        fs::remove_dir_all(self.sandbox.path("home")).unwrap();
        copy(&self.sandbox.path("kept"), &self.sandbox.path("home"));
    }

    /// Runs the command and kills it after so many changes. True if it came through.
    fn kill(&mut self, changes: usize, arguments: &[&str]) -> bool {
        let trace = self.sandbox.path("trace");
        fs::write(&trace, "").unwrap();
        let ours = self.sandbox.command(arguments);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "signal=none", "-e", &format!("trace={CHANGES}")]);
        command.args(["-e", &format!("inject={CHANGES}:delay_enter={DELAY_MICROSECONDS}"), "-o"]).arg(&trace);
        command.arg(ours.get_program()).args(arguments).current_dir(self.sandbox.path(""));
        command.env_clear().envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut strace = command.spawn().expect("this test needs the program strace");
        let status = loop {
            if let Some(status) = strace.try_wait().unwrap() {
                break status;
            }
            if fs::read_to_string(&trace).unwrap().lines().count() >= changes {
                // There is none when the program has just ended.
                let children = format!("/proc/{0}/task/{0}/children", strace.id());
                let children = fs::read_to_string(children).unwrap_or_default();
                if let Some(traced) = children.split_whitespace().next() {
                    kill_process(Pid::from_raw(traced.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
                }
                break strace.wait().unwrap();
            }
            std::thread::yield_now();
        };
        self.kills += u32::from(status.signal().is_some());
        assert!(status.success() || status.signal().is_some(), "{arguments:?}: {status}");
        status.success()
    }

    /// Kills the command after each number of changes, from the same state each time, and lets `judge` see what is
    /// left; in the end what is there when it came through.
    fn kill_at_every_change(&mut self, arguments: &[&str], judge: impl Fn(&Sandbox, bool)) {
        self.keep();
        for changes in 1.. {
            self.reset();
            let is_done = self.kill(changes, arguments);
            self.assert_open_and_whole();
            judge(&self.sandbox, is_done);
            if is_done {
                break;
            }
        }
    }

    /// What the key file holds opens the vault, for both programs, and the vault is whole.
    fn assert_open_and_whole(&self) {
        let snapshots = self.sandbox.run(&["snapshots", "--json"]).ok().json();
        assert_eq!(snapshots.as_array().unwrap().len(), 1);
        self.sandbox.restic(&["check"]).ok();
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Whether the password in this file of the sandbox opens the vault.
fn opens(sandbox: &Sandbox, password_file: &str) -> bool {
    sandbox.run(&["-p", &sandbox.arg(password_file), "snapshots"]).code == Some(0)
}

fn keys(sandbox: &Sandbox) -> usize {
    sandbox.run(&["key", "list", "--json"]).ok().json().as_array().unwrap().len()
}

#[test]
fn a_killed_change_of_the_password_leaves_a_key_file_that_opens_the_vault() {
    let mut home = Home::new();
    let new = home.sandbox.arg("new");
    home.kill_at_every_change(&["key", "passwd", "--new-password-file", &new], |sandbox, is_done| {
        let (old_opens, new_opens) = (opens(sandbox, "old"), opens(sandbox, "new"));
        assert!(old_opens || new_opens);
        if is_done {
            assert!(!old_opens && fs::read_to_string(sandbox.key_file()).unwrap() == "a new one\n");
        }
    });
    assert!(home.kills > 15, "{} kills are not a whole change", home.kills);
}

#[test]
fn a_killed_addition_of_a_key_leaves_the_old_one_valid() {
    let mut home = Home::new();
    let new = home.sandbox.arg("new");
    home.kill_at_every_change(&["key", "add", "--new-password-file", &new], |sandbox, is_done| {
        assert!(opens(sandbox, "old") && (opens(sandbox, "new") || !is_done));
    });
    assert!(home.kills > 8, "{} kills are not a whole addition", home.kills);
}

#[test]
fn a_killed_removal_of_a_key_removes_it_or_not_and_no_other() {
    let mut home = Home::new();
    let new = home.sandbox.arg("new");
    let added = home.sandbox.run(&["key", "add", "--json", "--new-password-file", &new]).ok().json();
    let id = added["id"].as_str().unwrap().to_owned();
    home.kill_at_every_change(&["key", "remove", &id], |sandbox, is_done| {
        assert_eq!(opens(sandbox, "new"), keys(sandbox) == 2);
        assert!(opens(sandbox, "old") && (!is_done || keys(sandbox) == 1));
    });
    assert!(home.kills > 5, "{} kills are not a whole removal", home.kills);
}

#[test]
fn a_killed_unlock_can_be_repeated() {
    let mut home = Home::new();
    let locks = |sandbox: &Sandbox| {
        let names = fs::read_dir(sandbox.default_vault().join("locks")).unwrap();
        names.filter(|name| !name.as_ref().unwrap().file_name().to_string_lossy().contains("-tmp-")).count()
    };
    let new = home.sandbox.arg("new");
    for number in 1.. {
        assert!(!home.kill(number, &["key", "add", "--new-password-file", &new]), "no lock was left");
        if locks(&home.sandbox) > 0 {
            break;
        }
    }
    for arguments in [&["unlock"][..], &["unlock", "--remove-all"]] {
        home.kill_at_every_change(arguments, |sandbox, is_done| {
            sandbox.run(arguments).ok();
            assert!(locks(sandbox) == 0 && (is_done || opens(sandbox, "old")));
        });
    }
    assert!(home.kills > 2, "{} kills are not a whole unlock", home.kills);
}
