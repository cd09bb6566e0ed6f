//! The write-ahead log that a backup needs, written to the vault in whole files as the server has them.
//!
//! Whatever comes must follow on what came before: each page says where it belongs, each record where the one before
//! it begins, and each record has a checksum. The last file is filled up with zeros, as `pg_basebackup` does.

use std::path::PathBuf;

use lifeboat_repository::intake::{Cut, FileIntake, Intake};
use lifeboat_repository::tree::{Node, NodeTime};

use super::lsn::{Lsn, Segments};
use super::records::Records;
use crate::sql::error::{Result, SqlError};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The log as it arrives.
pub(super) struct WalFiles<'a, 'r> {
    intake: &'a Intake<'r>,
    segments: Segments,
    records: Records,
    file: Option<FileIntake<'a>>,
    /// What came so far ends here.
    at: Lsn,
    bytes: u64,
    files: u64,
}

impl<'a, 'r> WalFiles<'a, 'r> {
    /// Begins with the file that holds `records`' start.
    pub(super) fn new(intake: &'a Intake<'r>, segments: Segments, records: Records) -> Self {
        let at = records.at();
        Self { intake, segments, records, file: None, at, bytes: 0, files: 0 }
    }

    pub(super) fn at(&self) -> Lsn {
        self.at
    }

    /// Keeps how the timeline came to be, under the name that the server looks for.
    pub(super) fn put_history(&mut self, history: &str) -> Result<()> {
        let name = format!("data/pg_wal/{:08X}.history", self.segments.timeline);
        let mut file = self.intake.file(name.as_ref(), file_node(), Cut::Content)?;
        file.write(history.as_bytes())?;
        self.files += 1;
        self.bytes += history.len() as u64;
        Ok(file.finish()?)
    }

    /// Takes the piece of the log that begins at `from`.
    pub(super) fn push(&mut self, from: Lsn, mut bytes: &[u8]) -> Result<()> {
        if from != self.at {
            return Err(SqlError::damaged(format!("the log goes on at {from} instead of {}", self.at)));
        }
        self.records.push(bytes)?;
        while !bytes.is_empty() {
            let left = self.left();
            let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let (piece, rest) = bytes.split_at(len);
            self.write(piece)?;
            bytes = rest;
        }
        Ok(())
    }

    /// Ends the log once it reaches `end`; gives the number of files and of bytes.
    pub(super) fn finish(mut self, end: Lsn) -> Result<(u64, u64)> {
        if self.records.verified() < end {
            return Err(SqlError::damaged(format!("the log ends before {end}")));
        }
        while self.file.is_some() {
            let len = usize::try_from(self.left()).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.write(ZEROS.get(..len).unwrap_or_default())?;
        }
        Ok((self.files, self.bytes))
    }

    /// How much of the current file is missing.
    fn left(&self) -> u64 {
        self.segments.bytes - self.at.0 % self.segments.bytes
    }

    fn write(&mut self, piece: &[u8]) -> Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = PathBuf::from("data/pg_wal").join(self.segments.name(self.at));
                self.files += 1;
                self.intake.file(&path, file_node(), Cut::Content)?
            }
        };
        file.write(piece)?;
        self.bytes += piece.len() as u64;
        self.at = Lsn(self.at.0 + piece.len() as u64);
        if self.at.0.is_multiple_of(self.segments.bytes) {
            file.finish()?;
        } else {
            self.file = Some(file);
        }
        Ok(())
    }
}

/// A file that nobody but its owner reads, as the server makes them.
pub(super) fn file_node() -> Node {
    let time = NodeTime { seconds: 0, nanoseconds: 0 };
    Node { mode: 0o600, mtime: time, atime: time, ctime: time, links: 1, ..Node::default() }
}
