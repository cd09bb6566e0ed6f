//! Takes apart the archives that a server sends, as their bytes come.
//!
//! They are plain ustar with numbers of any size: the server refuses names that would need more. What else there is in
//! the world of tar is refused here, and so is a path that leads anywhere but downwards.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::sql::error::{Result, SqlError};

const BLOCK_BYTES: usize = 512;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Symlink,
}

/// What stands in front of the content of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: i64,
}

/// Takes what is in an archive. Only files have data, and only files end.
pub(super) trait Sink {
    fn begin(&mut self, entry: Entry) -> Result<()>;
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    fn end(&mut self) -> Result<()>;
}

/// An archive that is being read.
#[derive(Default)]
pub(super) struct Unpacker {
    header: Vec<u8>,
    /// Bytes of content to come.
    left: u64,
    /// Bytes to pass over after the content.
    padding: u64,
    is_in_file: bool,
    /// The blocks of zeros that end an archive have begun.
    is_ended: bool,
}

impl Unpacker {
    /// Takes the next bytes of the archive.
    pub(super) fn push(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let content = take(&mut bytes, &mut self.left);
                sink.data(content)?;
                if self.left == 0 {
                    self.end_file(sink)?;
                }
            } else if self.padding > 0 {
                take(&mut bytes, &mut self.padding);
            } else {
                self.push_header(&mut bytes, sink)?;
            }
        }
        Ok(())
    }

    fn push_header(&mut self, bytes: &mut &[u8], sink: &mut impl Sink) -> Result<()> {
        let missing = BLOCK_BYTES - self.header.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.header.extend_from_slice(head);
        *bytes = rest;
        if self.header.len() < BLOCK_BYTES {
            return Ok(());
        }
        let header = std::mem::take(&mut self.header);
        if header.iter().all(|byte| *byte == 0) {
            self.is_ended = true;
            return Ok(());
        }
        if self.is_ended {
            return Err(wrong("goes on after its end"));
        }
        let entry = parse(&header)?;
        self.left = entry.size;
        self.padding = entry.size.next_multiple_of(BLOCK_BYTES as u64) - entry.size;
        self.is_in_file = entry.kind == Kind::File;
        sink.begin(entry)?;
        if self.left == 0 { self.end_file(sink) } else { Ok(()) }
    }

    fn end_file(&mut self, sink: &mut impl Sink) -> Result<()> {
        if std::mem::take(&mut self.is_in_file) { sink.end() } else { Ok(()) }
    }

    /// Ends the archive; one that stops within an entry is an error.
    pub(super) fn finish(self) -> Result<()> {
        let is_whole = self.header.is_empty() && self.left == 0 && self.padding == 0;
        if is_whole { Ok(()) } else { Err(wrong("is cut short")) }
    }
}

/// At most `left` of `bytes`, which both grow shorter by it.
fn take<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let len = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    *left -= len as u64;
    taken
}

fn parse(header: &[u8]) -> Result<Entry> {
    let field = |from: usize, len: usize| header.get(from..from + len).unwrap_or_default();
    let sum = number(field(148, 8))?;
    let blank = [b' '; 8];
    let summed = [field(0, 148), &blank, field(156, 356)].concat();
    if sum != summed.iter().map(|byte| u64::from(*byte)).sum::<u64>() {
        return Err(wrong("has a header whose checksum is wrong"));
    }
    let (name, prefix) = (text(field(0, 100)), text(field(345, 155)));
    let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
    let size = number(field(124, 12))?;
    let kind = match field(156, 1) {
        b"0" | b"\0" => Kind::File,
        b"5" => Kind::Folder,
        b"2" => Kind::Symlink,
        _ => return Err(wrong("holds something that is neither file nor folder nor symlink")),
    };
    if kind != Kind::File && size != 0 {
        return Err(wrong("holds a folder with content"));
    }
    if size > i64::MAX as u64 {
        return Err(wrong("holds a file of an impossible size"));
    }
    let small = |from| number(field(from, 8)).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let mtime = i64::try_from(number(field(136, 12))?).map_err(|_| wrong("holds an impossible time"))?;
    let (mode, uid, gid) = (small(100)? & 0o7777, small(108)?, small(116)?);
    Ok(Entry { path: path(&name)?, kind, size, mode, uid, gid, mtime })
}

