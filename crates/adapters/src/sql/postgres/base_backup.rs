//! A whole cluster, as the server sends it: `BASE_BACKUP` in one session, the write-ahead log of that time in another.
//!
//! What arrives goes file by file into the vault: `data/…` is the data folder as `pg_basebackup` makes it, log and
//! manifest included, `tablespaces/<oid>/…` what lies elsewhere. Nothing touches a local disk. The backup mode of the
//! server and the temporary slot that keeps its log belong to the two sessions, so whatever happens to us ends them.

use lifeboat_repository::Ctx;
use lifeboat_repository::intake::Intake;

use super::connection::{Connection, Purpose};
use super::files::{ClusterFiles, Place};
use super::lsn::{Lsn, Segments};
use super::messages::{Fields, Frame, Row, garbled, row};
use super::records::{Log, Records};
use super::wal::WalFiles;
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// The first version that sends all archives in one stream.
const ONE_STREAM: u32 = 15;

/// A part of the cluster that lies outside of the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tablespace {
    pub oid: u32,
    /// Where the source has it.
    pub location: String,
    pub bytes: u64,
}

/// What a backup consists of.
#[derive(Clone, Debug)]
pub struct BaseSummary {
    pub start_lsn: Lsn,
    /// The backup's own position: a restored cluster is the source as it was here.
    pub end_lsn: Lsn,
    pub timeline: u32,
    pub system_identifier: u64,
    /// Of all files, the log included.
    pub bytes: u64,
    pub files: u64,
    pub tablespaces: Vec<Tablespace>,
    /// The checksum that the server's manifest ends with.
    pub manifest_checksum: String,
}

/// A backup that the server has begun: its checkpoint is done, its first bytes are on the way.
pub struct BaseBackup {
    main: Connection,
    wal: Connection,
    log: Log,
    start: Lsn,
    data_bytes: u64,
    tablespaces: Vec<Tablespace>,
    /// In the order of the archives, where each comes in a stream of its own.
    places: Vec<Place>,
    /// How the timeline came to be, if it is not the first.
    history: Option<String>,
}

