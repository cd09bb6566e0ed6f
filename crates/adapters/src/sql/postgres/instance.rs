//! A server of its own, made of a restored backup: `data/` and `tablespaces/` in a folder become a running PostgreSQL.
//!
//! It is prepared once: what was restored is compared with the manifest, the log is cut where the backup ends, so that
//! recovery ends exactly there, and a configuration is written beside the data, which is the last step and says that
//! all before is done. Nothing of the source's configuration is used but what recovery demands. The server belongs to
//! the user `postgres` where we are root, listens on the loopback address alone, and outlives us; after a reboot
//! [`Instance::start`] starts it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_repository::Ctx;
use rustix::process::{Pid, Signal, kill_process};

use super::check::text;
use super::connection::{Connection, Purpose};
use super::prepare::{self, CONFIGURATION};
use super::programs::failed;
use crate::child::{Program, SystemUser, Writing};
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A process has no arguments for a moment while it becomes another program.
const LOOKS_THAT_MISS: u32 = 25;
/// A server that does not stop in this time although its clients are gone is told to stop at once.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const LAST_WORDS_BYTES: usize = 2048;

/// Who may get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Who has a password in the source: on this port of 127.0.0.1, and on the socket in the folder.
    Password { port: u16 },
    /// Who may enter the folder: root and the user it runs as, on the socket alone. For as long as a restore takes.
    Private,
}

/// How to make a server of a backup.
#[derive(Clone, Debug)]
pub struct InstanceOptions {
    pub access: Access,
    /// Libraries that the source had loaded, where its data need them.
    pub shared_preload_libraries: Option<String>,
}

/// A prepared server; it may be running or not.
#[derive(Clone, Debug)]
pub struct Instance {
    folder: PathBuf,
    programs: PathBuf,
    user: Option<SystemUser>,
    port: u16,
}

impl Instance {
    /// Makes a server of the backup that was restored to `folder`. It may be repeated after a crash.
    pub fn prepare(folder: &Path, options: &InstanceOptions, ctx: &Ctx) -> Result<Self> {
        prepare::run(folder, options, ctx)?;
        Self::open(folder)
    }

    /// Finds a server that was prepared.
    pub fn open(folder: &Path) -> Result<Self> {
        let read = fs::read_to_string(folder.join(CONFIGURATION));
        let text = read.map_err(|error| {
            let what = format!("there is no prepared server in {}", folder.display());
            SqlError::new(SqlErrorKind::NotFound, what).because(error)
        })?;
        let port = text.lines().find_map(|line| line.strip_prefix("port = ")?.trim().parse().ok());
        let port = port.ok_or_else(|| SqlError::damaged(format!("{} has no port", folder.display())))?;
        let programs = prepare::programs(folder)?;
        Ok(Self { folder: folder.to_owned(), programs, user: prepare::user()?, port })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// True while its process runs.
    pub fn is_running(&self) -> bool {
        self.process().is_some()
    }

    /// Starts it and waits until it lets clients in. One that runs already is left as it is.
    pub fn start(&self, ctx: &Ctx) -> Result<()> {
        let launched = if self.is_running() { None } else { Some(self.launch(ctx)?) };
        let waited = self.wait_until_ready(ctx);
        if waited.is_err() {
            self.stop(&Ctx::default())?;
        }
        // What it says before it has a log.
        let first_words =
            launched.map_or(Ok(String::new()), |launched| launched.finish(ctx).map_err(failed))?;
        if waited? {
            return Ok(());
        }
        let words = [first_words, self.last_words()].join(" ");
        let what = format!("the server in {} does not start: {}", self.folder.display(), words.trim());
        Err(SqlError::new(SqlErrorKind::Program, what))
    }

    /// Starts it as nobody's child, which the first program, once it is gone, leaves behind.
    fn launch(&self, ctx: &Ctx) -> Result<Writing> {
        // Left behind by a crash: its process is gone, or is somebody else by now.
        remove_if_there(&self.data().join("postmaster.pid"))?;
        let program = Program::new("/usr/bin/setsid").arg("--fork").arg(self.programs.join("postgres"));
        program.args(["-c", &self.setting()]).as_user(self.user.clone()).write(ctx).map_err(failed)
    }

    /// True once it is ready, false when it has ended instead.
    fn wait_until_ready(&self, ctx: &Ctx) -> Result<bool> {
        let mut missed = 0;
        while missed < LOOKS_THAT_MISS {
            ctx.cancel.check()?;
            missed = if self.is_running() { 0 } else { missed + 1 };
            let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            if missed == 0 && state.trim_end().ends_with("ready") {
                return Ok(true);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(false)
    }

    /// Stops it; its clients are sent away. One that does not run is left as it is.
    pub fn stop(&self, ctx: &Ctx) -> Result<()> {
        let began = Instant::now();
        let mut told = None;
        while let Some(process) = self.process() {
            ctx.cancel.check()?;
            let signal = if began.elapsed() < STOP_PATIENCE { Signal::INT } else { Signal::QUIT };
            if told != Some(signal) {
                // It may have ended since.
                kill_process(process, signal).unwrap_or_default();
                told = Some(signal);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// The way to a [`Access::Private`] server, as its superuser. `role` is any that can log in.
    pub fn private_endpoint(&self, role: &str, ctx: &Ctx) -> Result<Endpoint> {
        let as_role = |role: &str| Endpoint {
            scheme: "postgresql".into(),
            user: Some(role.to_owned()),
            password: None,
            host: self.folder.display().to_string(),
            port: Some(self.port),
            path: String::new(),
            options: Vec::new(),
        };
        let mut connection = Connection::open(&as_role(role), Purpose::Sql("template1"), ctx)?;
        let sql = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin ORDER BY oid LIMIT 1";
        let rows = connection.query(sql)?;
        let superuser = rows.first().map_or(role, |row| text(row, 0)).to_owned();
        Ok(as_role(&superuser))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its first process: the one that its own file names, or, while it is about to write that, the one that has our
    /// configuration among its arguments, as have those that lead to it.
    fn process(&self) -> Option<Pid> {
        let state = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let named = state.lines().next().and_then(|id| id.parse().ok());
        let all = || fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = || all().find_map(|entry| self.owned(entry.file_name().to_str()?.parse().ok()?));
        named.and_then(|id| self.owned(id)).or_else(all)
    }

    /// The process `id`, if it is really ours.
    fn owned(&self, id: i32) -> Option<Pid> {
        let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let setting = self.setting();
        command.split(|byte| *byte == 0).any(|arg| arg == setting.as_bytes()).then(|| Pid::from_raw(id))?
    }

    /// What it is started with, and known by.
    fn setting(&self) -> String {
        format!("config_file={}", self.folder.join(CONFIGURATION).display())
    }

    /// The end of the log that it writes to, in one line.
    fn last_words(&self) -> String {
        let logs = fs::read_to_string(self.data().join("current_logfiles")).unwrap_or_default();
        let log = logs.lines().find_map(|line| Path::new(line.strip_prefix("stderr ")?).file_name());
        let log = log.map(|name| fs::read(self.folder.join("log").join(name)).unwrap_or_default());
        let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
        let from = log.ceil_char_boundary(log.len().saturating_sub(LAST_WORDS_BYTES));
        log.get(from..).unwrap_or_default().lines().collect::<Vec<_>>().join("; ")
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SqlError::io(format!("cannot remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
