//! The one place that reads the environment: its variables, the current folder, the host's name, the user's.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Looks up what surrounds the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Env;

impl Env {
    /// A variable that is set and not empty.
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    pub(crate) fn get(self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    /// A variable's value for patterns, which are bytes; empty when it is not set.
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    pub(crate) fn bytes(self, name: &[u8]) -> Vec<u8> {
        std::env::var_os(std::ffi::OsStr::from_bytes(name)).map(OsStringExt::into_vec).unwrap_or_default()
    }

    pub(crate) fn current_folder(self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }

    /// `$XDG_DATA_HOME`, `~/.local/share` by default.
    pub(crate) fn data_home(self) -> anyhow::Result<PathBuf> {
        self.xdg_home("XDG_DATA_HOME", ".local/share")
    }

    /// `$XDG_CONFIG_HOME`, `~/.config` by default.
    pub(crate) fn config_home(self) -> anyhow::Result<PathBuf> {
        self.xdg_home("XDG_CONFIG_HOME", ".config")
    }

    /// Where temporary files go.
    pub(crate) fn spool_folder(self) -> PathBuf {
        // Not /tmp, which is memory on many systems.
        let on_disk = || PathBuf::from(if Path::new("/var/tmp").is_dir() { "/var/tmp" } else { "/tmp" });
        self.get("TMPDIR").map_or_else(on_disk, PathBuf::from)
    }

    fn xdg_home(self, variable: &str, fallback: &str) -> anyhow::Result<PathBuf> {
        // The specification of these variables says to ignore relative ones.
        if let Some(home) = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute()) {
            return Ok(home);
        }
        let home = self.get("HOME").with_context(|| {
            format!("neither {variable} nor HOME is set, so there is no default vault; name one with --vault")
        })?;
        Ok(PathBuf::from(home).join(fallback))
    }

    pub(crate) fn hostname(self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    pub(crate) fn user_ids(self) -> (u32, u32) {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    }

    /// The name of the user this process runs as, as far as it can be told.
    pub(crate) fn username(self) -> String {
        let uid = self.user_ids().0.to_string();
        let listed = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let name_of_line = |line: &str| {
            let mut fields = line.split(':');
            let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
            (number == uid).then(|| name.to_owned())
        };
        let from_variable = || self.get("USER").map(|name| name.to_string_lossy().into_owned());
        listed.lines().find_map(name_of_line).or_else(from_variable).unwrap_or_default()
    }
}
