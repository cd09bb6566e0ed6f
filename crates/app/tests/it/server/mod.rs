//! Tests of `lifeboat server`: the real binary, each time with a data folder of its own on a port of its own.
//!
//! Clients are the official ones of the clouds, installed by `scripts/test tools`; without them the tests fail and say
//! so. A server is killed when its test is over, however that ends.

mod access;
mod asker;
mod chain;
mod commands;
mod crashes;
mod database_kills;
mod databases;
mod operation;
mod policies;
mod readme;
mod recovery;
mod restarts;
mod restore_kills;
mod sdk;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};

/// Longer than any machine takes to start a server.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server under way, and the sandbox it lives in.
pub(crate) struct Server {
    pub(crate) sandbox: Sandbox,
    child: Child,
    address: String,
}

impl Server {
    /// Starts one in a sandbox of its own.
    pub(crate) fn start() -> Self {
        Self::start_in(Sandbox::new(), &[])
    }

    /// Starts one on the data folder `data` of `sandbox` with more arguments.
    pub(crate) fn start_in(sandbox: Sandbox, arguments: &[&str]) -> Self {
        let log = fs::File::create(sandbox.path("server.log")).unwrap();
        let all = [&["server", "--data", "data", "--listen", "127.0.0.1:0"], arguments].concat();
        let mut command = sandbox.command(&all);
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let began = Instant::now();
        let address = loop {
            let log = fs::read_to_string(sandbox.path("server.log")).unwrap();
            let listening =
                log.lines().find_map(|line| line.split_once("listening on ")?.1.split([' ', '"']).next());
            if let Some(address) = listening {
                break address.to_owned();
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "the server does not start: {log}");
            std::thread::sleep(Duration::from_millis(5));
        };
        Self { sandbox, child, address }
    }

    /// What `root.json` says.
    pub(crate) fn root(&self) -> Value {
        serde_json::from_slice(&fs::read(self.sandbox.path("data/root.json")).unwrap()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.sandbox.path("server.log")).unwrap()
    }

    /// Kills it as a power cut would; the sandbox stays for the next.
    pub(crate) fn kill(mut self) -> Sandbox {
        self.end();
        std::mem::replace(&mut self.sandbox, Sandbox::new())
    }

    fn end(&mut self) {
        // One that has ended already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Runs a Python program of the folder `clients` with the server's address, its `root.json` and more arguments.
    pub(crate) fn python(&self, program: &str, arguments: &[&str]) -> Ran {
        Ran::new(self.python_command(program, arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// The same, to be run by the caller.
    fn python_command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool("LIFEBOAT_TEST_PYTHON"));
        // Nothing is left in the folder of the sources.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        self.client(command, program, arguments)
    }

    /// The same for a program of Node.
    pub(crate) fn node(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new("node");
        command.env("NODE_PATH", tool("LIFEBOAT_TEST_NODE_MODULES"));
        Ran::new(self.client(command, program, arguments).stdin(Stdio::null()).output().unwrap())
    }

    fn client(&self, mut command: Command, program: &str, arguments: &[&str]) -> Command {
        let clients = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/server/clients");
        command
            .arg(clients.join(program))
            .arg(&self.address)
            .arg(self.sandbox.path("data/root.json"))
            .args(arguments)
            .current_dir(self.sandbox.path(""));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for something to come true.
fn until(mut is_so: impl FnMut() -> bool, otherwise: &str) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{otherwise}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A path that `scripts/test` sets for the tests.
fn tool(variable: &str) -> PathBuf {
    let path = option_env_at_run_time(variable);
    path.unwrap_or_else(|| panic!("{variable} is not set: run the tests with `scripts/test tests`"))
}

#[expect(clippy::disallowed_methods, reason = "what a test needs of its machine is said in the environment")]
fn option_env_at_run_time(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// What chooses the moments of a test: the environment, or else the test itself.
fn seed_of_test(own: u64) -> u64 {
    let seed = option_env_at_run_time("LIFEBOAT_TEST_SEED").map_or(own, |text| {
        text.to_str().and_then(|text| text.parse().ok()).expect("LIFEBOAT_TEST_SEED is a number")
    });
    eprintln!("LIFEBOAT_TEST_SEED={seed}");
    seed
}
