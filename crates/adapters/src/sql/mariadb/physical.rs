//! A physical backup: `mariadb-backup` reads the files of a running server, we store them as they come.
//!
//! It locks what it must for moments and lets go when its connection ends, which it does with us. It has done its work
//! only when it ends well, says so, and its stream has come to its end; all else is a failure, and nothing that has
//! arrived becomes a backup.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_repository::Ctx;
use lifeboat_repository::intake::{Cut, Intake};
use lifeboat_repository::tree::NodeTime;

use super::client::Client;
use super::facts::{Facts, Method};
use super::settings;
use super::unpack::{Unpack, another_log, file_node};
use super::xbstream::{Pieces, StreamError};
use crate::child::{ChildError, Reading};
use crate::endpoint::Endpoint;
use crate::patience::is_cancelled;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// So much of the stream is read at once; what is longer goes by it.
const BUFFER_BYTES: usize = 256 << 10;
/// And so much to see that it comes.
const FIRST_BYTES: usize = 4096;
/// How long a table may take to go that is being dropped.
const DROP_PATIENCE: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// `mariadb-backup` at work.
pub struct Physical {
    client: Client,
    settings: String,
    datadir: PathBuf,
    /// The newest log of Aria before it began.
    log: Option<OsString>,
    /// What came first.
    begun: Vec<u8>,
    reading: Reading,
    /// Empty, and there only because it wants one.
    _folder: tempfile::TempDir,
}

/// Where in the history of the server a backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binlog {
    pub file: String,
    pub position: u64,
    pub gtid: String,
}

/// What a physical backup is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalSummary {
    pub bytes: u64,
    pub files: u64,
    /// Absent where the server writes no binary log.
    pub binlog: Option<Binlog>,
    pub from_lsn: u64,
    pub to_lsn: u64,
    pub last_lsn: u64,
    pub version: String,
}

impl Physical {
    /// Starts `mariadb-backup` and waits for its first bytes, which come when it has its first lock.
    pub fn begin(endpoint: &Endpoint, facts: &Facts, ctx: &Ctx) -> Result<Self> {
        facts.check(Method::Physical)?;
        let client = Client::new(endpoint)?;
        let temporary = |error| SqlError::io("cannot make a temporary folder", error);
        let folder = tempfile::Builder::new().prefix("lifeboat-mariadb-").tempdir().map_err(temporary)?;
        let argument = |name: &str| {
            let mut argument = OsString::from(name);
            argument.push(folder.path());
            argument
        };
        let program =
            client.program("mariadb-backup")?.args(["--backup", "--stream=xbstream", "--parallel=1"]);
        let program = program.arg(argument("--target-dir=")).arg(argument("--tmpdir="));
        // It keeps every table open, and services may begin with few files.
        let program = program.arg("--open-files-limit=65535");
        let settings = settings::to_text(&facts.settings)?;
        let log = newest_log(&facts.datadir)?;
        let mut reading = program.read(ctx).map_err(|error| client.failed("cannot back up", error))?;
        let mut begun = vec![0; FIRST_BYTES];
        let read = reading.read(&mut begun).map_err(read_error)?;
        begun.truncate(read);
        if begun.is_empty() {
            let ended = reading.finish(ctx).map_err(|error| client.failed("cannot back up", error));
            return Err(ended.err().unwrap_or_else(|| SqlError::damaged("mariadb-backup sent nothing")));
        }
        Ok(Self { client, settings, datadir: facts.datadir.clone(), log, begun, reading, _folder: folder })
    }

    /// Stores all of it: the files below `data/`, and beside it the settings they need. `time` is what the files
    /// get as theirs, for the stream does not tell.
    pub fn stream_into(self, intake: &Intake<'_>, time: NodeTime, ctx: &Ctx) -> Result<PhysicalSummary> {
        let Self { client, settings, datadir, log, begun, mut reading, _folder } = self;
        let mut file = intake.file(Path::new(settings::FILE), file_node(time), Cut::Content)?;
        file.write(settings.as_bytes())?;
        file.finish()?;
        let mut unpack = Unpack::new(intake, time);
        let unpacked = match unpack_all(begun.as_slice().chain(&mut reading), &mut unpack, ctx) {
            // Not the program's fault: it is killed as it is dropped.
            Err(error) if error.kind != SqlErrorKind::Damaged => return Err(error),
            unpacked => unpacked,
        };
        // Where the stream is cut, why it was says more.
        let said = reading.finish(ctx).map_err(|error| of_the_source(&client, error, ctx))?;
        unpacked?;
        if !said.ends_with("completed OK!") {
            return Err(SqlError::damaged("mariadb-backup ended without saying that its work is done"));
        }
        if newest_log(&datadir)? != log {
            return Err(another_log());
        }
        settle_lost(&mut unpack, &datadir, ctx)?;
        let (bytes, files) = (unpack.bytes, unpack.files);
        summary(bytes, files, &unpack.finish()?)
    }
}

fn unpack_all(stream: impl Read, unpack: &mut Unpack<'_>, ctx: &Ctx) -> Result<()> {
    let mut pieces = Pieces::new(BufReader::with_capacity(BUFFER_BYTES, stream));
    while let Some(piece) = pieces.piece().map_err(stream_error)? {
        ctx.cancel.check()?;
        unpack.take(piece)?;
    }
    Ok(())
}

