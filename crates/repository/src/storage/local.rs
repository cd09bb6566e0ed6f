//! A repository in a local folder, in restic's default layout: `config`, `keys/`, `locks/`, `snapshots/`,
//! `index/` and `data/00` to `data/ff`.
//!
//! A file is written under a temporary name in its own folder, flushed, renamed, and the folder flushed, in
//! this order; so it appears whole or not at all, and what `put` returned for survives a power cut. A crash
//! leaves at most temporary files, which no listing shows and `sweep` removes. Deletions are flushed too where
//! later deletions rely on them (a snapshot must be gone before the packs it needs).

use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::id::Id;

/// What separates the id from the random end in the name of a temporary file; restic uses the same.
const TEMPORARY: &str = "-tmp-";
/// Content from a spool is copied in pieces of this size.
const COPY_BYTES: usize = 256 << 10;
/// Reads above this size ask for the size of the file before they allocate.
const TRUSTED_READ_BYTES: usize = 1 << 20;

/// A folder holding the files of one repository.
#[derive(Clone, Debug)]
pub struct LocalStorage {
    path: PathBuf,
}

impl LocalStorage {
    /// Names the folder; nothing is looked at or made yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self, kind: FileKind) -> PathBuf {
        match kind {
            FileKind::Config => self.path.clone(),
            FileKind::Key => self.path.join("keys"),
            FileKind::Lock => self.path.join("locks"),
            FileKind::Snapshot => self.path.join("snapshots"),
            FileKind::Index => self.path.join("index"),
            FileKind::Pack => self.path.join("data"),
        }
    }

    fn folder_of(&self, file: FileId) -> PathBuf {
        let mut folder = self.folder(file.kind);
        if file.kind == FileKind::Pack {
            let [first, ..] = file.id.as_bytes();
            folder.push(format!("{first:02x}"));
        }
        folder
    }

    fn path_of(&self, file: FileId) -> PathBuf {
        match file.kind {
            FileKind::Config => self.path.join("config"),
            _ => self.folder_of(file).join(file.id.to_string()),
        }
    }

    /// The folders that hold files of `kind` directly.
    fn leaf_folders(&self, kind: FileKind) -> impl Iterator<Item = PathBuf> {
        let folder = self.folder(kind);
        let fan_out: Box<dyn Iterator<Item = PathBuf>> = if kind == FileKind::Pack {
            Box::new((0..=u8::MAX).map(move |first| folder.join(format!("{first:02x}"))))
        } else {
            Box::new(std::iter::once(folder))
        };
        fan_out
    }

    /// Modes for new files and folders: private, or shared with the group when the config is, as restic does.
    fn modes(&self) -> Modes {
        let config = fs::metadata(self.path.join("config"));
        let is_shared = config.is_ok_and(|config| config.mode() & 0o040 != 0);
        if is_shared { Modes { folder: 0o770, file: 0o440 } } else { Modes { folder: 0o700, file: 0o400 } }
    }

    fn write(&self, file: FileId, body: &Body) -> io::Result<()> {
        let folder = self.folder_of(file);
        let modes = self.modes();
        let mut temporary = self.temporary(file, &folder, modes)?;
        // Held while the file is being written, so that `sweep` can tell; not every file system has it.
        match rustix::fs::flock(temporary.as_file(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) | Err(_) => {}
        }
        copy(body, temporary.as_file_mut())?;
        tolerate(&[Errno::PERM, Errno::ACCESS, Errno::NOTSUP], || {
            temporary.as_file().set_permissions(Permissions::from_mode(modes.file))
        })?;
        flush(temporary.as_file())?;
        let path = self.path_of(file);
        if file.kind == FileKind::Config {
            temporary.persist_noclobber(path)?;
        } else {
            temporary.persist(path)?;
        }
        flush(&File::open(folder)?)
    }

    /// A new file next to where `file` shall be; it removes itself unless it is renamed.
    fn temporary(&self, file: FileId, folder: &Path, modes: Modes) -> io::Result<NamedTempFile> {
        let name = match file.kind {
            FileKind::Config => "config".to_owned(),
            _ => file.id.to_string(),
        };
        let prefix = name + TEMPORARY;
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).permissions(Permissions::from_mode(modes.file | 0o200));
        match builder.tempfile_in(folder) {
            // One missing folder may be mended, a whole missing vault may not.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.kind != FileKind::Config => {
                make_folder(folder, modes)?;
                flush(&File::open(self.folder(file.kind))?)?;
                builder.tempfile_in(folder)
            }
            made => made,
        }
    }

    fn read_range(&self, file: FileId, range: Range<u64>) -> io::Result<Vec<u8>> {
        let stored = self.open(file)?;
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).map_err(|_| truncated())?;
        if wanted > TRUSTED_READ_BYTES && stored.metadata()?.len() < range.end {
            return Err(truncated());
        }
        let mut content = Vec::with_capacity(wanted);
        while content.len() < wanted {
            let at = range.start + content.len() as u64;
            let read = rustix::io::retry_on_intr(|| {
                rustix::io::pread(&stored, rustix::buffer::spare_capacity(&mut content), at)
            });
            if read? == 0 {
                return Err(truncated());
            }
        }
        content.truncate(wanted);
        Ok(content)
    }

    /// Opens for reading. Should the name belong to a fifo, this must not wait for a writer.
    fn open(&self, file: FileId) -> io::Result<File> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        OpenOptions::new().read(true).custom_flags(flags).open(self.path_of(file))
    }
}

