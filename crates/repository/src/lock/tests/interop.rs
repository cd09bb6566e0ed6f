//! The real restic as the other holder.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::*;
use crate::clock::RealPace;
use crate::crypto::{KeyMaterial, MasterKey};
use crate::storage::{LocalStorage, list_ids};

const PASSWORD: &str = "a password";

struct ResticVault {
    folder: tempfile::TempDir,
}

struct SealedFiles {
    storage: LocalStorage,
    key: MasterKey,
}

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp::new(now.tv_sec, i32::try_from(now.tv_nsec).unwrap()).unwrap()
    }
}

impl ResticVault {
    fn init() -> Self {
        let vault = Self { folder: tempfile::tempdir().unwrap() };
        assert!(vault.run(&["init", "--repository-version", "2"]).status.success());
        vault
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("vault")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command.arg("--no-cache").arg("-r").arg(self.path()).args(args);
        command.env("RESTIC_PASSWORD", PASSWORD).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("this test needs restic to be installed")
    }

    fn files(&self) -> Arc<SealedFiles> {
        let storage = LocalStorage::new(self.path());
        let key = open_key(&storage);
        Arc::new(SealedFiles { storage, key })
    }
}

fn open_key(storage: &LocalStorage) -> MasterKey {
    let [id] = list_ids(storage, FileKind::Key).unwrap()[..] else { panic!("restic makes one key") };
    let file = FileId::new(FileKind::Key, id);
    let json: Value =
        serde_json::from_slice(&storage.read(file, 0..storage.size(file).unwrap()).unwrap()).unwrap();
    let number = |name: &str| u32::try_from(json[name].as_u64().unwrap()).unwrap();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let log_n = u8::try_from(number("N").ilog2()).unwrap();
    let params = scrypt::Params::new(log_n, number("r"), number("p")).unwrap();
    let mut derived = [0; 64];
    scrypt::scrypt(PASSWORD.as_bytes(), &bytes(&json["salt"]), &params, &mut derived).unwrap();
    let part = |range: std::ops::Range<usize>| derived[range].to_vec();
    let outer = master_key(&part(0..32), &part(32..48), &part(48..64));
    let mut opened = Vec::new();
    outer.open(&bytes(&json["data"]), &mut opened).unwrap();
    let inner: Value = serde_json::from_slice(&opened).unwrap();
    master_key(&bytes(&inner["encrypt"]), &bytes(&inner["mac"]["k"]), &bytes(&inner["mac"]["r"]))
}

fn master_key(encrypt: &[u8], mac_k: &[u8], mac_r: &[u8]) -> MasterKey {
    MasterKey::new(KeyMaterial {
        encrypt: encrypt.try_into().unwrap(),
        mac_k: mac_k.try_into().unwrap(),
        mac_r: mac_r.try_into().unwrap(),
    })
}

impl UnpackedFiles for SealedFiles {
    fn save(&self, kind: FileKind, content: &[u8]) -> Result<Id> {
        let mut sealed = Vec::new();
        self.key.seal(content, &mut sealed);
        let id = Id::of(&sealed);
        self.storage.put(FileId::new(kind, id), &Body::from_bytes(sealed))?;
        Ok(id)
    }

    fn load(&self, kind: FileKind, id: Id) -> Result<Option<Vec<u8>>> {
        let file = FileId::new(kind, id);
        let sealed = self.storage.read(file, 0..self.storage.size(file)?)?;
        let mut content = Vec::new();
        self.key.open(&sealed, &mut content).unwrap();
        Ok(Some(match content.split_first() {
            Some((2, compressed)) => zstd::decode_all(compressed).unwrap(),
            _ => content,
        }))
    }

    fn exists(&self, kind: FileKind, id: Id) -> Result<bool> {
        Ok(self.storage.size(FileId::new(kind, id)).is_ok())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        self.storage.list(kind, &mut |stored| {
            all.push(stored);
            true
        })?;
        Ok(all)
    }