impl BaseBackup {
    /// Begins a backup and waits for the checkpoint that it starts from, however long that takes; a cancel ends it.
    pub fn begin(endpoint: &Endpoint, label: &str, ctx: &Ctx) -> Result<Self> {
        let mut wal = Connection::open(endpoint, Purpose::Replication, ctx)?;
        let mut main = Connection::open(endpoint, Purpose::Replication, ctx)?;
        if main.major() < 13 {
            let text = format!("{endpoint} is older than PostgreSQL 13, the first with a manifest");
            return Err(SqlError::new(SqlErrorKind::Unsupported, text));
        }
        let system = one_row(wal.query("IDENTIFY_SYSTEM")?)?;
        let system_identifier = number(&system, 0)?;
        let bytes = size(&one_row(wal.query("SHOW wal_segment_size")?)?)?;
        let page_bytes = number(&one_row(wal.query("SHOW wal_block_size")?)?, 0)?;
        let slot = format!("lifeboat_{}", wal.process());
        wal.query(&format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL RESERVE_WAL"))?;

        main.command(&command(main.major(), label))?;
        let start = one_row(rows(&mut main)?)?;
        let timeline = number(&start, 1)?;
        let start = position(&start)?;
        let listed = rows(&mut main)?;
        let begun = main.next("send a backup")?;
        if begun.tag != b'H' {
            return Err(garbled());
        }
        let segments = Segments { timeline: u32::try_from(timeline).map_err(|_| garbled())?, bytes };
        let log = Log { segments, page_bytes, system_identifier };
        let mut history = None;
        if timeline > 1 {
            let row = one_row(wal.query(&format!("TIMELINE_HISTORY {timeline}"))?)?;
            history = row.into_iter().nth(1).flatten();
        }
        let (tablespaces, places) = (Vec::new(), Vec::new());
        let mut backup = Self { main, wal, log, start, data_bytes: 0, tablespaces, places, history };
        listed.iter().try_for_each(|row| backup.learn(row))?;
        backup.start_log(&slot)?;
        Ok(backup)
    }

    /// Takes one line of the list of archives.
    fn learn(&mut self, row: &Row) -> Result<()> {
        let text = |at: usize| row.get(at).and_then(|text| text.as_deref());
        let bytes = text(2).map_or(Ok(0), |kilobytes| kilobytes.parse::<u64>()).map_err(|_| garbled())? << 10;
        let Some(oid) = text(0) else {
            self.data_bytes = bytes;
            self.places.push(Place::Data);
            return Ok(());
        };
        let oid = oid.parse().map_err(|_| garbled())?;
        self.places.push(Place::Tablespace(oid));
        self.tablespaces.push(Tablespace { oid, location: text(1).unwrap_or_default().to_owned(), bytes });
        Ok(())
    }

    fn start_log(&mut self, slot: &str) -> Result<()> {
        let from = self.log.segments.start(self.start);
        let timeline = self.log.segments.timeline;
        self.wal.command(&format!("START_REPLICATION SLOT {slot} PHYSICAL {from} TIMELINE {timeline}"))?;
        let begun = self.wal.next("send its log")?;
        if begun.tag == b'W' { Ok(()) } else { Err(garbled()) }
    }

    /// How much is to come, as the server estimates it; the log comes on top.
    pub fn estimate_bytes(&self) -> u64 {
        self.data_bytes + self.tablespaces.iter().map(|tablespace| tablespace.bytes).sum::<u64>()
    }

    pub fn start_lsn(&self) -> Lsn {
        self.start
    }

    /// Takes all of it into the vault, and ends when it is whole: every file as the server's manifest says, the log
    /// up to the end of the backup.
    pub fn stream_into(mut self, intake: &Intake<'_>, ctx: &Ctx) -> Result<BaseSummary> {
        let mut log = WalFiles::new(intake, self.log.segments, Records::new(self.log, self.start));
        if let Some(history) = &self.history {
            log.put_history(history)?;
        }
        let mut files = ClusterFiles::new(intake);
        if self.main.major() < ONE_STREAM {
            files.begin_archive(*self.places.first().ok_or_else(garbled)?)?;
        }
        let mut streams = 0;
        loop {
            ctx.cancel.check()?;
            while let Some(frame) = self.wal.next_if_here("send its log")? {
                self.take_log(&mut log, &frame)?;
            }
            let Some(frame) = self.main.next_if_here("send a backup")? else {
                self.main.wait_either(&mut self.wal)?;
                continue;
            };
            if !self.take_files(&mut files, &mut streams, &frame)? {
                break;
            }
        }
        let end = position(&one_row(rows(&mut self.main)?)?)?;
        while self.main.next("end the backup")?.tag != b'Z' {}
        while log.at() < end {
            let frame = self.wal.next("send its log")?;
            self.take_log(&mut log, &frame)?;
        }
        let (wal_files, wal_bytes) = log.finish(end)?;
        let done = files.finish()?;
        Ok(BaseSummary {
            start_lsn: self.start,
            end_lsn: end,
            timeline: self.log.segments.timeline,
            system_identifier: self.log.system_identifier,
            bytes: done.bytes + wal_bytes,
            files: done.files + wal_files,
            tablespaces: self.tablespaces,
            manifest_checksum: done.manifest_checksum,
        })
    }

    /// Takes a message of the session that sends the files; false after the last. `streams` counts those that have
    /// ended, where each archive and the manifest come in one of their own.
    fn take_files(
        &self,
        files: &mut ClusterFiles<'_, '_>,
        streams: &mut usize,
        frame: &Frame,
    ) -> Result<bool> {
        if self.main.major() >= ONE_STREAM {
            return match frame.tag {
                b'd' => take_part(files, frame).map(|()| true),
                b'c' => Ok(false),
                _ => Err(garbled()),
            };
        }
        match frame.tag {
            b'd' => files.data(&frame.body)?,
            b'H' => match self.places.get(*streams) {
                Some(place) => files.begin_archive(*place)?,
                None => files.begin_manifest()?,
            },
            b'c' => *streams += 1,
            _ => return Err(garbled()),
        }
        Ok(*streams <= self.places.len())
    }

    /// Takes a message of the session that sends the log.
    fn take_log(&mut self, log: &mut WalFiles<'_, '_>, frame: &Frame) -> Result<()> {
        if frame.tag != b'd' {
            // It ends when a standby is promoted: what follows belongs to another timeline.
            let text = "the server has stopped to send its log, as one does that is promoted";
            return Err(SqlError::new(SqlErrorKind::SourceGone, text));
        }
        let mut fields = Fields(&frame.body);
        match fields.array()? {
            [b'w'] => {
                let from = Lsn(fields.u64()?);
                fields.bytes(16)?;
                let before = self.log.segments.start(log.at());
                log.push(from, fields.0)?;
                // What is in a file that is done with need not be kept by the server.
                if self.log.segments.start(log.at()) != before { self.confirm(log.at()) } else { Ok(()) }
            }
            [b'k'] => {
                fields.bytes(16)?;
                if fields.array()? == [1] { self.confirm(log.at()) } else { Ok(()) }
            }
            _ => Err(garbled()),
        }
    }

    /// Tells the server up to where its log has been taken.
    fn confirm(&mut self, at: Lsn) -> Result<()> {
        let mut message = vec![b'r'];
        // Written, flushed, applied; then when, which nobody reads, and no answer is wanted.
        message.extend([at.0, at.0, at.0, 0].iter().flat_map(|number| number.to_be_bytes()));
        message.push(0);
        self.wal.send(|out| {
            postgres_protocol::message::frontend::CopyData::new(message.as_slice())?.write(out);
            Ok(())
        })
    }
}

/// The command, in the words of the server's version.
fn command(major: u32, label: &str) -> String {
    let label = postgres_protocol::escape::escape_literal(label);
    let label = label.trim_start();
    if major < ONE_STREAM {
        return format!(
            "BASE_BACKUP LABEL {label} PROGRESS FAST NOWAIT TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'SHA256'"
        );
    }
    format!(
        "BASE_BACKUP (LABEL {label}, PROGRESS, CHECKPOINT 'fast', WAIT false, TABLESPACE_MAP, MANIFEST 'yes', \
         MANIFEST_CHECKSUMS 'SHA256')"
    )
}

/// Takes a message of the one stream: its first byte tells what it is.
fn take_part(files: &mut ClusterFiles<'_, '_>, frame: &Frame) -> Result<()> {
    let mut fields = Fields(&frame.body);
    match fields.array()? {
        [b'd'] => files.data(fields.0),
        [b'n'] => {
            let name = str::from_utf8(fields.text()?).map_err(|_| garbled())?;
            let oid = name.strip_suffix(".tar").ok_or_else(garbled)?;
            let place = match oid {
                "base" => Place::Data,
                oid => Place::Tablespace(oid.parse().map_err(|_| garbled())?),
            };
            files.begin_archive(place)
        }
        [b'm'] => files.begin_manifest(),
        [b'p'] => Ok(()),
        _ => Err(garbled()),
    }
}

/// One table of the answer to a command.
fn rows(connection: &mut Connection) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    loop {
        let frame = connection.next("begin a backup")?;
        match frame.tag {
            b'T' => {}
            b'D' => rows.push(row(&frame.body)?),
            b'C' => return Ok(rows),
            _ => return Err(garbled()),
        }
    }
}

fn one_row(rows: Vec<Row>) -> Result<Row> {
    rows.into_iter().next().ok_or_else(garbled)
}

fn position(row: &Row) -> Result<Lsn> {
    let text = row.first().and_then(|text| text.as_deref()).ok_or_else(garbled)?;
    text.parse().map_err(|error| garbled().because(error))
}

fn number(row: &Row, at: usize) -> Result<u64> {
    let text = row.get(at).and_then(|text| text.as_deref()).ok_or_else(garbled)?;
    text.parse().map_err(|_| garbled())
}

/// A size as the server shows it: `16MB`.
fn size(row: &Row) -> Result<u64> {
    let text = row.first().and_then(|text| text.as_deref()).ok_or_else(garbled)?;
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let unit = match text.get(digits.len()..) {
        Some("MB") => 20,
        Some("GB") => 30,
        Some("kB") => 10,
        _ => return Err(garbled()),
    };
    let bytes = digits.parse::<u64>().map_err(|_| garbled())? << unit;
    if bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes) { Ok(bytes) } else { Err(garbled()) }
}