impl Storage for LocalStorage {
    fn create(&self) -> Result<(), StorageError> {
        self.make_folders().map_err(|cause| error("make its folders", None, cause))
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.write(file, body).map_err(|cause| error("write", Some(file), cause))
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.read_range(file, range).map_err(|cause| error("read", Some(file), cause))
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        let stored = fs::metadata(self.path_of(file)).map_err(|cause| error("inspect", Some(file), cause))?;
        Ok(stored.len())
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.list_kind(kind, visit).map_err(|cause| error("list the files of", None, cause))
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.remove(file).map_err(|cause| error("delete", Some(file), cause))
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        self.sweep_folders(before).map_err(|cause| error("remove temporary files of", None, cause))
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }
}

impl LocalStorage {
    fn make_folders(&self) -> io::Result<()> {
        let modes = self.modes();
        DirBuilder::new().recursive(true).mode(modes.folder).create(&self.path)?;
        for kind in KINDS {
            make_folder(&self.folder(kind), modes)?;
        }
        for folder in self.leaf_folders(FileKind::Pack) {
            make_folder(&folder, modes)?;
        }
        flush(&File::open(self.folder(FileKind::Pack))?)?;
        flush(&File::open(&self.path)?)?;
        match self.path.canonicalize()?.parent() {
            // The folder above may be one we cannot read; then it was not we who made the vault's folder.
            Some(above) => tolerate(&[Errno::ACCESS], || flush(&File::open(above)?)),
            None => Ok(()),
        }
    }

