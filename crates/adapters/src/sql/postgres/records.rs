//! Reads along in the write-ahead log, to see that it is whole.
//!
//! Of each page the place, the timeline and the rest of the record that it begins with are checked; of each record
//! where the one before it began, and its checksum. Nothing is kept but sums.

use super::lsn::{Lsn, Segments};
use crate::sql::error::{Result, SqlError};

const SHORT_HEADER_BYTES: usize = 24;
const LONG_HEADER_BYTES: usize = 40;
const RECORD_HEADER_BYTES: usize = 24;
/// PostgreSQL makes none that is longer.
const MOST_RECORD_BYTES: u32 = 1 << 30;
/// The page begins with the rest of a record.
const IS_CONTINUED: u16 = 1;
const IS_LONG: u16 = 2;

/// What the pages of a log must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    pub(super) segments: Segments,
    pub(super) page_bytes: u64,
    pub(super) system_identifier: u64,
}

/// A reader of the log from the start of a file; records are looked at from `start` on.
pub(super) struct Records {
    log: Log,
    at: u64,
    start: u64,
    /// All records before it are whole.
    verified: u64,
    magic: Option<u16>,
    previous: Option<u64>,
    state: State,
}

enum State {
    /// Before the first record, or after the last of a file that was ended early: passed over up to here.
    Skip(u64),
    /// Between two records, and in the first bytes of one.
    Header {
        begin: u64,
        seen: Vec<u8>,
    },
    Body(Body),
}

struct Body {
    begin: u64,
    left: u32,
    header: [u8; RECORD_HEADER_BYTES],
    crc: u32,
}

impl Records {
    pub(super) fn new(log: Log, start: Lsn) -> Self {
        let at = log.segments.start(start).0;
        let state = State::Skip(start.0);
        Self { log, at, start: start.0, verified: at, magic: None, previous: None, state }
    }

    pub(super) fn at(&self) -> Lsn {
        Lsn(self.at)
    }

    /// All records before it are whole.
    pub(super) fn verified(&self) -> Lsn {
        Lsn(self.verified)
    }

    /// Takes the next bytes of the log; they begin where the last ended. Page headers are never cut in two.
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let within = self.at % self.log.page_bytes;
            if within == 0 {
                let is_long = self.at.is_multiple_of(self.log.segments.bytes);
                let len = if is_long { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
                let (header, rest) =
                    bytes.split_at_checked(len).ok_or_else(|| self.wrong("has half a page header"))?;
                self.page(header)?;
                self.at += len as u64;
                bytes = rest;
                continue;
            }
            let left = usize::try_from(self.log.page_bytes - within).unwrap_or(usize::MAX);
            let (page, _) = bytes.split_at(left.min(bytes.len()));
            let taken = self.piece(page)?;
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes some of what is left of a page.
    fn piece(&mut self, page: &[u8]) -> Result<usize> {
        match &mut self.state {
            State::Skip(until) => {
                let left = usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX);
                if left > page.len() {
                    return Ok(page.len());
                }
                let begin = *until;
                self.state = State::Header { begin, seen: Vec::new() };
                Ok(left)
            }
            State::Header { begin, seen } => {
                let padding = if seen.is_empty() { self.at.next_multiple_of(8) - self.at } else { 0 };
                let padding = usize::try_from(padding).unwrap_or_default();
                if padding > 0 {
                    return Ok(padding.min(page.len()));
                }
                if seen.is_empty() {
                    *begin = self.at;
                }
                let len = (RECORD_HEADER_BYTES - seen.len()).min(page.len());
                seen.extend(page.iter().take(len));
                if let Ok(header) = <[u8; RECORD_HEADER_BYTES]>::try_from(seen.as_slice()) {
                    let begin = *begin;
                    self.begin_record(begin, header)?;
                    self.end_record_if_whole(self.at + len as u64)?;
                }
                Ok(len)
            }
            State::Body(body) => {
                let len = usize::try_from(body.left).map_or(page.len(), |left| left.min(page.len()));
                body.crc = crc32c(body.crc, page.get(..len).unwrap_or_default());
                body.left -= u32::try_from(len).unwrap_or(body.left);
                self.end_record_if_whole(self.at + len as u64)?;
                Ok(len)
            }
        }
    }

