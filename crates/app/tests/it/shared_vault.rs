//! A vault in a sandbox that both programs use: ours as a user runs it, and real restic.
//!
//! Its key is cheap, so that a test of a hundred commands does not spend its time on passwords.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use lifeboat_repository::storage::LocalStorage;
use lifeboat_testkit::digest::{Digest, DigestOptions};
use lifeboat_testkit::repository::{PASSWORD, init};
use lifeboat_testkit::restic::Restic;
use rustix::process::geteuid;
use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};

const NOBODY: u32 = 65534;

pub(crate) struct SharedVault {
    pub(crate) sandbox: Sandbox,
    pub(crate) place: PathBuf,
    zone: &'static str,
}

impl SharedVault {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let place = sandbox.path("vault");
        drop(init(Arc::new(LocalStorage::new(&place))));
        Self { sandbox, place, zone: "UTC" }
    }

    /// Runs both programs in this time zone.
    pub(crate) fn in_zone(mut self, zone: &'static str) -> Self {
        self.zone = zone;
        self
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.sandbox.path("source")
    }

    /// Our program on the vault, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        self.surround(&mut command);
        command
    }

    /// The same as a user who owns nothing but the vault. The program itself may lie where others cannot reach.
    pub(crate) fn command_of_nobody(&self, arguments: &[&str]) -> Command {
        let ours = self.command(arguments);
        if !geteuid().is_root() {
            return ours;
        }
        let program = self.sandbox.path("lifeboat");
        fs::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
        for name in ["", "source", "lifeboat"] {
            fs::set_permissions(self.sandbox.path(name), Permissions::from_mode(0o755)).unwrap();
        }
        for folder in ["home", "tmp", "vault"] {
            give_away(&self.sandbox.path(folder));
        }
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()]);
        command.arg(program).args(arguments).current_dir(self.sandbox.path("")).stdin(Stdio::null());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// Says which vault, to our program.
    pub(crate) fn surround(&self, command: &mut Command) {
        command.env("LIFEBOAT_VAULT", &self.place).env("LIFEBOAT_PASSWORD", PASSWORD).env("TZ", self.zone);
    }

    pub(crate) fn lifeboat(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    /// The usual restic on the vault.
    pub(crate) fn restic(&self) -> Restic {
        Restic::new(&self.place).in_zone(self.zone)
    }

    /// Backs up the source with our program, by its absolute path. Returns the summary.
    pub(crate) fn back_up(&self, options: &[&str]) -> Value {
        let source = self.sandbox.arg("source");
        self.lifeboat(&[&["backup", "--json", &source], options].concat()).ok().json()
    }

    /// Runs restic in the sandbox. Returns the last line as JSON.
    pub(crate) fn summary_of(&self, restic: &Restic, arguments: &[&str]) -> Value {
        let printed = String::from_utf8(restic.run_in(&self.sandbox.path(""), arguments)).unwrap();
        serde_json::from_str(printed.lines().last().unwrap()).unwrap()
    }

    /// All snapshots as our program lists them.
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let listed = self.lifeboat(&["snapshots", "--json"]).ok().json();
        listed.as_array().unwrap().clone()
    }

    /// The names of the files in one folder of the vault, without those that a kill left half written.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.place.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.contains("-tmp-")).collect()
    }

    /// The pack files of the vault.
    pub(crate) fn packs(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries(&self.place.join("data")).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
    }
}

/// Gives a file or a folder, with all below it, to the user who owns nothing else.
pub(crate) fn give_away(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// All that is known of a tree, without what restic does not carry: holes.
pub(crate) fn digest(root: &Path) -> Digest {
    Digest::of(root, &DigestOptions::default()).unwrap()
}

/// Where a restore into `target` puts what was at `path`.
pub(crate) fn restored(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").unwrap())
}
