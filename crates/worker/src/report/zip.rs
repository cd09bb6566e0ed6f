//! Zip archives with one compressed file, written as a stream in the 64-bit form.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Version 4.5: the 64-bit form.
const NEEDS: u16 = 45;
/// Sizes follow the content; the name is UTF-8.
const FLAGS: u16 = 1 << 3 | 1 << 11;
const DEFLATE: u16 = 8;
/// The first of January 1980, where DOS begins to count.
const DOS_DATE: u16 = 1 << 5 | 1;

/// An archive whose only file is being written.
pub(super) struct ZipOfOne<W: Write> {
    content: DeflateEncoder<Counting<W>>,
    name: Vec<u8>,
    crc: flate2::Crc,
    head_bytes: u64,
}

/// Counts what goes through.
struct Counting<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> ZipOfOne<W> {
    /// Begins the file `name`, an ASCII name of some tens of characters.
    pub(super) fn begin(inner: W, name: &str) -> io::Result<Self> {
        let mut out = Counting { inner, bytes: 0 };
        let mut head = Vec::new();
        head.extend(0x0403_4b50_u32.to_le_bytes());
        put_u16s(&mut head, &[NEEDS, FLAGS, DEFLATE, 0, DOS_DATE]);
        head.extend([0; 4]); // the checksum follows
        head.extend([0xff; 8]); // both sizes are in the extra field
        put_u16s(&mut head, &[length(name), 20]);
        head.extend(name.as_bytes());
        put_u16s(&mut head, &[1, 16]);
        head.extend([0; 16]);
        out.write_all(&head)?;
        let head_bytes = out.bytes;
        let content = DeflateEncoder::new(out, Compression::default());
        Ok(Self { content, name: name.as_bytes().to_vec(), crc: flate2::Crc::new(), head_bytes })
    }

    /// Ends the file and the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let plain = self.content.total_in();
        self.content.try_finish()?;
        let mut out = self.content.finish()?;
        let packed = out.bytes - self.head_bytes;
        let crc = self.crc.sum();
        let mut tail = Vec::new();
        tail.extend(0x0807_4b50_u32.to_le_bytes());
        tail.extend(crc.to_le_bytes());
        put_u64s(&mut tail, &[packed, plain]);
        let directory_at = out.bytes + tail.len() as u64;
        let before = tail.len();
        tail.extend(0x0201_4b50_u32.to_le_bytes());
        put_u16s(&mut tail, &[(3 << 8) | NEEDS, NEEDS, FLAGS, DEFLATE, 0, DOS_DATE]);
        tail.extend(crc.to_le_bytes());
        tail.extend([0xff; 8]);
        put_u16s(&mut tail, &[u16::try_from(self.name.len()).unwrap_or(u16::MAX), 28, 0, 0, 0]);
        tail.extend((0o100_600_u32 << 16).to_le_bytes());
        tail.extend([0xff; 4]);
        tail.extend(&self.name);
        put_u16s(&mut tail, &[1, 24]);
        put_u64s(&mut tail, &[plain, packed, 0]);
        let directory_bytes = (tail.len() - before) as u64;
        let end_at = directory_at + directory_bytes;
        tail.extend(0x0606_4b50_u32.to_le_bytes());
        put_u64s(&mut tail, &[44]);
        put_u16s(&mut tail, &[(3 << 8) | NEEDS, NEEDS]);
        tail.extend([0; 8]);
        put_u64s(&mut tail, &[1, 1, directory_bytes, directory_at]);
        tail.extend(0x0706_4b50_u32.to_le_bytes());
        tail.extend([0; 4]);
        put_u64s(&mut tail, &[end_at]);
        tail.extend(1_u32.to_le_bytes());
        tail.extend(0x0605_4b50_u32.to_le_bytes());
        put_u16s(&mut tail, &[0, 0, 1, 1]);
        tail.extend([0xff; 8]);
        put_u16s(&mut tail, &[0]);
        out.write_all(&tail)?;
        out.flush()?;
        Ok(out.inner)
    }
}

impl<W: Write> Write for ZipOfOne<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.content.write(bytes)?;
        self.crc.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.content.flush()
    }
}

fn length(name: &str) -> u16 {
    u16::try_from(name.len()).unwrap_or(u16::MAX)
}

fn put_u16s(to: &mut Vec<u8>, numbers: &[u16]) {
    numbers.iter().for_each(|number| to.extend(number.to_le_bytes()));
}

fn put_u64s(to: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| to.extend(number.to_le_bytes()));
}
