//! The files of a cluster on their way from the server's archives into the vault.
//!
//! Files of tables and indexes change by the page, in place: they are cut at fixed places, so that what did not change
//! is found again. All else is cut where its content says. Each file is summed on the way, for the manifest.

use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use lifeboat_repository::intake::{Cut, FileIntake, Intake};
use lifeboat_repository::tree::{Node, NodeKind, NodeTime, mode};

use super::manifest::{Arrived, Manifest};
use super::messages::garbled;
use super::tar::{Entry, Kind, Sink, Unpacker};
use super::wal::file_node;
use crate::sql::error::{Result, SqlError};

/// Four pages. With a hundredth of all pages changed at random, less than four hundredths of the pieces have changed;
/// half as long they would be twice as many, and their names and places take room as well.
const PIECE_BYTES: NonZeroU32 = NonZeroU32::new(32 << 10).expect("it is not zero");

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Data,
    /// The tablespace of this oid.
    Tablespace(u32),
}

impl Place {
    fn folder(self) -> PathBuf {
        match self {
            Self::Data => "data".into(),
            Self::Tablespace(oid) => PathBuf::from("tablespaces").join(oid.to_string()),
        }
    }

    /// What the manifest calls a path of it.
    fn listed(self, path: &Path) -> Vec<u8> {
        let path = path.as_os_str().as_bytes();
        match self {
            Self::Data => path.to_vec(),
            Self::Tablespace(oid) => [format!("pg_tblspc/{oid}/").as_bytes(), path].concat(),
        }
    }

    /// How to cut the file: by the page when it holds pages.
    fn cut(self, path: &Path) -> Cut {
        let mut folders: Vec<_> = path.iter().map(OsStrExt::as_bytes).collect();
        let is_numbered = folders.pop().and_then(|name| name.first()).is_some_and(u8::is_ascii_digit);
        let is_relation = match (self, folders.as_slice()) {
            (Self::Data, [b"base", _] | [b"global"]) => is_numbered,
            (Self::Tablespace(_), [_, _] | [_]) => is_numbered,
            _ => false,
        };
        if is_relation { Cut::Every(PIECE_BYTES) } else { Cut::Content }
    }
}

/// What the files came to.
pub(super) struct Done {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) manifest_checksum: String,
}

/// Takes archives and the manifest, one after the other.
pub(super) struct ClusterFiles<'a, 'r> {
    writer: Writer<'a, 'r>,
    archive: Option<Unpacker>,
    manifest: Option<Manifest>,
}

impl<'a, 'r> ClusterFiles<'a, 'r> {
    pub(super) fn new(intake: &'a Intake<'r>) -> Self {
        let writer = Writer {
            intake,
            place: Place::Data,
            arrived: Arrived::default(),
            file: None,
            bytes: 0,
            mtime: 0,
        };
        Self { writer, archive: None, manifest: None }
    }

    pub(super) fn begin_archive(&mut self, place: Place) -> Result<()> {
        self.end_archive()?;
        self.writer.place = place;
        self.archive = Some(Unpacker::default());
        let folder = Node { kind: NodeKind::Dir, mode: mode::DIR | 0o700, ..file_node() };
        Ok(self.writer.intake.entry(&place.folder(), folder)?)
    }

    pub(super) fn begin_manifest(&mut self) -> Result<()> {
        self.end_archive()?;
        self.manifest = Some(Manifest::default());
        Ok(())
    }

    fn end_archive(&mut self) -> Result<()> {
        self.archive.take().map_or(Ok(()), Unpacker::finish)
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match (&mut self.manifest, &mut self.archive) {
            (Some(manifest), _) => manifest.push(bytes),
            (None, Some(archive)) => archive.push(bytes, &mut self.writer),
            (None, None) => Err(garbled()),
        }
    }

    /// Compares what has come with the manifest, and keeps that too.
    pub(super) fn finish(mut self) -> Result<Done> {
        self.end_archive()?;
        let manifest =
            self.manifest.ok_or_else(|| SqlError::damaged("the backup came without a manifest"))?;
        let manifest_checksum = manifest.verify(&self.writer.arrived)?;
        let mtime = NodeTime { seconds: self.writer.mtime, nanoseconds: 0 };
        let node = Node { mtime, ..file_node() };
        let mut file = self.writer.intake.file(Path::new("data/backup_manifest"), node, Cut::Content)?;
        file.write(manifest.bytes())?;
        file.finish()?;
        let bytes = self.writer.bytes + manifest.bytes().len() as u64;
        Ok(Done { bytes, files: self.writer.arrived.len() as u64 + 1, manifest_checksum })
    }
}

/// Writes the entries of an archive.
struct Writer<'a, 'r> {
    intake: &'a Intake<'r>,
    place: Place,
    arrived: Arrived,
    file: Option<FileIntake<'a>>,
    bytes: u64,
    /// The newest of all files: the server's time.
    mtime: i64,
}

impl Sink for Writer<'_, '_> {
    fn begin(&mut self, entry: Entry) -> Result<()> {
        let path = self.place.folder().join(&entry.path);
        let time = NodeTime { seconds: entry.mtime, nanoseconds: 0 };
        let (uid, gid) = (entry.uid, entry.gid);
        let node =
            Node { mode: entry.mode, mtime: time, atime: time, ctime: time, uid, gid, ..Node::default() };
        self.mtime = self.mtime.max(entry.mtime);
        match entry.kind {
            Kind::File => {
                self.arrived.begin(self.place.listed(&entry.path));
                self.file =
                    Some(self.intake.file(&path, Node { links: 1, ..node }, self.place.cut(&entry.path))?);
            }
            Kind::Folder => {
                let node = Node { kind: NodeKind::Dir, mode: mode::DIR | entry.mode, ..node };
                self.intake.entry(&path, node)?;
            }
            // Tablespaces are asked for as a list. Nothing else is a link in a cluster, and a link is a way out of it.
            Kind::Symlink => {
                let text = format!("the server has sent {} as a symlink", entry.path.display());
                return Err(SqlError::damaged(text));
            }
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.arrived.data(bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.file.as_mut().ok_or_else(garbled)?.write(bytes)?)
    }

    fn end(&mut self) -> Result<()> {
        self.arrived.end()?;
        Ok(self.file.take().ok_or_else(garbled)?.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_pages_are_cut_by_the_page_and_all_others_by_content() {
        let is_pages = |place: Place, path: &str| place.cut(Path::new(path)) != Cut::Content;
        for path in ["base/5/16384", "base/5/16384_fsm", "base/5/16384.1", "global/1260"] {
            assert!(is_pages(Place::Data, path), "{path}");
        }
        for path in ["base/5/PG_VERSION", "global/pg_control", "pg_xact/0000", "backup_label", "16384"] {
            assert!(!is_pages(Place::Data, path), "{path}");
        }
        assert!(is_pages(Place::Tablespace(1), "PG_15_202209061/5/16384"));
        assert!(!is_pages(Place::Tablespace(1), "PG_15_202209061/5/PG_VERSION"));
    }
}
