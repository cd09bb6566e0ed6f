//! Zip archives, stored without compression and written as a stream: sizes and checksums follow the contents,
//! and everything that may be large is in the 64-bit form.
//!
//! The directory at the end needs some hundred bytes of memory for each entry; that is the format's doing.

use std::io::{self, Read, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_repository::tree::{Node, NodeKind};

use super::Archive;
use super::tar::unix_mode;

/// Version 4.5: the 64-bit form.
const NEEDS: u16 = 45;
/// Sizes follow the content.
const SIZES_FOLLOW: u16 = 1 << 3;
const NAME_IS_UTF8: u16 = 1 << 11;

pub(super) struct ZipArchive<'a> {
    writer: &'a mut dyn Write,
    zone: &'a TimeZone,
    at: u64,
    directory: Vec<u8>,
    entries: u64,
}

struct Entry {
    name: Vec<u8>,
    name_bytes: u16,
    flags: u16,
    dos_time: u32,
    attributes: u32,
    offset: u64,
}

impl<'a> ZipArchive<'a> {
    pub(super) fn new(writer: &'a mut dyn Write, zone: &'a TimeZone) -> Self {
        Self { writer, zone, at: 0, directory: Vec::new(), entries: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.writer.write_all(bytes)
    }
}

impl Archive for ZipArchive<'_> {
    fn add(&mut self, path: &[u8], node: &Node, content: &mut dyn Read) -> io::Result<()> {
        let file_type: u32 = match node.kind {
            NodeKind::File => 0o100_000,
            NodeKind::Dir => 0o040_000,
            NodeKind::Symlink => 0o120_000,
            _ => return Ok(()), // zip knows no others
        };
        let entry = self.begin(path, node, file_type)?;
        let (crc, size) = match node.kind {
            NodeKind::File => self.copy(content)?,
            NodeKind::Symlink => self.copy(&mut node.link_target.as_slice())?,
            _ => (0, 0),
        };
        self.end(&entry, crc, size)
    }

    fn finish(&mut self) -> io::Result<()> {
        let start = self.at;
        let directory = std::mem::take(&mut self.directory);
        self.put(&directory)?;
        let end = self.at;
        let mut tail = Vec::new();
        u32s(&mut tail, &[0x0606_4b50]);
        u64s(&mut tail, &[44]);
        u16s(&mut tail, &[(3 << 8) | NEEDS, NEEDS]);
        u32s(&mut tail, &[0, 0]);
        u64s(&mut tail, &[self.entries, self.entries, end - start, start]);
        u32s(&mut tail, &[0x0706_4b50, 0]);
        u64s(&mut tail, &[end]);
        u32s(&mut tail, &[1, 0x0605_4b50]);
        u16s(&mut tail, &[0, 0, u16::MAX, u16::MAX]);
        u32s(&mut tail, &[u32::MAX, u32::MAX]);
        u16s(&mut tail, &[0]);
        self.put(&tail)?;
        self.writer.flush()
    }
}

impl ZipArchive<'_> {
    fn begin(&mut self, path: &[u8], node: &Node, file_type: u32) -> io::Result<Entry> {
        let mut name = path.to_vec();
        if node.kind == NodeKind::Dir {
            name.push(b'/');
        }
        let name_bytes = u16::try_from(name.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "a path is too long for a zip archive")
        })?;
        let flags = SIZES_FOLLOW | if str::from_utf8(&name).is_ok() { NAME_IS_UTF8 } else { 0 };
        let dos_time = dos_time(node.mtime.seconds, self.zone);
        let mut header = Vec::new();
        u32s(&mut header, &[0x0403_4b50]);
        u16s(&mut header, &[NEEDS, flags, 0]);
        u32s(&mut header, &[dos_time, 0, u32::MAX, u32::MAX]);
        u16s(&mut header, &[name_bytes, 20]);
        header.extend_from_slice(&name);
        u16s(&mut header, &[1, 16]); // the 64-bit sizes, yet unknown
        header.extend_from_slice(&[0; 16]);
        let offset = self.at;
        self.put(&header)?;
        let attributes = (file_type | unix_mode(node.mode)) << 16;
        Ok(Entry { name, name_bytes, flags, dos_time, attributes, offset })
    }

    /// Writes content; returns its checksum and size.
    fn copy(&mut self, content: &mut dyn Read) -> io::Result<(u32, u64)> {
        let (mut crc, mut size) = (0, 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = content.read(&mut buffer)?;
            let part = buffer.get(..read).unwrap_or_default();
            if part.is_empty() {
                return Ok((crc, size));
            }
            crc = crc32(crc, part);
            size += part.len() as u64;
            self.put(part)?;
        }
    }

    fn end(&mut self, entry: &Entry, crc: u32, size: u64) -> io::Result<()> {
        let mut after = Vec::new();
        u32s(&mut after, &[0x0807_4b50, crc]);
        u64s(&mut after, &[size, size]);
        self.put(&after)?;
        let directory = &mut self.directory;
        u32s(directory, &[0x0201_4b50]);
        u16s(directory, &[(3 << 8) | NEEDS, NEEDS, entry.flags, 0]); // 3: made on Unix
        u32s(directory, &[entry.dos_time, crc, u32::MAX, u32::MAX]);
        u16s(directory, &[entry.name_bytes, 28, 0, 0, 0]);
        u32s(directory, &[entry.attributes, u32::MAX]);
        directory.extend_from_slice(&entry.name);
        u16s(directory, &[1, 24]);
        u64s(directory, &[size, size, entry.offset]);
        self.entries += 1;
        Ok(())
    }
}

fn u16s(to: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

fn u32s(to: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

fn u64s(to: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| to.extend_from_slice(&number.to_le_bytes()));
}

/// Local time in two seconds, from 1980 to 2107.
fn dos_time(seconds: i64, zone: &TimeZone) -> u32 {
    const FIRST: u32 = (1 << 21) | (1 << 16);
    let Ok(time) = Timestamp::from_second(seconds) else { return FIRST };
    let local = zone.to_datetime(time);
    let part = |number: i8| u32::try_from(number).unwrap_or(0);
    let Some(year) = u32::try_from(local.year() - 1980).ok().filter(|year| *year < 128) else { return FIRST };
    let day = (year << 9) | (part(local.month()) << 5) | part(local.day());
    let time = (part(local.hour()) << 11) | (part(local.minute()) << 5) | (part(local.second()) / 2);
    (day << 16) | time
}

/// The CRC-32 of zip and gzip, continued over more bytes.
fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let mut crc = !crc;
    for byte in bytes {
        let [low, ..] = crc.to_le_bytes();
        let step = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0);
        crc = (crc >> 8) ^ step;
    }
    !crc
}

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut crc = byte;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one_and_can_be_continued() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
    }

    #[test]
    fn times_that_zip_cannot_say_become_its_first() {
        assert_eq!(dos_time(0, &TimeZone::UTC), (1 << 21) | (1 << 16));
        assert_eq!(dos_time(i64::MAX, &TimeZone::UTC), (1 << 21) | (1 << 16));
        let time = "2026-11-23T01:42:10Z".parse::<Timestamp>().unwrap().as_second();
        assert_eq!(dos_time(time, &TimeZone::UTC), 0x5d77_0d45);
    }
}
