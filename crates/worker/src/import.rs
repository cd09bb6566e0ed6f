//! What a vault says of itself: its snapshots, whoever made them, what its packs take, and the file beside the
//! repository that tells whose vault it is.
//!
//! Nothing here takes a lock: snapshot files appear whole or not at all, and one that vanishes while it is looked for
//! is passed over. The file beside the repository is replaced whole; restic does not look at it. A vault that is to be
//! deleted is moved aside first, so that a crash never leaves half a vault that passes for a whole one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lifeboat_model::database::SetDetail;
use lifeboat_model::job::JobCounters;
use lifeboat_model::time::Millis;
use lifeboat_repository::id::SnapshotId;
use lifeboat_repository::snapshot::{ITEMS_LOST, SnapshotFile};
use lifeboat_repository::storage::{FileKind, list_ids};
use lifeboat_repository::{Ctx, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::vault::VaultAccess;

/// Lifeboat's own fields of a snapshot file. restic passes over them, and drops them when it rewrites the file.
const ABOUT: &str = "lifeboat";
const RESULT: &str = "lifeboat_result";
const DETAIL: &str = "lifeboat_detail";
/// The file beside the repository.
const SPEC_FILE: &str = "lifeboat.json";
/// Before the name of a vault's folder that is being deleted.
const DOOMED: &str = ".deleted-";

/// A snapshot as its file tells.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundSnapshot {
    pub hash: String,
    /// The file that this one was made of, by restic's `tag` or `copy`.
    pub original: Option<String>,
    pub parent: Option<String>,
    pub started: Millis,
    pub ended: Millis,
    pub paths: Vec<String>,
    pub excludes: Vec<String>,
    pub tags: Vec<String>,
    /// What the job that made it has noted in it.
    pub about: Option<Value>,
    /// What that job had counted when it made it.
    pub counters: Option<JobCounters>,
    /// Of a database, what is known of it besides its bytes.
    pub detail: Option<SetDetail>,
    pub is_partial: bool,
}

/// What came of a backup job, as its snapshot tells.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct JobResult {
    pub(crate) counters: JobCounters,
    /// Also where something is stored, but not as it should be.
    pub(crate) is_partial: bool,
}

/// When the list of a vault's snapshots last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultStamp(SystemTime);

/// Takes one look at a vault's folder, which is cheap: as long as it is the same, so is the list.
pub fn vault_stamp(access: &VaultAccess) -> io::Result<VaultStamp> {
    fs::metadata(access.place.join("snapshots"))?.modified().map(VaultStamp)
}

/// The names of the snapshot files, sorted.
pub fn list_snapshots(access: &VaultAccess, ctx: &Ctx) -> Result<Vec<String>> {
    let ids = list_ids(access.storage(None, ctx).as_ref(), FileKind::Snapshot)?;
    Ok(ids.into_iter().map(|id| id.to_string()).collect())
}

/// Whether somebody works on the vault, or died at it.
pub fn is_locked(access: &VaultAccess, ctx: &Ctx) -> Result<bool> {
    Ok(!list_ids(access.storage(None, ctx).as_ref(), FileKind::Lock)?.is_empty())
}

/// Whether the password opens the vault.
pub fn opens(access: &VaultAccess) -> bool {
    access.open(None, &Ctx::default()).is_ok()
}

/// What packs take.
pub fn stored_bytes(access: &VaultAccess, ctx: &Ctx) -> Result<u64> {
    let mut bytes = 0;
    access.storage(None, ctx).list(FileKind::Pack, &mut |stored| {
        bytes += stored.size;
        true
    })?;
    Ok(bytes)
}

/// A snapshot file that cannot be read, and why.
pub type Unreadable = (String, Error);

/// Reads snapshot files. Those that cannot be read are named with the reason; those that are gone are left out.
pub fn read_snapshots(
    access: &VaultAccess,
    hashes: &[String],
    ctx: &Ctx,
) -> Result<(Vec<FoundSnapshot>, Vec<Unreadable>)> {
    let repository = access.open(None, ctx)?;
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for hash in hashes {
        ctx.cancel.check()?;
        let Ok(id) = hash.parse::<SnapshotId>() else { continue };
        match repository.load_snapshot(id) {
            Ok(file) => found.push(FoundSnapshot::of(hash, file)),
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => unreadable.push((hash.clone(), error)),
        }
    }
    Ok((found, unreadable))
}

impl FoundSnapshot {
    fn of(hash: &str, mut file: SnapshotFile) -> Self {
        let started = Millis::from(file.time.instant());
        let summary = file.summary.as_ref();
        let result = file.unknown.remove(RESULT);
        let result = result.and_then(|result| serde_json::from_value::<JobResult>(result).ok());
        let detail = file.unknown.remove(DETAIL).and_then(|detail| serde_json::from_value(detail).ok());
        let has_lost = summary.is_some_and(|summary| summary.unknown.contains_key(ITEMS_LOST));
        let ended = summary.map(|summary| Millis::from(summary.backup_end.instant()));
        Self {
            hash: hash.to_owned(),
            original: file.original.map(|id| id.to_string()),
            parent: file.parent.map(|id| id.to_string()),
            started,
            // Go's zero time, where nobody has set one.
            ended: ended.filter(|ended| *ended >= started).unwrap_or(started),
            is_partial: has_lost || result.as_ref().is_some_and(|result| result.is_partial),
            counters: result.map(|result| result.counters),
            detail,
            about: file.unknown.remove(ABOUT),
            paths: file.paths,
            excludes: file.excludes,
            tags: file.tags,
        }
    }

    /// What a tag such as `job=…` says.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The fields that a snapshot file gets from the job that makes it.
pub(crate) fn about(about: &Value) -> Map<String, Value> {
    let is_there = !about.is_null();
    is_there.then(|| (ABOUT.to_owned(), about.clone())).into_iter().collect()
}

/// The fields that it gets when everything is stored.
pub(crate) fn result_fields(result: &JobResult) -> Map<String, Value> {
    let result = serde_json::to_value(result).expect("numbers are JSON");
    Map::from_iter([(RESULT.to_owned(), result)])
}

/// The fields that the snapshot of a database gets when it is known what was taken.
pub(crate) fn detail_fields(detail: &SetDetail) -> Map<String, Value> {
    let detail = serde_json::to_value(detail).expect("a detail has text as keys");
    Map::from_iter([(DETAIL.to_owned(), detail)])
}

/// What the file beside the repository says; `None` when there is none.
pub fn read_spec(access: &VaultAccess) -> io::Result<Option<Vec<u8>>> {
    match fs::read(access.place.join(SPEC_FILE)) {
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Writes the file beside the repository, unless it says the same already.
pub fn write_spec(access: &VaultAccess, content: &[u8]) -> io::Result<()> {
    if read_spec(access)?.as_deref() == Some(content) {
        return Ok(());
    }
    let temporary = access.place.join(".lifeboat.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, access.place.join(SPEC_FILE))?;
    File::open(&access.place)?.sync_all()
}

/// The names of all folders below `root` that hold a repository.
pub fn vault_folders(root: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.is_empty() && !name.starts_with('.') && entry.path().join("config").is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Deletes a vault's folder, or what an earlier attempt has left of it.
pub fn delete_vault(access: &VaultAccess) -> io::Result<()> {
    let doomed = doomed(&access.place);
    match fs::rename(&access.place, &doomed) {
        Err(error) if error.kind() == IoErrorKind::NotFound => {}
        renamed => renamed?,
    }
    match fs::remove_dir_all(&doomed) {
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn doomed(place: &Path) -> PathBuf {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    place.with_file_name(format!("{DOOMED}{name}"))
}
