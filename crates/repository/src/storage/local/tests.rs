//! The local folder as a storage: whole files only, in the right order, whatever lies around.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

struct Vault {
    folder: tempfile::TempDir,
    storage: LocalStorage,
}

fn vault() -> Vault {
    let folder = tempfile::tempdir().unwrap();
    let storage = LocalStorage::new(folder.path().join("vault"));
    storage.create().unwrap();
    Vault { folder, storage }
}

fn pack(content: &[u8]) -> (FileId, Body) {
    (FileId::new(FileKind::Pack, Id::of(content)), Body::from_bytes(content.to_vec()))
}

fn listed(storage: &LocalStorage, kind: FileKind) -> Vec<Stored> {
    let mut all = Vec::new();
    storage
        .list(kind, &mut |stored| {
            all.push(stored);
            true
        })
        .unwrap();
    all
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Any time after the files a test has just written.
fn later() -> Timestamp {
    Timestamp::MAX
}

#[test]
fn files_lie_where_restic_looks_for_them() {
    let vault = vault();
    let (file, body) = pack(b"content");
    vault.storage.put(file, &body).unwrap();
    let name = file.id.to_string();
    let path = vault.storage.path().join("data").join(&name[..2]).join(&name);
    assert_eq!(fs::read(&path).unwrap(), b"content");
    assert_eq!(mode(&path), 0o400);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(vault.storage.path().join("data")).unwrap().count(), 256);
    for (kind, folder) in [
        (FileKind::Key, "keys"),
        (FileKind::Lock, "locks"),
        (FileKind::Snapshot, "snapshots"),
        (FileKind::Index, "index"),
    ] {
        vault.storage.put(FileId::new(kind, file.id), &body).unwrap();
        assert!(vault.storage.path().join(folder).join(&name).is_file());
    }
    vault.storage.put(FileId::CONFIG, &body).unwrap();
    assert!(vault.storage.path().join("config").is_file());
}

#[test]
fn a_group_readable_config_makes_new_files_group_readable() {
    let vault = vault();
    vault.storage.put(FileId::CONFIG, &Body::from_bytes(vec![1])).unwrap();
    fs::set_permissions(vault.storage.path().join("config"), Permissions::from_mode(0o640)).unwrap();
    let (file, body) = pack(b"content");
    vault.storage.put(file, &body).unwrap();
    assert_eq!(mode(&vault.storage.path_of(file)), 0o440);
}

