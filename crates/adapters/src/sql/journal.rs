//! What a restore notes of itself in a file of this machine, so that one that begins again after a crash knows its own
//! work from what was there before.
//!
//! A note is on disk before what it tells of can be seen by others. A line that a crash has cut off does not count. The
//! file stays until the end of the restore is known to whoever asked for it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Result, SqlError};

/// The notes of one restore; without a file there are none, and each attempt is the first.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    file: Option<PathBuf>,
}

impl Journal {
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()) }
    }

    /// The last note about something.
    pub(crate) fn get<T: DeserializeOwned>(&self, about: &str) -> Result<Option<T>> {
        let Some(file) = &self.file else { return Ok(None) };
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| self.failed(error))?,
        };
        let note = |line: &str| {
            let (found, note) = serde_json::from_str::<(String, serde_json::Value)>(line).ok()?;
            (found == about).then(|| serde_json::from_value(note).ok())?
        };
        Ok(text.lines().rev().find_map(note))
    }

    /// Adds a note, to stay.
    pub(crate) fn note(&self, about: &str, note: &impl Serialize) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // What a crash has cut off ends with our own line.
        let line = format!("\n{}\n", serde_json::json!([about, note]));
        let write = || -> io::Result<()> {
            let mut open = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
            open.write_all(line.as_bytes())?;
            open.sync_all()?;
            file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| self.failed(error))
    }

    /// Forgets all of it.
    pub fn remove(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: io::Error) -> SqlError {
        let file = self.file.as_deref().unwrap_or_else(|| "no file".as_ref()).display();
        SqlError::io(format!("cannot keep the notes of a restore in {file}"), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_note_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, file) = (Journal::at(folder.path().join("notes")), folder.path().join("notes"));
        assert_eq!(journal.get::<u32>("a\nb").unwrap(), None);
        journal.note("a\nb", &1).unwrap();
        journal.note("other", &"2").unwrap();
        journal.note("a\nb", &3).unwrap();
        std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"[\"a\\nb\",4").unwrap();
        assert_eq!(journal.get::<u32>("a\nb").unwrap(), Some(3));
        journal.note("more", &5).unwrap();
        assert_eq!(Journal::at(&file).get::<u32>("more").unwrap(), Some(5));
        journal.remove().unwrap();
        journal.remove().unwrap();
        assert_eq!(journal.get::<u32>("more").unwrap(), None);
        Journal::default().note("a", &1).unwrap();
    }
}
