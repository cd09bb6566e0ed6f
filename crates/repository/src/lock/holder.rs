//! Who holds a lock: a process of some user on some host, and whether that process can still be seen.
//!
//! A live lock taken for dead loses data, so every doubt counts as alive: a process we may not signal, a clock
//! that was set, a container that shares our host name and has other process numbers.

use std::fmt;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// A process that takes locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub hostname: String,
    pub username: String,
    pub pid: i64,
    pub uid: u32,
    pub gid: u32,
    /// Which process `pid` means, once and for all; restic does not say.
    pub process: Option<ProcessMark>,
}

/// Tells a process from any other that has, had or will have its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The running kernel.
    boot: String,
    /// The installation: hosts may share a name. Empty where it has none.
    #[serde(default)]
    machine: String,
    /// The process namespace: containers may share a host name and still number processes on their own.
    namespace: String,
    started_ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    Alive,
    Dead,
    /// Of this host by name, but its processes are hidden from us.
    Unseen,
    Elsewhere,
}

/// Start times reckoned from the clock may be off by this much.
const CLOCK_DOUBT: Duration = Duration::from_secs(60);

impl Holder {
    /// This process; the names of host and user come from the caller.
    pub fn of_this_process(hostname: impl Into<String>, username: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            username: username.into(),
            pid: i64::from(rustix::process::getpid().as_raw_nonzero().get()),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            process: ProcessMark::of_this_process(),
        }
    }

    /// What `us` can tell about the process that wrote a lock at `written`.
    pub(super) fn liveness(&self, us: &Self, written: Timestamp) -> Liveness {
        if self.hostname.is_empty() || self.hostname != us.hostname {
            return Liveness::Elsewhere;
        }
        let Some(pid) = i32::try_from(self.pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
            return Liveness::Alive;
        };
        let marks = self.process.as_ref().zip(us.process.as_ref());
        let was_reused = match marks {
            // It ran before this machine was started last, or on another machine of the same name.
            Some((theirs, ours)) if theirs.boot != ours.boot => {
                let is_ours = !ours.machine.is_empty() && theirs.machine == ours.machine;
                return if is_ours { Liveness::Dead } else { Liveness::Unseen };
            }
            Some((theirs, ours)) if theirs.namespace != ours.namespace => return Liveness::Unseen,
            Some((theirs, _)) => started_ticks(self.pid).is_some_and(|ticks| ticks != theirs.started_ticks),
            None => self.began_after(written, us),
        };
        if was_reused || test_kill_process(pid) == Err(Errno::SRCH) {
            Liveness::Dead
        } else {
            Liveness::Alive
        }
    }

    /// Whether the process that now has the number began after the lock was written. A clock set forward looks
    /// the same, so a process that may well be a backup is believed, unless it is we ourselves.
    fn began_after(&self, written: Timestamp, us: &Self) -> bool {
        let began_later = started(self.pid)
            .and_then(|started| started.checked_sub(CLOCK_DOUBT).ok())
            .is_some_and(|started| started > written);
        began_later && (self.pid == us.pid || !is_backup_program(self.pid, us.pid))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hostname, username, pid, uid, gid, .. } = self;
        write!(f, "PID {pid} on {hostname} by {username} (UID {uid}, GID {gid})")
    }
}

impl ProcessMark {
    fn of_this_process() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
        let pid = i64::from(rustix::process::getpid().as_raw_nonzero().get());
        Some(Self { boot: boot.trim().to_owned(), machine, namespace, started_ticks: started_ticks(pid)? })
    }
}

fn is_backup_program(pid: i64, our_pid: i64) -> bool {
    let name = |pid: i64| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let theirs = name(pid);
    ["", "restic", "rustic", "lifeboat"].contains(&theirs.trim()) || theirs == name(our_pid)
}

/// When a process began, in clock ticks of the running kernel.
fn started_ticks(pid: i64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may contain anything; twenty fields on is the start.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

/// When a process began, by today's clock.
fn started(pid: i64) -> Option<Timestamp> {
    let boot_seconds: i64 = fs::read_to_string("/proc/stat")
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())?;
    let milliseconds = started_ticks(pid)?.checked_mul(1000)?;
    let after_boot = milliseconds.checked_div(rustix::param::clock_ticks_per_second())?;
    Timestamp::from_second(boot_seconds).ok()?.checked_add(Duration::from_millis(after_boot)).ok()
}

#[cfg(test)]
impl ProcessMark {
    pub(super) fn rename_namespace(&mut self, name: &str) {
        name.clone_into(&mut self.namespace);
    }

    /// As if the mark had been made before the last start of a machine.
    pub(super) fn of_another_boot(&mut self, machine: &str) {
        self.boot = "another boot".to_owned();
        machine.clone_into(&mut self.machine);
    }

    pub(super) fn machine(&self) -> &str {
        &self.machine
    }

    pub(super) fn restart(&mut self) {
        self.started_ticks = 0;
    }
}
