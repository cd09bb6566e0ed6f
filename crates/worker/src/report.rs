//! Reports about the entries of a job: while it runs one line each into a spool, afterwards the files people fetch.
//!
//! In the folder of the job: `items` (the spool, one JSON array a line) and `<job>_error.csv` grow while it runs and
//! are closed before its end is noted; `<job>_total.csv` and the three zips are made from the spool afterwards, each
//! under another name first, and then the spool goes. A spool without its last line is one that a crash cut short: no
//! report is made of it. Memory does not grow with the number of entries.

mod cells;
mod make;
mod zip;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::make::make_reports;
use crate::progress::{Fate, Item};

const SPOOL: &str = "items";

/// The file that names what failed, below the folder of a job.
pub fn error_file(job: &str) -> String {
    format!("{job}_error.csv")
}

/// The reports of a job: of all its entries, of those that went well, of those that failed, of those passed over.
pub fn report_files(job: &str) -> [String; 4] {
    ["total.csv", "success.zip", "failed.zip", "skipped.zip"].map(|name| format!("{job}_{name}"))
}

/// One line of the spool.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    #[serde(rename = "i")]
    Item(Row),
    /// The last one: how many came before it.
    #[serde(rename = "end")]
    End(u64),
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    #[serde(rename = "p")]
    path: String,
    #[serde(rename = "k")]
    kind: String,
    #[serde(rename = "s")]
    size: u64,
    /// Seconds since 1970.
    #[serde(rename = "m")]
    modified: i64,
    #[serde(rename = "f")]
    status: Status,
    #[serde(rename = "e", default, skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[serde(rename = "success")]
    Success,
    #[serde(rename = "skipped")]
    Skipped,
    #[serde(rename = "failed")]
    Failed,
}

/// Takes a line for each entry, from any thread.
#[derive(Debug)]
pub struct ItemLog {
    folder: PathBuf,
    job: String,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    spool: BufWriter<File>,
    errors: Option<csv::Writer<File>>,
    lines: u64,
    is_closed: bool,
    /// The first failure: there will be no report then, and the job goes on.
    failure: Option<io::Error>,
}

impl ItemLog {
    /// Begins anew in the folder of the job, made if it is not there.
    pub fn create(folder: &Path, job: &str) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Taken away and not overwritten: a worker that has lost its lease may still hold them.
        remove_if_there(&folder.join(error_file(job)))?;
        remove_if_there(&folder.join(SPOOL))?;
        let spool = BufWriter::new(create(&folder.join(SPOOL))?);
        let open = Open { spool, errors: None, lines: 0, is_closed: false, failure: None };
        Ok(Self { folder: folder.to_owned(), job: job.to_owned(), open: Mutex::new(open) })
    }

    pub(crate) fn write(&self, item: &Item<'_>) {
        let (status, error) = match &item.fate {
            Fate::Done => (Status::Success, ""),
            Fate::Skipped => (Status::Skipped, ""),
            Fate::Failed { why, .. } => (Status::Failed, why.as_str()),
        };
        let row = Row {
            path: printable(item.path),
            kind: item.facts.kind.name().to_owned(),
            size: item.facts.size,
            modified: item.facts.mtime.seconds,
            status,
            error: error.to_owned(),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.failure.is_none() && !open.is_closed {
            let written = self.add(&mut open, row);
            open.failure = written.err();
        }
    }

    fn add(&self, open: &mut Open, row: Row) -> io::Result<()> {
        if row.status == Status::Failed {
            if open.errors.is_none() {
                open.errors = Some(self.error_writer()?);
            }
            if let Some(errors) = &mut open.errors {
                errors.write_record([&*cells::safe(&row.path), &*cells::safe(&row.error)])?;
            }
        }
        serde_json::to_writer(&mut open.spool, &Line::Item(row))?;
        open.lines += 1;
        open.spool.write_all(b"\n")
    }

    fn error_writer(&self) -> io::Result<csv::Writer<File>> {
        let file = create(&self.folder.join(error_file(&self.job)))?;
        let mut errors = csv::WriterBuilder::new().delimiter(b'\t').from_writer(file);
        errors.write_record(["Item", "Error Message"])?;
        Ok(errors)
    }

    /// Closes the files, once. Says whether there is one that names what failed.
    pub fn finish(&self) -> io::Result<bool> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.is_closed {
            open.is_closed = true;
            if open.failure.is_none() {
                open.failure = open.close().err();
            }
        }
        match &open.failure {
            Some(failure) => Err(io::Error::new(failure.kind(), failure.to_string())),
            None => Ok(open.errors.is_some()),
        }
    }
}

impl Open {
    fn close(&mut self) -> io::Result<()> {
        let end = Line::End(self.lines);
        serde_json::to_writer(&mut self.spool, &end)?;
        self.spool.write_all(b"\n")?;
        self.spool.flush()?;
        self.spool.get_ref().sync_data()?;
        if let Some(errors) = &mut self.errors {
            errors.flush()?;
            errors.get_ref().sync_data()?;
        }
        Ok(())
    }
}

fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A path as text: bytes that are no UTF-8 as `\xNN`.
fn printable(path: &Path) -> String {
    let chunks = path.as_os_str().as_bytes().utf8_chunks();
    chunks.map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

#[cfg(test)]
mod tests;