    fn begin_record(&mut self, begin: u64, header: [u8; RECORD_HEADER_BYTES]) -> Result<()> {
        let len = u32::from_le_bytes(field(&header, 0));
        if !(24..=MOST_RECORD_BYTES).contains(&len) {
            return Err(self.wrong("has a record of an impossible length"));
        }
        let previous = u64::from_le_bytes(field(&header, 8));
        if self.previous.is_some_and(|expected| expected != previous) || previous >= begin {
            return Err(self.wrong("has a record that does not follow on the one before it"));
        }
        self.state = State::Body(Body { begin, left: len - 24, header, crc: u32::MAX });
        Ok(())
    }

    fn end_record_if_whole(&mut self, end: u64) -> Result<()> {
        let State::Body(Body { begin, left: 0, header, crc }) = &self.state else { return Ok(()) };
        let (begin, header) = (*begin, *header);
        let crc = !crc32c(*crc, header.get(..20).unwrap_or_default());
        if crc != u32::from_le_bytes(field(&header, 20)) {
            return Err(self.wrong("has a record whose checksum is wrong"));
        }
        self.previous = Some(begin);
        // The next one begins at a multiple of eight, and what the server calls the end is that.
        self.verified = end.next_multiple_of(8);
        let [info, manager] = field(&header, 16);
        // A switch to the next file: what is left of this one means nothing.
        let is_switch = manager == 0 && info & 0xF0 == 0x40;
        self.state = if is_switch {
            State::Skip(end.next_multiple_of(self.log.segments.bytes))
        } else {
            State::Header { begin: end, seen: Vec::new() }
        };
        Ok(())
    }

    fn page(&mut self, header: &[u8]) -> Result<()> {
        let is_skipped = matches!(self.state, State::Skip(until) if self.at < until) && self.at >= self.start;
        if is_skipped {
            return Ok(());
        }
        // A file that was ended early is passed over up to the header of the next one, records follow it.
        if let State::Skip(until) = self.state
            && until == self.at
        {
            self.state = State::Header { begin: self.at, seen: Vec::new() };
        }
        let magic = u16::from_le_bytes(field(header, 0));
        let info = u16::from_le_bytes(field(header, 2));
        let (timeline, address) =
            (u32::from_le_bytes(field(header, 4)), u64::from_le_bytes(field(header, 8)));
        if *self.magic.get_or_insert(magic) != magic || address != self.at {
            return Err(self.wrong("has a page that belongs elsewhere"));
        }
        if timeline > self.log.segments.timeline {
            return Err(self.wrong("has a page of another timeline"));
        }
        if self.at >= self.start {
            let rest = match &self.state {
                State::Body(body) => Some(body.left),
                State::Header { seen, .. } if !seen.is_empty() => {
                    let len = u32::from_le_bytes(field(seen, 0));
                    len.checked_sub(u32::try_from(seen.len()).unwrap_or(u32::MAX))
                }
                _ => Some(0),
            };
            let said = u32::from_le_bytes(field(header, 16));
            if rest != Some(said) || (info & IS_CONTINUED != 0) != (said > 0) {
                return Err(self.wrong("has a page that does not go on with the record before it"));
            }
        }
        if header.len() == LONG_HEADER_BYTES {
            let system = u64::from_le_bytes(field(header, 24));
            let bytes = u64::from(u32::from_le_bytes(field(header, 32)));
            let is_ours = system == self.log.system_identifier && bytes == self.log.segments.bytes;
            if info & IS_LONG == 0 || !is_ours {
                return Err(self.wrong("has a file of another server"));
            }
        }
        Ok(())
    }

    fn wrong(&self, what: &str) -> SqlError {
        SqlError::damaged(format!("the log {what} near {}", Lsn(self.at)))
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
}

/// CRC-32C, going on from `crc`; neither inverted at the start nor at the end.
fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(crc, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        crc >> 8 ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    })
}

static TABLE: [u32; 256] = table();

