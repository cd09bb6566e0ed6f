//! A real MariaDB, started for one test and gone with it.
//!
//! Its programs are where Debian puts them, or in the path. Where there are none the test fails: a database that was
//! not there has not agreed to anything. It listens on a socket and on a free port, in a folder of its own, so servers
//! of many tests never meet; it dies with the thread that started it, also after `kill -9`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::servant::{self, free_port, run};

const PATIENCE: Duration = Duration::from_secs(60);
/// Who runs it where we are root.
const USER: &str = "mysql";

/// A running server. Its `root` has no password and is let in from this machine.
pub struct MariaDb {
    server: Child,
    port: u16,
    options: Vec<String>,
    /// Of the whole server: `data/`, the socket and the log.
    folder: tempfile::TempDir,
}

impl MariaDb {
    /// Makes a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options for `mariadbd`.
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        // Not in TMPDIR: the name of a socket may have 107 bytes, and whoever runs the server must get to it.
        let folder =
            tempfile::Builder::new().prefix("lifeboat-my-").tempdir_in("/tmp").expect("/tmp takes folders");
        servant::give_to(USER, folder.path());
        let mut install = as_servant("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        // A server that starts removes the temporary tables of all others in the same folder.
        install.arg(argument("--tmpdir=", folder.path()));
        run(install.arg(argument("--datadir=", &folder.path().join("data"))));
        let port = free_port();
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let server = serve(folder.path(), port, &options);
        let mut mariadb = Self { server, port, options, folder };
        mariadb.wait();
        mariadb
    }

    /// Until it answers. The port may have been taken meanwhile: the log says so.
    fn wait(&mut self) {
        let began = Instant::now();
        while !self.attempt("SELECT 1").is_ok_and(|output| output.status.success()) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.server.try_wait().is_ok_and(|status| status.is_some());
            assert!(!ended && began.elapsed() < PATIENCE, "MariaDB does not start: {}", log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The URL of its `root`, through the socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("root", "")
    }

    /// The URL of a user, through the socket. Neither part is encoded here.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let colon = if password.is_empty() { "" } else { ":" };
        format!("mariadb://{user}{colon}{password}@localhost/?socket={}", self.socket().display())
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    /// Runs SQL and returns what it prints, one line for each row, columns parted by tabs.
    #[must_use]
    pub fn query(&self, sql: &str) -> String {
        query_at(&self.socket(), sql)
    }

    /// Runs SQL whose answer nobody needs.
    pub fn execute(&self, sql: &str) {
        drop(self.query(sql));
    }

    fn attempt(&self, sql: &str) -> std::io::Result<std::process::Output> {
        client(&self.socket(), sql).output()
    }

    /// As when the machine fails: `kill -9`.
    pub fn kill(&mut self) {
        let id = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("it was started"), Signal::KILL).expect("it runs");
        self.server.wait().expect("it is ours");
    }

    /// Starts the server again after [`MariaDb::kill`].
    pub fn restart(&mut self) {
        self.server = serve(self.folder.path(), self.port, &self.options);
        self.wait();
    }
}

impl Drop for MariaDb {
    /// At once: nobody needs what it holds.
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        self.server.kill().unwrap_or_default();
        assert!(self.server.wait().is_ok(), "MariaDB does not stop");
    }
}

/// Runs SQL on any server that lets `root` in through its socket.
#[must_use]
pub fn query_at(socket: &Path, sql: &str) -> String {
    run(&mut client(socket, sql))
}

/// `mariadb` with SQL to run, for who wants to start it himself.
#[must_use]
pub fn client(socket: &Path, sql: &str) -> Command {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
    client.args(["--default-character-set=utf8mb4", "--init-command=SET SESSION sql_mode=''"]);
    client.arg(argument("--socket=", socket)).arg(format!("--execute={sql}")).stdin(Stdio::null());
    client
}

fn serve(folder: &Path, port: u16, options: &[String]) -> Child {
    let log = fs::File::create(folder.join("log")).expect("the folder can be written to");
    let mut command = as_servant("mariadbd");
    command.arg("--no-defaults").arg(argument("--datadir=", &folder.join("data")));
    command.arg(argument("--socket=", &folder.join("socket"))).arg(format!("--port={port}"));
    command.arg(argument("--tmpdir=", folder));
    command.args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"]);
    command.args(["--innodb-flush-log-at-trx-commit=0"]).args(options);
    command.stdout(Stdio::null()).stderr(log).spawn().expect("setpriv of util-linux can be run")
}

fn argument(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}

/// A command of MariaDB that ends with this thread.
fn as_servant(name: &str) -> Command {
    servant::as_servant(USER, "KILL", &program(name))
}

fn program(name: &str) -> PathBuf {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    found.expect(
        "this test needs MariaDB, which is not here (install the packages mariadb-server and mariadb-backup)",
    )
}

#[cfg(test)]
mod tests {
    use super::MariaDb;

    #[test]
    fn a_server_starts_answers_and_is_gone_with_its_folder() {
        let mariadb = MariaDb::start();
        let folder = mariadb.folder.path().to_owned();
        assert_eq!(mariadb.query("SELECT 6 * 7").trim(), "42");
        drop(mariadb);
        assert!(!folder.exists());
    }
}
