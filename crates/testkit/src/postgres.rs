//! A real PostgreSQL, started for one test and gone with it.
//!
//! Its programs are in the folder `LIFEBOAT_TEST_POSTGRES`, or where Debian puts them, or in the path. Where there are
//! none the test fails: a database that was not there has not agreed to anything. It listens on a socket in a folder
//! of its own, so servers of many tests never meet; it dies with the thread that started it, also after `kill -9`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::servant;
pub use crate::servant::run;

const PATIENCE: Duration = Duration::from_secs(60);
/// Who runs it where we are root.
const SERVANT: &str = "postgres";
/// The superuser inside of the database.
const USER: &str = "lifeboat";

/// A running server with no database of ours yet.
pub struct Postgres {
    server: Child,
    programs: PathBuf,
    /// Of the whole server: `data/` and the socket.
    folder: tempfile::TempDir,
    settings: Vec<String>,
}

impl Postgres {
    /// Makes a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[], None)
    }

    /// Makes a server with settings such as `wal_level=minimal` and with rules who may log in: `pg_hba.conf`.
    #[must_use]
    pub fn start_with(settings: &[&str], hba: Option<&str>) -> Self {
        let programs = programs();
        // Not in TMPDIR: the name of a socket may have 107 bytes, and whoever runs the server must get to it.
        let folder =
            tempfile::Builder::new().prefix("lifeboat-pg-").tempdir_in("/tmp").expect("/tmp takes folders");
        servant::give_to(SERVANT, folder.path());
        let data = folder.path().join("data");
        let mut init = as_servant(&programs.join("initdb"));
        init.args([
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--username",
            USER,
            "--pgdata",
        ]);
        run(init.arg(&data));
        if let Some(hba) = hba {
            fs::write(data.join("pg_hba.conf"), hba).expect("the folder can be written to");
        }
        let settings: Vec<_> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self::serve(&programs, folder.path(), &settings);
        let postgres = Self { server, programs, folder, settings };
        postgres.wait();
        postgres
    }

    /// Kills the server and all its processes at once, as a power cut would.
    pub fn kill(&mut self) {
        let children = self.processes();
        let ids = children.iter().filter_map(|(id, _)| Pid::from_raw(*id));
        self.server.kill().expect("the server is ours");
        self.server.wait().expect("the server is ours");
        for id in ids {
            // Those that noticed first are gone.
            kill_process(id, Signal::KILL).unwrap_or_default();
        }
    }

    /// Starts the server again after [`Postgres::kill`].
    pub fn restart(&mut self) {
        fs::remove_file(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        self.server = Self::serve(&self.programs, self.folder.path(), &self.settings);
        self.wait();
    }

    /// The processes that the server has started, and what each calls itself.
    #[must_use]
    pub fn processes(&self) -> Vec<(i32, String)> {
        let id = self.server.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        let title = |id: i32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        children.map(|id| (id, title(id).replace('\0', " ").trim().to_owned())).collect()
    }

    /// Stops the process that makes checkpoints: who asks for one waits until [`Postgres::release_checkpoints`].
    pub fn hold_checkpoints(&self) {
        self.signal_checkpointer(Signal::STOP);
    }

    pub fn release_checkpoints(&self) {
        self.signal_checkpointer(Signal::CONT);
    }

    fn signal_checkpointer(&self, signal: Signal) {
        let found = self.processes().into_iter().find(|(_, title)| title.contains("checkpointer"));
        let id = found.and_then(|(id, _)| Pid::from_raw(id)).expect("a server has a checkpointer");
        kill_process(id, signal).expect("it is the server's");
    }

    /// The folder of everything: `data/`, the socket `.s.PGSQL.5432`, the `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder that belongs to the user who runs the server.
    #[must_use]
    pub fn new_folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).expect("the folder can be written to");
        servant::give_to(SERVANT, &path);
        path
    }

    /// A program of PostgreSQL, as the user who runs the server, with the way to the server in its environment.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = as_servant(&self.programs.join(name));
        command.env("PGHOST", self.folder.path()).env("PGUSER", USER);
        command
    }

    /// A program of PostgreSQL that looks at files, as who runs the test.
    #[must_use]
    pub fn tool(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    fn serve(programs: &Path, folder: &Path, settings: &[String]) -> Child {
        let log = fs::File::create(folder.join("log")).expect("the folder can be written to");
        let mut command = as_servant(&programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
        command.args(["-h", "", "-F", "-c", "max_connections=200", "-c", "shared_buffers=64MB"]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        command.stdout(Stdio::null()).stderr(log).spawn().expect("setpriv of util-linux can be run")
    }

    /// Until the server says in its own file that it is ready.
    fn wait(&self) {
        let began = Instant::now();
        let state = self.folder.path().join("data/postmaster.pid");
        let is_ready = || fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"));
        while !is_ready() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Makes an empty database and returns its URL.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        let mut create = Command::new(self.programs.join("createdb"));
        run(create.arg("--host").arg(self.folder.path()).args(["--username", USER, name]));
        self.url(name)
    }

    /// The URL of a database that exists.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("postgres://{USER}@localhost/{name}?host={}", self.folder.path().display())
    }

    /// Runs SQL in a database and returns what it prints, one line for each row, columns parted by `|`.
    #[must_use]
    pub fn query(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        // Not among the arguments, where some names would be taken for more than names.
        psql.arg("--host").arg(self.folder.path()).args(["--username", USER]).env("PGDATABASE", database);
        run(psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", sql]))
    }
}

impl Drop for Postgres {
    /// At once: nobody needs what it holds.
    fn drop(&mut self) {
        if matches!(self.server.try_wait(), Ok(Some(_))) {
            return;
        }
        let id = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        let told = id.map(|id| kill_process(id, Signal::QUIT));
        assert!(
            told.is_some_and(|told| told.is_ok()) && self.server.wait().is_ok(),
            "PostgreSQL does not stop"
        );
    }
}

/// The folder of `initdb`, `postgres`, `createdb` and `psql`.
fn programs() -> PathBuf {
    if let Some(folder) = variable("LIFEBOAT_TEST_POSTGRES") {
        return folder.into();
    }
    let has_programs = |folder: &PathBuf| folder.join("initdb").exists();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin")).filter(has_programs).max();
    let path = variable("PATH").unwrap_or_default();
    debian.or_else(|| std::env::split_paths(&path).find(has_programs)).expect(
        "this test needs PostgreSQL, which is not here (install the package postgresql, or set LIFEBOAT_TEST_POSTGRES)",
    )
}

/// A command that ends with this thread.
fn as_servant(program: &Path) -> Command {
    servant::as_servant(SERVANT, "QUIT", program)
}

#[expect(clippy::disallowed_methods, reason = "the test command says which PostgreSQL to use")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::Postgres;

    #[test]
    fn a_server_starts_answers_and_is_gone_with_its_folder() {
        let postgres = Postgres::start();
        let folder = postgres.folder.path().to_owned();
        assert!(postgres.database("first").contains(folder.to_str().unwrap()));
        assert_eq!(postgres.query("first", "SELECT 6 * 7").trim(), "42");
        drop(postgres);
        assert!(!folder.exists());
    }
}
