//! The pieces of a stream, put into the files of a vault on the fly.
//!
//! Files of InnoDB are cut at their pages, so that a page that did not change is not stored again. What becomes of a
//! table while the backup runs (dropped, renamed, made anew) is told by the stream and done to what has arrived. A
//! file that is not ended, a hole or a step back makes the whole fail.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use lifeboat_repository::intake::{Cut, FileIntake, Intake};
use lifeboat_repository::tree::{Node, NodeTime};

use super::xbstream::Piece;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// The folder of the files of the server within a snapshot.
pub(super) const DATA: &str = "data";
/// Two pages of InnoDB; a whole number of them for every page size there is.
const PAGES_BYTES: NonZeroU32 = NonZeroU32::new(32 << 10).expect("it is not 0");
/// More files than this are never under way at once.
const MOST_OPEN_FILES: usize = 1024;
/// What `mariadb-backup` writes about a backup is not longer.
const MOST_NOTE_BYTES: usize = 64 << 10;

/// The numbers of engines in definitions of tables.
const MYISAM: u8 = 9;
const ARIA: u8 = 42;

/// Puts pieces where they belong.
pub(super) struct Unpack<'a> {
    intake: &'a Intake<'a>,
    time: NodeTime,
    open: BTreeMap<String, Open<'a>>,
    /// What `mariadb-backup` says of the backup, by file.
    notes: BTreeMap<String, Vec<u8>>,
    loose: Loose,
    pub(super) bytes: u64,
    pub(super) files: u64,
}

/// The tables of MyISAM and Aria. Where one is dropped and made again within a moment `mariadb-backup` may remove its
/// files for good and keep its definition alone: a table that is there and cannot be read.
#[derive(Default)]
struct Loose {
    /// By the path of its definition, that of its index.
    tables: BTreeMap<String, String>,
    indexes: BTreeSet<String>,
}

impl Loose {
    fn arrives(&mut self, path: &str, begin: &[u8]) {
        if [".MYI", ".MAI"].iter().any(|end| path.ends_with(end)) {
            self.indexes.insert(path.to_owned());
        }
        let Some(stem) = path.strip_suffix(".frm") else { return };
        // A definition begins with a magic and tells the number of its engine. Those of partitions are others.
        let index = match begin {
            [0xfe, 0x01, _, MYISAM, ..] => "MYI",
            [0xfe, 0x01, _, ARIA, ..] => "MAI",
            _ => return,
        };
        self.tables.insert(path.to_owned(), format!("{stem}.{index}"));
    }

    fn remove(&mut self, path: &str) {
        let is_meant = |other: &str| match path.strip_suffix('*') {
            Some(begin) => other.starts_with(begin),
            None => other.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        };
        self.tables.retain(|table, _| !is_meant(table));
        self.indexes.retain(|index| !is_meant(index));
    }

    fn rename(&mut self, path: &str, to: &str) {
        if self.indexes.remove(path) {
            self.indexes.insert(to.to_owned());
        }
    }

    /// A table without its index.
    fn lost(&self) -> Option<(&String, &String)> {
        self.tables.iter().find(|(_, index)| !self.indexes.contains(*index))
    }
}

struct Open<'a> {
    file: FileIntake<'a>,
    offset: u64,
}

impl<'a> Unpack<'a> {
    pub(super) fn new(intake: &'a Intake<'a>, time: NodeTime) -> Self {
        let (open, notes) = (BTreeMap::new(), BTreeMap::new());
        Self { intake, time, open, notes, loose: Loose::default(), bytes: 0, files: 0 }
    }

    pub(super) fn take(&mut self, piece: Piece<'_>) -> Result<()> {
        match piece {
            Piece::Bytes { path, offset, bytes, replaces } => self.bytes_of(path, offset, bytes, replaces),
            Piece::End { path } => self.end(path),
            Piece::Remove { path } => {
                self.refuse_open(path)?;
                self.take_back(path);
                Ok(())
            }
            Piece::Rename { path, to } => {
                self.refuse_open(path)?;
                self.refuse_open(to)?;
                self.loose.rename(path, to);
                self.intake.rename(&within(path), &within(to))?;
                Ok(())
            }
            // Only the head of a log of Aria is written again, and only when the server begins another.
            Piece::Seek { .. } => Err(another_log()),
        }
    }