#[test]
fn a_second_config_is_refused_and_leaves_the_first() {
    let vault = vault();
    vault.storage.put(FileId::CONFIG, &Body::from_bytes(b"first".to_vec())).unwrap();
    let second = vault.storage.put(FileId::CONFIG, &Body::from_bytes(b"second".to_vec())).unwrap_err();
    assert_eq!(second.kind, StorageErrorKind::AlreadyExists);
    assert_eq!(vault.storage.read(FileId::CONFIG, 0..5).unwrap(), b"first");
    let names: Vec<_> = fs::read_dir(vault.storage.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
}

#[test]
fn listings_pass_over_foreign_names() {
    let vault = vault();
    let (file, body) = pack(b"content");
    vault.storage.put(file, &body).unwrap();
    let folder = vault.storage.folder_of(file);
    let name = file.id.to_string();
    fs::write(folder.join(format!("{name}-tmp-123")), b"x").unwrap();
    fs::write(folder.join(name.to_uppercase()), b"x").unwrap();
    fs::write(folder.join("README"), b"x").unwrap();
    let elsewhere = vault.storage.path().join("data").join(if name.starts_with("00") { "01" } else { "00" });
    fs::write(elsewhere.join(&name), b"wrong folder").unwrap();
    let directory = Id::of(b"directory");
    fs::create_dir(vault.storage.path_of(FileId::new(FileKind::Pack, directory))).unwrap();
    assert_eq!(listed(&vault.storage, FileKind::Pack), [Stored { id: file.id, size: 7 }]);
}

#[test]
fn a_linked_file_is_listed_as_it_is_read() {
    let vault = vault();
    let (file, _) = pack(b"content");
    let target = vault.folder.path().join("elsewhere");
    fs::write(&target, b"content").unwrap();
    symlink(target, vault.storage.path_of(file)).unwrap();
    assert_eq!(vault.storage.read(file, 0..7).unwrap(), b"content");
    assert_eq!(listed(&vault.storage, FileKind::Pack), [Stored { id: file.id, size: 7 }]);
}

#[test]
fn a_vault_that_is_gone_does_not_pass_for_an_empty_one() {
    let vault = vault();
    vault.storage.put(FileId::CONFIG, &Body::from_bytes(vec![1])).unwrap();
    fs::remove_dir(vault.storage.path().join("snapshots")).unwrap();
    assert_eq!(listed(&vault.storage, FileKind::Snapshot), []);
    fs::rename(vault.storage.path(), vault.folder.path().join("unmounted")).unwrap();
    let gone = vault.storage.list(FileKind::Snapshot, &mut |_| true).unwrap_err();
    assert_eq!(gone.kind, StorageErrorKind::NotFound);
    let (file, body) = pack(b"content");
    assert_eq!(vault.storage.put(file, &body).unwrap_err().kind, StorageErrorKind::NotFound);
    assert!(!vault.storage.path().exists(), "a put must not bring a missing vault to life");
}

#[test]
fn a_missing_fan_out_folder_is_made_when_needed() {
    let vault = vault();
    let (file, body) = pack(b"content");
    fs::remove_dir(vault.storage.folder_of(file)).unwrap();
    vault.storage.put(FileId::CONFIG, &Body::from_bytes(vec![1])).unwrap();
    assert_eq!(listed(&vault.storage, FileKind::Pack), []);
    vault.storage.put(file, &body).unwrap();
    assert_eq!(vault.storage.read(file, 0..7).unwrap(), b"content");
}

#[test]
fn a_long_read_of_a_short_file_is_refused_before_it_allocates() {
    let vault = vault();
    let (file, body) = pack(b"content");
    vault.storage.put(file, &body).unwrap();
    for range in [0..8, 7..8, 100..101, 0..1 << 60, 1 << 60..u64::MAX] {
        let short = vault.storage.read(file, range).unwrap_err();
        assert_eq!(short.kind, StorageErrorKind::Truncated);
    }
}

#[test]
fn a_fifo_in_place_of_a_file_is_an_error_and_not_a_wait() {
    let vault = vault();
    let (file, _) = pack(b"content");
    let made = Command::new("mkfifo").arg(vault.storage.path_of(file)).status().unwrap();
    assert!(made.success());
    assert_eq!(vault.storage.read(file, 0..1).unwrap_err().kind, StorageErrorKind::Io);
    assert_eq!(listed(&vault.storage, FileKind::Pack), []);
}

#[test]
fn a_failed_put_removes_its_temporary_file() {
    let vault = vault();
    let (file, body) = pack(b"content");
    // A folder in the place of the file makes the rename fail, after everything was written.
    fs::create_dir(vault.storage.path_of(file)).unwrap();
    assert_eq!(vault.storage.put(file, &body).unwrap_err().kind, StorageErrorKind::Io);
    assert_eq!(fs::read_dir(vault.storage.folder_of(file)).unwrap().count(), 1);
}

#[test]
fn a_sweep_removes_old_temporary_files_and_nothing_else() {
    let vault = vault();
    let (file, body) = pack(b"content");
    vault.storage.put(file, &body).unwrap();
    let folder = vault.storage.folder_of(file);
    let old = folder.join(format!("{}-tmp-4711", file.id));
    fs::write(&old, b"x").unwrap();
    fs::write(vault.storage.path().join("config-tmp-1"), b"x").unwrap();
    let foreign = folder.join("notes-tmp-1");
    fs::write(&foreign, b"x").unwrap();
    assert_eq!(vault.storage.sweep(Timestamp::UNIX_EPOCH).unwrap(), 0);
    assert_eq!(vault.storage.sweep(later()).unwrap(), 2);
    assert!(!old.exists() && foreign.exists());
    assert_eq!(vault.storage.read(file, 0..7).unwrap(), b"content");
}

#[test]
fn a_sweep_spares_what_is_being_written() {
    let vault = vault();
    let (file, _) = pack(b"content");
    let writing = vault.storage.folder_of(file).join(format!("{}-tmp-4711", file.id));
    let held = File::create(&writing).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    assert_eq!(vault.storage.sweep(later()).unwrap(), 0);
    drop(held);
    assert_eq!(vault.storage.sweep(later()).unwrap(), 1);
}

#[test]
fn system_errors_become_kinds() {
    let kind = |errno: Errno| kind_of(&io::Error::from(errno));
    assert_eq!(kind(Errno::NOSPC), StorageErrorKind::Full);
    assert_eq!(kind(Errno::DQUOT), StorageErrorKind::Full);
    assert_eq!(kind(Errno::ROFS), StorageErrorKind::Denied);
    assert_eq!(kind(Errno::ACCESS), StorageErrorKind::Denied);
    assert_eq!(kind(Errno::NOENT), StorageErrorKind::NotFound);
    assert_eq!(kind(Errno::EXIST), StorageErrorKind::AlreadyExists);
    assert_eq!(kind(Errno::IO), StorageErrorKind::Io);
    let wrapped = tempfile::Builder::new().tempfile_in("/proc/self/no-such-folder").unwrap_err();
    assert_eq!(kind_of(&wrapped), StorageErrorKind::NotFound);
}