    /// Visits what the folders of a kind hold. A folder that is missing holds nothing, provided the config is
    /// there: an unmounted vault must not pass for one without snapshots.
    fn list_kind(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> io::Result<()> {
        if kind == FileKind::Config {
            let config = missing_as_none(fs::metadata(self.path.join("config")))?;
            config.map(|config| visit(Stored { id: FileId::CONFIG.id, size: config.len() }));
            return Ok(());
        }
        for folder in self.leaf_folders(kind) {
            let Some(entries) = missing_as_none(fs::read_dir(&folder))? else {
                fs::metadata(self.path.join("config"))?;
                continue;
            };
            for entry in entries {
                let Some(stored) = self.stored(kind, &entry?)? else { continue };
                if !visit(stored) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What a folder entry is to a listing: nothing, unless its name is an id and stands where it belongs.
    fn stored(&self, kind: FileKind, entry: &DirEntry) -> io::Result<Option<Stored>> {
        let name = entry.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<Id>().ok()) else { return Ok(None) };
        let path = entry.path();
        if path != self.path_of(FileId::new(kind, id)) {
            return Ok(None);
        }
        // Deleted since the folder was read: no longer there.
        let found = missing_as_none(fs::metadata(path))?.filter(fs::Metadata::is_file);
        Ok(found.map(|found| Stored { id, size: found.len() }))
    }

    fn remove(&self, file: FileId) -> io::Result<()> {
        fs::remove_file(self.path_of(file))?;
        match file.kind {
            // A lock or pack that comes back after a power cut does no harm.
            FileKind::Lock | FileKind::Pack => Ok(()),
            _ => flush(&File::open(self.folder_of(file))?),
        }
    }

    fn sweep_folders(&self, before: Timestamp) -> io::Result<u64> {
        let mut removed = 0;
        for kind in KINDS {
            for folder in self.leaf_folders(kind) {
                let Some(entries) = missing_as_none(fs::read_dir(&folder))? else { continue };
                for entry in entries {
                    removed += u64::from(sweep_entry(&entry?, before)?);
                }
            }
        }
        Ok(removed)
    }
}

const KINDS: [FileKind; 6] =
    [FileKind::Config, FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

#[derive(Clone, Copy)]
struct Modes {
    folder: u32,
    file: u32,
}

/// Removes a temporary file that was last written before `before` and is not held by a process of this host.
fn sweep_entry(entry: &DirEntry, before: Timestamp) -> io::Result<bool> {
    let name = entry.file_name();
    let Some((start, _)) = name.to_str().and_then(|name| name.split_once(TEMPORARY)) else {
        return Ok(false);
    };
    if start != "config" && start.parse::<Id>().is_err() {
        return Ok(false);
    }
    let Some(found) = missing_as_none(entry.metadata())?.filter(fs::Metadata::is_file) else {
        return Ok(false);
    };
    if found.mtime() >= before.as_second() {
        return Ok(false);
    }
    let Some(file) = missing_as_none(File::open(entry.path()))? else { return Ok(false) };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(false);
    }
    Ok(missing_as_none(fs::remove_file(entry.path()))?.is_some())
}

fn make_folder(folder: &Path, modes: Modes) -> io::Result<()> {
    match DirBuilder::new().mode(modes.folder).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn copy(body: &Body, to: &mut File) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(COPY_BYTES, to);
    let copied = io::copy(&mut body.reader(), &mut to)?;
    to.flush()?;
    if copied == body.len() { Ok(()) } else { Err(io::Error::other("the content changed its length")) }
}

/// Brings a file or folder to the disk. Some network file systems cannot, and say so.
fn flush(file: &File) -> io::Result<()> {
    tolerate(&[Errno::NOTSUP, Errno::INVAL], || file.sync_all())
}

fn tolerate(these: &[Errno], call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match call() {
        Err(error) if Errno::from_io_error(&error).is_some_and(|errno| these.contains(&errno)) => Ok(()),
        result => result,
    }
}

fn missing_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is too short")
}

fn error(op: &'static str, file: Option<FileId>, cause: io::Error) -> StorageError {
    StorageError { kind: kind_of(&cause), op, file, cause: cause.into() }
}

/// What callers may tell apart in a failed system call; the wrappers use it too.
pub(super) fn kind_of(error: &io::Error) -> StorageErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::UnexpectedEof => StorageErrorKind::Truncated,
        Io::NotFound | Io::NotADirectory => StorageErrorKind::NotFound,
        Io::AlreadyExists => StorageErrorKind::AlreadyExists,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StorageErrorKind::Full,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => StorageErrorKind::Denied,
        _ => StorageErrorKind::Io,
    }
}

#[cfg(test)]
mod tests;