    fn delete(&self, kind: FileKind, id: Id) -> Result<bool> {
        Ok(self.storage.delete(FileId::new(kind, id)).is_ok())
    }
}

fn options(mode: LockMode) -> LockOptions {
    let hostname = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let holder = Holder::of_this_process(hostname, "me");
    let time = Time { clock: Arc::new(RealClock), zone: TimeZone::UTC };
    LockOptions { mode, holder, retry_for: Duration::ZERO, time, pace: Arc::new(RealPace) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn restic_backs_up_beside_our_shared_lock_and_refuses_to_prune() {
    let vault = ResticVault::init();
    let source = vault.folder.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "content").unwrap();
    let guard = LockGuard::acquire(vault.files(), options(LockMode::Shared), &Ctx::default()).unwrap();
    let backup = vault.run(&["backup", source.to_str().unwrap()]);
    assert!(backup.status.success(), "{}", text(&backup.stderr));
    let prune = vault.run(&["prune"]);
    let said = text(&prune.stderr);
    assert!(!prune.status.success());
    let us = format!("already locked by PID {} on", std::process::id());
    assert!(said.contains(&us), "{us:?} is missing in {said}");
    guard.release().unwrap();
    let prune = vault.run(&["prune"]);
    assert!(prune.status.success(), "{}", text(&prune.stderr));
}

/// Restic looks for a process by sending it a hangup, so whoever takes locks must not die of one.
#[test]
fn restic_unlock_spares_a_lock_whose_process_survives_a_hangup() {
    let vault = ResticVault::init();
    let script = "trap '' HUP; echo ready; exec sleep 600";
    let mut holder = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let mut options = options(LockMode::Shared);
    options.holder.pid = holder.id().into();
    let guard = LockGuard::acquire(vault.files(), options, &Ctx::default()).unwrap();
    let live = vault.run(&["unlock"]);
    let still_held = guard.assert_held();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(live.status.success(), "{}", text(&live.stderr));
    still_held.unwrap();
    let dead = vault.run(&["unlock"]);
    assert!(dead.status.success(), "{}", text(&dead.stderr));
    assert_eq!(guard.assert_held().unwrap_err().kind, ErrorKind::LockLost);
}

#[test]
fn our_exclusive_lock_keeps_restic_from_backing_up() {
    let vault = ResticVault::init();
    let guard = LockGuard::acquire(vault.files(), options(LockMode::Exclusive), &Ctx::default()).unwrap();
    let backup = vault.run(&["backup", "/proc/self/status"]);
    let said = text(&backup.stderr);
    assert!(!backup.status.success());
    assert!(said.contains("already locked exclusively by PID"), "{said}");
    guard.assert_held().unwrap();
}

/// A restic that has been stopped while it holds an exclusive lock.
struct StoppedRestic(Child);

impl StoppedRestic {
    fn prune(vault: &ResticVault) -> Self {
        let child = vault.command(&["prune"]).spawn().expect("this test needs restic to be installed");
        let mut restic = Self(child);
        while !has_entries(&vault.path().join("locks")) {
            assert!(restic.0.try_wait().unwrap().is_none(), "restic ended before it took its lock");
            std::thread::yield_now();
        }
        kill_process(restic.pid(), Signal::STOP).unwrap();
        restic
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for StoppedRestic {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn has_entries(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.into_iter().any(|name| !name.to_string_lossy().contains("-tmp-"))
}

#[test]
fn we_refuse_beside_restics_exclusive_lock_until_its_process_is_dead() {
    let vault = ResticVault::init();
    let restic = StoppedRestic::prune(&vault);
    let refused =
        LockGuard::acquire(vault.files(), options(LockMode::Shared), &Ctx::default()).err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Locked);
    let holder = format!("exclusively by PID {} on", restic.pid().as_raw_nonzero());
    assert!(refused.to_string().contains(&holder), "{refused}");
    drop(restic);
    let guard = LockGuard::acquire(vault.files(), options(LockMode::Exclusive), &Ctx::default()).unwrap();
    assert_eq!(guard.removed().len(), 1);
}
