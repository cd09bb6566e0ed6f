//! A home of its own for each test, and the program run in it as a user would.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lifeboat_testkit::restic::Restic;
use serde_json::Value;

/// A folder with a home, an environment and nothing else.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails the test unless the run ended with this code.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.text(), self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Every line of standard output as JSON.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.text().lines().map(parse).collect()
    }

    /// The last line of standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        self.json_lines().pop().unwrap()
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["home", "source", "tmp"] {
            std::fs::create_dir(sandbox.path(folder)).unwrap();
        }
        sandbox
    }

    /// A path in the sandbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// The same as text, for arguments.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn default_vault(&self) -> PathBuf {
        self.path("home/.local/share/lifeboat/vault")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.path("home/.config/lifeboat/vault.key")
    }

    /// The program, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    pub(crate) fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).envs(variables.iter().copied()).output().unwrap())
    }

    /// restic on the default vault.
    pub(crate) fn restic(&self, arguments: &[&str]) -> Ran {
        self.restic_on(&self.default_vault(), &self.key_file(), arguments)
    }

    pub(crate) fn restic_on(&self, vault: &Path, password_file: &Path, arguments: &[&str]) -> Ran {
        let password = std::fs::read_to_string(password_file).unwrap();
        let restic = Restic::new(vault).with_password(password.trim());
        Ran::new(restic.output(restic.command(arguments).current_dir(self.folder.path())))
    }

    fn surround(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("TZ", "UTC")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
    }
}
