//! A memory limit for a child process, by a cgroup of its own: what does not fit is killed by the kernel.
//!
//! Works as root with cgroup v1 or v2. Elsewhere it says what is missing: a test of bounded memory that runs
//! unbounded proves nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = "/sys/fs/cgroup";

/// A cgroup with a memory limit, removed when dropped.
pub struct MemoryLimit {
    folder: PathBuf,
}

impl MemoryLimit {
    /// Makes a cgroup named after `name` and this process. Panics where that is not possible.
    pub fn new(name: &str, bytes: u64) -> Self {
        let name = format!("lifeboat-{name}-{}", std::process::id());
        match Self::try_new(&name, bytes) {
            Ok(limit) => limit,
            Err(error) => panic!(
                "this test needs a memory cgroup and could not make one: {error} (run it as root on a system \
                 with the memory controller of cgroup v1 or v2 below {ROOT})"
            ),
        }
    }

    fn try_new(name: &str, bytes: u64) -> io::Result<Self> {
        let v1 = Path::new(ROOT).join("memory");
        if v1.join("memory.limit_in_bytes").exists() {
            let folder = v1.join(name);
            fs::create_dir(&folder)?;
            fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string())?;
            return Ok(Self { folder });
        }
        let control = Path::new(ROOT).join("cgroup.subtree_control");
        if !fs::read_to_string(&control)?.contains("memory") {
            fs::write(&control, "+memory")?;
        }
        let folder = Path::new(ROOT).join(name);
        fs::create_dir(&folder)?;
        fs::write(folder.join("memory.max"), bytes.to_string())?;
        fs::write(folder.join("memory.swap.max"), "0").or_else(|error| match error.kind() {
            // Kernels without swap accounting have no such file.
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Ok(()),
            _ => Err(error),
        })?;
        Ok(Self { folder })
    }

    /// The command for `program`, to run within the limit.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(program);
        command
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("cannot remove the cgroup {}: {error}", self.folder.display());
        }
    }
}
