//! Signals and a full disk: a backup ends or goes on as it should, and the vault stays whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::sandbox::Ran;
use crate::shared_vault::SharedVault;

/// A backup that is in the midst of a file which takes it hours to read.
struct EndlessBackup {
    vault: SharedVault,
    child: Child,
}

impl EndlessBackup {
    fn start() -> Self {
        let vault = SharedVault::new();
        vault.sandbox.write("source/a", "content");
        let endless = vault.sandbox.path("source/endless");
        File::create(&endless).unwrap().set_len(1 << 43).unwrap();
        let mut command = vault.command(&["backup", "--no-progress", &vault.sandbox.arg("source")]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut backup = Self { vault, child };
        let files = format!("/proc/{}/fd", backup.child.id());
        while !has_open(&files, &endless) {
            assert!(backup.is_running(), "the backup ended before its endless file was open");
            std::thread::yield_now();
        }
        assert_eq!(backup.vault.files("locks").len(), 1);
        backup
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Interrupts the backup, which must end as an interrupted one, and checks what it leaves.
    fn interrupt(self, signal: Signal) {
        let began = Instant::now();
        self.signal(signal);
        let ran = Ran::new(self.child.wait_with_output().unwrap()).expect_code(130);
        eprintln!("ended {} ms after {signal:?}", began.elapsed().as_millis());
        assert!(ran.stderr.contains("no snapshot was made"), "{}", ran.stderr);
        assert_eq!(self.vault.files("locks").len(), 0);
        assert_eq!(self.vault.files("snapshots").len(), 0);
        self.vault.restic().check();
        fs::remove_file(self.vault.sandbox.path("source/endless")).unwrap();
        self.vault.back_up(&[]);
        self.vault.restic().check();
    }
}

fn has_open(files: &str, path: &Path) -> bool {
    let Ok(files) = fs::read_dir(files) else { return false };
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|target| target == path)
}

#[test]
fn an_interrupt_ends_a_backup_with_130_and_leaves_the_vault_whole() {
    EndlessBackup::start().interrupt(Signal::INT);
    EndlessBackup::start().interrupt(Signal::TERM);
}

/// restic asks whether the holder of a lock lives by a hangup, which kills those who do not expect it.
#[test]
fn neither_a_hangup_nor_restics_unlock_harms_a_running_backup() {
    let mut backup = EndlessBackup::start();
    backup.signal(Signal::HUP);
    for judge in backup.vault.restic().judges() {
        judge.run(["unlock"]);
        assert_eq!(backup.vault.files("locks").len(), 1, "restic {:?} took the lock away", judge.version());
    }
    let ran = backup.vault.lifeboat(&["unlock"]).ok();
    assert!(ran.text().contains("removed 0 locks"), "{}", ran.text());
    backup.signal(Signal::HUP);
    assert!(backup.is_running());
    backup.interrupt(Signal::INT);
}

/// A file system of its own, of a few megabytes, in memory.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: PathBuf, size: &str) -> Self {
        assert!(
            geteuid().is_root(),
            "this test mounts a small file system, for which it must be run as root"
        );
        fs::create_dir(&place).unwrap();
        let disk = Self(place);
        disk.run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]));
        disk
    }

    fn grow(&self, size: &str) {
        self.run(Command::new("mount").args(["-o", &format!("remount,size={size}")]));
    }

    fn run(&self, command: &mut Command) {
        let output = command.arg(&self.0).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        match Command::new("umount").arg("--lazy").arg(&self.0).status() {
            Ok(status) if status.success() => {}
            failed => eprintln!("cannot unmount {}: {failed:?}", self.0.display()),
        }
    }
}

#[test]
fn a_full_disk_ends_a_backup_with_a_clear_error_and_leaves_the_vault_whole() {
    let vault = SharedVault::new();
    let place = vault.sandbox.path("disk");
    let disk = SmallDisk::mount(place.clone(), "24m");
    let on_disk = place.join("vault");
    let run = |arguments: &[&str]| {
        let mut command = vault.command(arguments);
        Ran::new(command.env("LIFEBOAT_VAULT", &on_disk).output().unwrap())
    };
    let restic = lifeboat_testkit::restic::Restic::new(&on_disk);
    let mut random = lifeboat_testkit::random::Random::new(1);
    let source = vault.sandbox.arg("source");
    run(&["init"]).ok();
    vault.sandbox.write("source/small", "content");
    run(&["backup", &source]).ok();
    for name in ["one", "two", "three"] {
        fs::write(vault.sandbox.path("source").join(name), random.bytes(20 << 20)).unwrap();
    }
    let ran = run(&["backup", "--no-progress", &source]).expect_code(1);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    assert!(!ran.text().contains("saved"), "{}", ran.text());
    // A lock may not fit any more.
    restic.run(["check", "--read-data", "--no-lock"]);
    disk.grow("200m");
    run(&["backup", &source]).ok();
    restic.check();
    assert_eq!(run(&["snapshots", "--json"]).ok().json().as_array().unwrap().len(), 2);
}