#[expect(clippy::indexing_slicing, reason = "what is computed before the program runs cannot panic in it")]
const fn table() -> [u32; 256] {
    let (mut table, mut at) = ([0; 256], 0_u32);
    while at < 256 {
        let (mut crc, mut bit) = (at, 0);
        while bit < 8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
            bit += 1;
        }
        table[at as usize] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEGMENT: u64 = 1 << 20;
    const START: u64 = 5 * SEGMENT;

    fn log() -> Log {
        let segments = Segments { timeline: 1, bytes: SEGMENT };
        Log { segments, page_bytes: 8192, system_identifier: 77 }
    }

    /// Writes a log as the server does.
    struct Writer {
        bytes: Vec<u8>,
        previous: u64,
        ends: Vec<u64>,
    }

    impl Writer {
        fn at(&self) -> u64 {
            START + self.bytes.len() as u64
        }

        fn put(&mut self, mut piece: &[u8], is_record: bool) {
            while !piece.is_empty() {
                if self.at().is_multiple_of(8192) {
                    self.header(if is_record { piece.len() } else { 0 });
                }
                let left = usize::try_from(8192 - self.at() % 8192).unwrap();
                let (now, later) = piece.split_at(left.min(piece.len()));
                self.bytes.extend(now);
                piece = later;
            }
        }

        fn header(&mut self, rest: usize) {
            let is_long = self.at().is_multiple_of(SEGMENT);
            let info = u16::from(rest > 0) | if is_long { IS_LONG } else { 0 };
            let mut header = [0xD110_u16.to_le_bytes(), info.to_le_bytes()].concat();
            header.extend([1_u32.to_le_bytes().as_slice(), &self.at().to_le_bytes()].concat());
            header.extend([u32::try_from(rest).unwrap().to_le_bytes(), [0; 4]].concat());
            if is_long {
                header.extend(77_u64.to_le_bytes());
                header
                    .extend([u32::try_from(SEGMENT).unwrap().to_le_bytes(), 8192_u32.to_le_bytes()].concat());
            }
            self.bytes.extend(header);
        }

        fn record(&mut self, data: &[u8], is_switch: bool) {
            if self.at().is_multiple_of(8192) {
                self.header(0);
            }
            let begin = self.at();
            let mut record = u32::try_from(24 + data.len()).unwrap().to_le_bytes().to_vec();
            record.extend([0; 4]);
            record.extend(self.previous.to_le_bytes());
            record.extend([if is_switch { 0x40 } else { 0x10 }, 0, 0, 0]);
            let crc = !crc32c(crc32c(u32::MAX, data), &record);
            record.extend(crc.to_le_bytes());
            record.extend(data);
            self.put(&record, true);
            self.previous = begin;
            let end = self.at().next_multiple_of(8);
            self.ends.push(end);
            self.put(&vec![0; usize::try_from(end - self.at()).unwrap()], false);
            if is_switch {
                let left = self.at().next_multiple_of(SEGMENT) - self.at();
                self.bytes.extend(vec![0; usize::try_from(left).unwrap()]);
            }
        }
    }

    fn written(records: &[(usize, bool)]) -> Writer {
        let mut writer = Writer { bytes: Vec::new(), previous: 0, ends: Vec::new() };
        for (at, (len, is_switch)) in records.iter().enumerate() {
            let data: Vec<_> = (0..*len).map(|byte| (byte * 7 + at).to_le_bytes()[0]).collect();
            writer.record(if *is_switch { &[] } else { &data }, *is_switch);
        }
        writer
    }

    fn read(bytes: &[u8], pages: usize) -> Result<Lsn> {
        let mut records = Records::new(log(), Lsn(START + 40));
        bytes.chunks(pages * 8192).try_for_each(|piece| records.push(piece))?;
        Ok(records.verified())
    }

    #[test]
    fn the_sum_is_the_one_of_the_standard() {
        assert_eq!(!crc32c(u32::MAX, b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_page_of_another_place_or_server_is_found() {
        let whole = written(&[(9000, false), (10, false)]).bytes;
        for (at, what) in
            [(9, "elsewhere"), (0x2000 + 9, "elsewhere"), (24, "another server"), (4, "timeline")]
        {
            let mut bytes = whole.clone();
            bytes[at] ^= 2;
            assert!(read(&bytes, 1).unwrap_err().to_string().contains(what), "{at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_whole_log_is_read_to_its_end(
            sizes in prop::collection::vec((0_usize..20_000, prop::bool::weighted(0.05)), 1..40),
            pages in 1_usize..20,
        ) {
            let writer = written(&sizes);
            prop_assert_eq!(read(&writer.bytes, pages).unwrap().0, *writer.ends.last().unwrap());
        }

        #[test]
        fn a_flipped_bit_is_found_or_was_of_no_meaning(
            sizes in prop::collection::vec((1_usize..5_000, Just(false)), 1..20),
            at in any::<prop::sample::Index>(),
        ) {
            let mut writer = written(&sizes);
            let end = *writer.ends.last().unwrap();
            let at = at.index(writer.bytes.len());
            // What no record and no header says: bytes between, and those of a header that mean nothing.
            let is_said = writer.bytes[at] != 0;
            writer.bytes[at] ^= 0x80;
            let verified = read(&writer.bytes, 3).map(|verified| verified.0);
            prop_assert!(!is_said || verified.is_err() || verified.unwrap() < end || at % 8192 == 36);
        }
    }
}
