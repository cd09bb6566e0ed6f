//! Runs the real restic, which must be installed: it is the judge of what we read and write.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A repository in a temporary folder, used through the program `restic`.
pub(crate) struct Restic {
    folder: tempfile::TempDir,
}

impl Restic {
    /// Makes a repository of format version 2.
    pub(crate) fn init() -> Self {
        let restic = Self { folder: tempfile::tempdir().expect("temporary folders can be made") };
        restic.run(&["init", "--repository-version", "2"]);
        restic
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder().join("repository")
    }

    /// What the command prints; panics with what it complains about when it fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("restic")
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("RESTIC_REPOSITORY", self.repository())
            .env("RESTIC_PASSWORD", "secret")
            .env("RESTIC_CACHE_DIR", self.folder().join("cache"))
            .stdin(Stdio::null())
            .current_dir(self.folder())
            .output()
            .expect("these tests need the program restic; install the package of that name");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "restic {arguments:?}: {complaint}");
        output.stdout
    }

    /// The same, as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_slice(&self.run(arguments)).expect("restic prints JSON when asked to")
    }
}