    fn bytes_of(&mut self, path: &str, offset: u64, bytes: &[u8], replaces: bool) -> Result<()> {
        if !self.open.contains_key(path) {
            self.begin(path, replaces)?;
        }
        let Some(open) = self.open.get_mut(path) else { return Ok(()) };
        if open.offset != offset {
            let expected = open.offset;
            return Err(SqlError::damaged(format!(
                "{path} goes on at {offset} and not at {expected} in the stream of mariadb-backup"
            )));
        }
        if offset == 0 {
            self.loose.arrives(path, bytes);
        }
        open.file.write(bytes)?;
        open.offset += bytes.len() as u64;
        self.bytes += bytes.len() as u64;
        if let Some(note) = self.notes.get_mut(path) {
            note.extend_from_slice(bytes);
            note.truncate(MOST_NOTE_BYTES);
        }
        Ok(())
    }

    fn begin(&mut self, path: &str, replaces: bool) -> Result<()> {
        if Path::new(path).extension().is_some_and(|extension| extension == "isl") {
            let what = format!("{path} says that a table lies outside of the folder of the server");
            return Err(SqlError::new(SqlErrorKind::Unsupported, what));
        }
        if self.open.len() >= MOST_OPEN_FILES {
            return Err(SqlError::damaged("too many files at once in the stream of mariadb-backup"));
        }
        if replaces {
            self.take_back(path);
        }
        if path.starts_with("xtrabackup_") {
            self.notes.insert(path.to_owned(), Vec::new());
        }
        let file = self.intake.file(&within(path), file_node(self.time), cut(path))?;
        self.open.insert(path.to_owned(), Open { file, offset: 0 });
        Ok(())
    }

    /// A file that ends before it began is empty; it takes the place of one that was there.
    fn end(&mut self, path: &str) -> Result<()> {
        if !self.open.contains_key(path) {
            self.begin(path, true)?;
        }
        if let Some(open) = self.open.remove(path) {
            open.file.finish()?;
            self.files += 1;
        }
        Ok(())
    }

    fn refuse_open(&self, path: &str) -> Result<()> {
        if self.open.contains_key(path) {
            let what =
                format!("{path} is removed or renamed while it is written in the stream of mariadb-backup");
            return Err(SqlError::damaged(what));
        }
        Ok(())
    }

    /// The definition and the index of a table that came without its files.
    pub(super) fn lost(&self) -> Option<(String, String)> {
        self.loose.lost().map(|(table, index)| (table.clone(), index.clone()))
    }

    /// Takes back what is at a path of the stream, or at all that begin so.
    pub(super) fn take_back(&mut self, path: &str) {
        self.loose.remove(path);
        if let Some(begin) = path.strip_suffix('*') {
            let begin = within(begin).into_os_string().into_encoded_bytes();
            self.intake.take_back(|path| path.as_os_str().as_encoded_bytes().starts_with(&begin));
        } else {
            let path = within(path);
            self.intake.take_back(|other| other.starts_with(&path));
        }
    }

    /// All files have come to their end; gives what `mariadb-backup` says of the backup.
    pub(super) fn finish(self) -> Result<BTreeMap<String, Vec<u8>>> {
        match self.open.first_key_value() {
            Some((path, _)) => {
                Err(SqlError::damaged(format!("the stream of mariadb-backup ends in the middle of {path}")))
            }
            None => Ok(self.notes),
        }
    }
}

/// `mariadb-backup` does not bring along the tables of Aria soundly while the server goes on to another of its logs.
pub(super) fn another_log() -> SqlError {
    let what = "the server began another log of Aria while it was backed up, and mariadb-backup does not bring that along \
                soundly; begin again, with a larger aria_log_file_size if this happens often, or make a logical backup";
    SqlError::new(SqlErrorKind::Unsupported, what)
}

/// A file that only its owner and his group may read.
pub(super) fn file_node(time: NodeTime) -> Node {
    Node { mode: 0o640, mtime: time, atime: time, ctime: time, ..Node::default() }
}

fn within(path: &str) -> PathBuf {
    Path::new(DATA).join(path)
}

/// `.new` is what `mariadb-backup` calls a table that was made while it ran.
fn cut(path: &str) -> Cut {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_of_innodb = [".ibd", ".new"].iter().any(|end| name.ends_with(end))
        || ["ibdata", "undo", "ib_logfile"].iter().any(|begin| name.starts_with(begin));
    if is_of_innodb { Cut::Every(PAGES_BYTES) } else { Cut::Content }
}
