//! Programs of real servers: run by somebody harmless where the tests are root, and gone with the thread that started
//! them, also after `kill -9`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Gid, Uid, geteuid};

/// A command that gets `signal` when this thread ends, and that root gives to `user`: databases refuse to run as root.
pub(crate) fn as_servant(user: &str, signal: &str, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal]).current_dir("/").stdin(Stdio::null());
    if geteuid().is_root() {
        let (user, group) = servant(user);
        command.arg(format!("--reuid={}", user.as_raw())).arg(format!("--regid={}", group.as_raw()));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

/// Root gives a folder to `user`; anybody else keeps it.
pub(crate) fn give_to(user: &str, folder: &Path) {
    if geteuid().is_root() {
        let (user, group) = servant(user);
        rustix::fs::chown(folder, Some(user), Some(group)).expect("root may give folders away");
    }
}

/// The user that Debian makes for a server, or `nobody`.
fn servant(user: &str) -> (Uid, Gid) {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |wanted: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut numbers = line.split(':').skip(2).map_while(|number| number.parse().ok());
        Some((Uid::from_raw(numbers.next()?), Gid::from_raw(numbers.next()?)))
    };
    ids(user).or_else(|| ids("nobody")).expect("every system has the user nobody")
}

/// Runs a command, which must succeed, and gives what it prints.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}", said());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("this machine has ports");
    listener.local_addr().expect("it listens").port()
}
