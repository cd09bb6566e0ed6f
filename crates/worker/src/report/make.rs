//! From the spool to the files people fetch.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::zip::ZipOfOne;
use super::{Line, Row, SPOOL, Status, cells, create, remove_if_there, report_files};

const COLUMNS: [&str; 6] = ["Item", "Type", "Size", "ModifiedTime", "Status", "Error Message"];
/// What failed is listed with the cause beside it.
const FAILED_COLUMNS: [&str; 6] = ["Item", "Error Message", "Type", "Size", "ModifiedTime", "Status"];

/// Makes the reports of a job out of its spool, which goes then. Again after a crash it makes what is missing.
pub fn make_reports(folder: &Path, job: &str) -> io::Result<()> {
    let spool = folder.join(SPOOL);
    let files = report_files(job).map(|name| folder.join(name));
    if !spool.exists() && files.iter().all(|file| file.exists()) {
        return Ok(());
    }
    let [total, success, failed, skipped] = &files;
    write_total(&spool, total)?;
    for (status, file) in [(Status::Success, success), (Status::Failed, failed), (Status::Skipped, skipped)] {
        write_zip(&spool, status, file)?;
    }
    File::open(folder)?.sync_all()?;
    remove_if_there(&spool)
}

fn write_total(spool: &Path, file: &Path) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(BufWriter::new(create(&beside(file))?));
    table.write_record(COLUMNS)?;
    each_row(spool, |row| table.write_record(record(&row)).map_err(io::Error::from))?;
    let writer = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    place(writer.into_inner()?, file)
}

fn write_zip(spool: &Path, status: Status, file: &Path) -> io::Result<()> {
    let name = file.with_extension("csv");
    let name = name.file_name().unwrap_or_default().to_string_lossy();
    let zip = ZipOfOne::begin(BufWriter::new(create(&beside(file))?), &name)?;
    let mut table = csv::Writer::from_writer(zip);
    table.write_record(if status == Status::Failed { FAILED_COLUMNS } else { COLUMNS })?;
    each_row(spool, |row| {
        if row.status != status {
            return Ok(());
        }
        let [item, kind, size, modified, said, error] = record(&row);
        let cells = match status {
            Status::Failed => [item, error, kind, size, modified, said],
            _ => [item, kind, size, modified, said, error],
        };
        table.write_record(cells).map_err(io::Error::from)
    })?;
    let zip = table.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    place(zip.finish()?.into_inner()?, file)
}

fn record(row: &Row) -> [String; 6] {
    let status = match row.status {
        Status::Success => "success",
        Status::Skipped => "skipped",
        Status::Failed => "failed",
    };
    let modified = cells::time(row.modified);
    let (path, error) = (cells::safe(&row.path).into_owned(), cells::safe(&row.error).into_owned());
    [path, row.kind.clone(), row.size.to_string(), modified, status.to_owned(), error]
}

/// Gives each row of a spool that is whole.
fn each_row(spool: &Path, mut row: impl FnMut(Row) -> io::Result<()>) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(spool)?);
    let (mut line, mut rows) = (Vec::new(), 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the list of entries was cut short"));
        }
        match serde_json::from_slice(&line)? {
            Line::Item(item) => row(item)?,
            Line::End(all) if all == rows => return Ok(()),
            Line::End(_) => return Err(io::Error::other("the list of entries has lost some")),
        }
        rows += 1;
    }
}

fn beside(file: &Path) -> PathBuf {
    file.with_extension("new")
}

fn place(mut open: File, file: &Path) -> io::Result<()> {
    open.flush()?;
    open.sync_all()?;
    fs::rename(beside(file), file)
}