/// The name of the log of Aria with the highest number. Older ones may go at any time.
fn newest_log(datadir: &Path) -> Result<Option<OsString>> {
    let failed = |error| SqlError::io(format!("cannot read {}", datadir.display()), error);
    let mut newest = None;
    for entry in fs::read_dir(datadir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name.as_encoded_bytes().starts_with(b"aria_log.") {
            newest = newest.max(Some(name));
        }
    }
    Ok(newest)
}

/// A definition without files is what is left of a table that was dropped at the last moment, and is taken back. Where
/// the table is there still, `mariadb-backup` has lost it.
fn settle_lost(unpack: &mut Unpack<'_>, datadir: &Path, ctx: &Ctx) -> Result<()> {
    while let Some((table, index)) = unpack.lost() {
        let began = Instant::now();
        // Its drop waits for the end of the backup, as all do.
        while datadir.join(&index).exists() {
            ctx.cancel.check()?;
            if began.elapsed() > DROP_PATIENCE {
                return Err(SqlError::damaged(format!(
                    "mariadb-backup lost the files of {table}, made anew while the backup ran; begin again"
                )));
            }
            std::thread::sleep(ASK_EVERY);
        }
        unpack.take_back(&table);
    }
    Ok(())
}

fn stream_error(error: StreamError) -> SqlError {
    match error {
        StreamError::Read(error) => read_error(error),
        other => SqlError::damaged("mariadb-backup did not send a backup").because(other),
    }
}

fn read_error(error: std::io::Error) -> SqlError {
    if is_cancelled(&error) {
        return SqlError::new(SqlErrorKind::Cancelled, "the backup was cancelled");
    }
    SqlError::damaged("the stream of mariadb-backup broke").because(error)
}

/// A program that failed in the middle of its work, seen together with whether the server still answers.
pub(super) fn of_the_source(client: &Client, error: ChildError, ctx: &Ctx) -> SqlError {
    let failed = client.failed("cannot back up", error);
    if !matches!(failed.kind, SqlErrorKind::Program | SqlErrorKind::Unreachable) {
        return failed;
    }
    match client.rows("SELECT 1", ctx) {
        Err(now) if now.kind == SqlErrorKind::Unreachable => {
            let what = format!("{} went away while it was backed up", client.server());
            SqlError::new(SqlErrorKind::SourceGone, what).because(failed)
        }
        _ => failed,
    }
}

fn summary(bytes: u64, files: u64, notes: &BTreeMap<String, Vec<u8>>) -> Result<PhysicalSummary> {
    let note = |name: &str| {
        let text = notes.get(name).map(|note| String::from_utf8_lossy(note).into_owned());
        text.ok_or_else(|| SqlError::damaged(format!("mariadb-backup sent no {name}")))
    };
    let (checkpoints, info) = (note("xtrabackup_checkpoints")?, note("xtrabackup_info")?);
    let number = |name: &str| {
        let value = value_of(&checkpoints, name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| SqlError::damaged(format!("xtrabackup_checkpoints does not tell {name}")))
    };
    if value_of(&checkpoints, "backup_type") != Some("full-backuped") {
        return Err(SqlError::damaged("mariadb-backup did not make a full backup"));
    }
    Ok(PhysicalSummary {
        bytes,
        files,
        binlog: note("xtrabackup_binlog_info").ok().and_then(|text| binlog(&text)),
        from_lsn: number("from_lsn")?,
        to_lsn: number("to_lsn")?,
        last_lsn: number("last_lsn")?,
        version: value_of(&info, "server_version").unwrap_or_default().to_owned(),
    })
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.split_once(" = ").filter(|(key, _)| *key == name).map(|(_, value)| value))
}

fn binlog(text: &str) -> Option<Binlog> {
    let mut parts = text.trim_end().split('\t');
    let (file, position) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    Some(Binlog { file, position, gtid: parts.next().unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> BTreeMap<String, Vec<u8>> {
        let checkpoints = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44878\nlast_lsn = 21738885\n";
        let texts = [
            ("xtrabackup_checkpoints", checkpoints),
            ("xtrabackup_info", "uuid = x\nserver_version = 10.11.19-MariaDB-log\n"),
            ("xtrabackup_binlog_info", "bin.000001\t205176\t0-1-1291\n"),
        ];
        texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into()
    }

    #[test]
    fn what_mariadb_backup_says_of_its_work_is_read() {
        let found = summary(7, 2, &notes()).unwrap();
        let binlog = Binlog { file: "bin.000001".into(), position: 205_176, gtid: "0-1-1291".into() };
        assert_eq!((found.bytes, found.files, found.binlog), (7, 2, Some(binlog)));
        assert_eq!((found.from_lsn, found.to_lsn, found.last_lsn), (0, 44_878, 21_738_885));
        assert_eq!(found.version, "10.11.19-MariaDB-log");
    }

    #[test]
    fn a_backup_that_does_not_say_what_it_is_is_none() {
        for missing in ["xtrabackup_checkpoints", "xtrabackup_info"] {
            let mut notes = notes();
            notes.remove(missing);
            assert_eq!(summary(0, 0, &notes).unwrap_err().kind, SqlErrorKind::Damaged);
        }
        let mut notes = notes();
        assert!(notes.remove("xtrabackup_binlog_info").is_some());
        assert_eq!(summary(0, 0, &notes).unwrap().binlog, None);
    }
}