/// What is before the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits, or big-endian after a first bit.
fn number(field: &[u8]) -> Result<u64> {
    let wrong = || wrong("has a header with a number that is none");
    let Some((first, rest)) = field.split_first() else { return Ok(0) };
    if first & 0x80 != 0 {
        let push = |number: u64, byte: &u8| {
            let pushed = number.checked_mul(256)?;
            Some(pushed + u64::from(*byte))
        };
        return rest.iter().try_fold(u64::from(first & 0x7F), push).ok_or_else(wrong);
    }
    let digits = str::from_utf8(text(field)).map_err(|_| wrong())?.trim();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| wrong()) }
}

/// A path below the root of the archive, in its shortest form.
fn path(name: &[u8]) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err(wrong("holds a path that leads out of it")),
        }
    }
    if path.as_os_str().is_empty() { Err(wrong("holds an entry without a name")) } else { Ok(path) }
}

fn wrong(what: &str) -> SqlError {
    SqlError::damaged(format!("the archive that the server sends {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Seen(Vec<(Entry, Vec<u8>, bool)>);

    impl Sink for Seen {
        fn begin(&mut self, entry: Entry) -> Result<()> {
            self.0.push((entry, Vec::new(), false));
            Ok(())
        }

        fn data(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.last_mut().unwrap().1.extend_from_slice(bytes);
            Ok(())
        }

        fn end(&mut self) -> Result<()> {
            self.0.last_mut().unwrap().2 = true;
            Ok(())
        }
    }

    fn header(name: &str, kind: u8, size: u64) -> Vec<u8> {
        let mut header = vec![0; BLOCK_BYTES];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000600");
        header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        header[156] = kind;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    fn archive() -> Vec<u8> {
        let mut archive = header("base/", b'5', 0);
        archive.extend(header("./base/1", b'0', 700));
        archive.extend([vec![7; 700], vec![0; 324]].concat());
        archive.extend(header("empty", b'0', 0));
        archive.extend([0; 2 * BLOCK_BYTES]);
        archive
    }

    #[test]
    fn an_archive_is_taken_apart_wherever_it_is_cut() {
        for len in [1, 7, 511, 512, 513, 4096] {
            let (mut unpacker, mut seen) = (Unpacker::default(), Seen::default());
            for bytes in archive().chunks(len) {
                unpacker.push(bytes, &mut seen).unwrap();
            }
            unpacker.finish().unwrap();
            let seen: Vec<_> =
                seen.0.iter().map(|(e, c, d)| (e.path.to_str().unwrap(), c.len(), *d)).collect();
            assert_eq!(seen, [("base", 0, false), ("base/1", 700, true), ("empty", 0, true)]);
        }
    }

    #[test]
    fn an_archive_that_is_cut_short_is_an_error() {
        let archive = archive();
        for len in [100, 600, 1024 + 699, 1024 + 701] {
            let mut unpacker = Unpacker::default();
            unpacker.push(&archive[..len], &mut Seen::default()).unwrap();
            assert!(unpacker.finish().is_err(), "{len}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_and_strange_entries_are_refused() {
        let refused = |header: Vec<u8>| Unpacker::default().push(&header, &mut Seen::default()).is_err();
        for name in ["/etc/passwd", "../x", "base/../../x", "."] {
            assert!(refused(header(name, b'0', 1)), "{name}");
        }
        assert!(refused(header("x", b'x', 1)) && refused(header("x", b'5', 1)));
        let mut damaged = header("x", b'0', 1);
        damaged[0] = b'y';
        assert!(refused(damaged));
    }

    #[test]
    fn a_number_may_be_longer_than_its_octal_digits() {
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0").unwrap(), 8 << 30);
        assert!(number(&[0xFF; 12]).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut unpacker = Unpacker::default();
            let _outcome = unpacker.push(&bytes, &mut Seen::default());
        }
    }
}
