//! The server's list of what a backup holds, compared with what has come.
//!
//! Every file is summed while it passes. At the end each file of the list must have come with its size and its
//! checksum, nothing else may have, and the list itself must match the sum that ends it.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::Deserialize;

use super::lsn::Lsn;
use crate::sql::error::{Result, SqlError};

/// What begins the line that ends the list; all before it is summed.
const SUM_LINE: &[u8] = b"\n\"Manifest-Checksum\"";
/// A list of some millions of files.
const MOST_BYTES: usize = 1 << 30;

/// The files that have come.
#[derive(Default)]
pub(super) struct Arrived {
    files: HashMap<Vec<u8>, (u64, [u8; 32])>,
    current: Option<(Vec<u8>, u64, Context)>,
}

impl Arrived {
    pub(super) fn begin(&mut self, path: Vec<u8>) {
        self.current = Some((path, 0, Context::new(&SHA256)));
    }

    pub(super) fn data(&mut self, bytes: &[u8]) {
        if let Some((_, size, sum)) = &mut self.current {
            *size += bytes.len() as u64;
            sum.update(bytes);
        }
    }

    /// Ends the file; the same name twice is an error.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some((path, size, sum)) = self.current.take() else { return Ok(()) };
        let sum = sum.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        match self.files.insert(path.clone(), (size, sum)) {
            None => Ok(()),
            Some(_) => Err(SqlError::damaged(format!("the file {} came twice", lossy(&path)))),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// The list, as its bytes come.
#[derive(Default)]
pub(super) struct Manifest(Vec<u8>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    #[serde(borrow)]
    files: Vec<File<'a>>,
    #[serde(borrow, rename = "WAL-Ranges", default)]
    ranges: Vec<Range<'a>>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, rename = "Path")]
    path: Option<Cow<'a, str>>,
    /// In hexadecimal digits: a name that is not UTF-8.
    #[serde(borrow, rename = "Encoded-Path")]
    encoded: Option<Cow<'a, str>>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(borrow, rename = "Checksum-Algorithm")]
    algorithm: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "Checksum")]
    checksum: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(borrow, rename = "End-LSN")]
    end: Cow<'a, str>,
}

impl Manifest {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(wrong("is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compares the list with what has come; gives the list's own checksum in hexadecimal digits.
    pub(super) fn verify(&self, arrived: &Arrived) -> Result<String> {
        let sum = self.verify_itself()?;
        let listed = self.parse()?;
        for file in &listed.files {
            let path = file.path()?;
            let name = || lossy(&path);
            let Some((size, sum)) = arrived.files.get(path.as_ref()) else {
                return Err(SqlError::damaged(format!("the file {} has not come", name())));
            };
            if file.size != *size {
                let text = format!("the file {} came with {size} bytes instead of {}", name(), file.size);
                return Err(SqlError::damaged(text));
            }
            let is_summed = file.algorithm.as_deref() == Some("SHA256");
            if !is_summed || file.checksum.as_deref() != Some(&hex(sum)) {
                return Err(SqlError::damaged(format!("the file {} came with other content", name())));
            }
        }
        if listed.files.len() != arrived.len() {
            return Err(SqlError::damaged("files came that the server does not list"));
        }
        Ok(sum)
    }

    /// The position that the backup leads to.
    pub(super) fn end(&self) -> Result<Lsn> {
        let listed = self.parse()?;
        let ends: Result<Vec<Lsn>, _> = listed.ranges.iter().map(|range| range.end.parse()).collect();
        let ends = ends.map_err(|error| wrong("has a position that is none").because(error))?;
        ends.into_iter().max().ok_or_else(|| wrong("does not say how far the log is needed"))
    }

    fn verify_itself(&self) -> Result<String> {
        let at = self.0.windows(SUM_LINE.len()).rposition(|window| window == SUM_LINE);
        let at = at.ok_or_else(|| wrong("is cut short"))?;
        let (summed, line) = self.0.split_at(at + 1);
        let sum = hex(digest(&SHA256, summed).as_ref());
        let said = str::from_utf8(line).unwrap_or_default().split('"').nth(3);
        if said == Some(&sum) { Ok(sum) } else { Err(wrong("does not match its own checksum")) }
    }

    fn parse(&self) -> Result<Listed<'_>> {
        serde_json::from_slice(&self.0).map_err(|error| wrong("cannot be read").because(error))
    }
}

impl File<'_> {
    fn path(&self) -> Result<Cow<'_, [u8]>> {
        match (&self.path, &self.encoded) {
            (Some(path), None) => Ok(Cow::Borrowed(path.as_bytes())),
            (None, Some(encoded)) => {
                Ok(Cow::Owned(unhex(encoded).ok_or_else(|| wrong("has a name that is none"))?))
            }
            _ => Err(wrong("has a file without a name")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pairs = digits?;
    let byte = |pair: &[u32]| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    };
    pairs.chunks(2).map(byte).collect()
}

fn lossy(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

fn wrong(what: &str) -> SqlError {
    SqlError::damaged(format!("the manifest of the backup {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrived(files: &[(&str, &[u8])]) -> Arrived {
        let mut arrived = Arrived::default();
        for (path, content) in files {
            arrived.begin(path.as_bytes().to_vec());
            arrived.data(content);
            arrived.end().unwrap();
        }
        arrived
    }

    fn manifest(files: &[(&str, &[u8])]) -> Manifest {
        let line = |(path, content): &(&str, &[u8])| {
            let sum = hex(digest(&SHA256, content).as_ref());
            let name = unhex(path)
                .map_or(format!("\"Path\": \"{path}\""), |_| format!("\"Encoded-Path\": \"{path}\""));
            let size = content.len();
            format!(
                "{{ {name}, \"Size\": {size}, \"Checksum-Algorithm\": \"SHA256\", \"Checksum\": \"{sum}\" }}"
            )
        };
        let files: Vec<_> = files.iter().map(line).collect();
        let ranges = "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }";
        let text = format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n{}],\n\"WAL-Ranges\": [\n{ranges}\n],\n",
            files.join(",\n"),
        );
        let sum = hex(digest(&SHA256, text.as_bytes()).as_ref());
        Manifest::from_bytes(format!("{text}\"Manifest-Checksum\": \"{sum}\"}}\n").into_bytes())
    }

    #[test]
    fn what_came_as_listed_is_accepted() {
        let manifest = manifest(&[("base/1", b"word"), ("ff61", b"")]);
        let mut arrived = arrived(&[("base/1", b"word")]);
        arrived.begin(vec![0xFF, 0x61]);
        arrived.end().unwrap();
        manifest.verify(&arrived).unwrap();
        assert_eq!(manifest.end().unwrap(), "0/2000100".parse().unwrap());
    }

    #[test]
    fn a_file_that_is_missing_too_many_or_changed_is_found() {
        let manifest = manifest(&[("base/1", b"word"), ("base/2", b"")]);
        let said = |files: &[(&str, &[u8])]| manifest.verify(&arrived(files)).unwrap_err().to_string();
        assert_eq!(said(&[("base/1", b"word")]), "the file base/2 has not come");
        assert_eq!(said(&[("base/1", b"ward"), ("base/2", b"")]), "the file base/1 came with other content");
        assert!(said(&[("base/1", b"wor"), ("base/2", b"")]).contains("3 bytes instead of 4"));
        let many = said(&[("base/1", b"word"), ("base/2", b""), ("x", b"")]);
        assert_eq!(many, "files came that the server does not list");
    }

    #[test]
    fn a_flipped_byte_anywhere_in_the_list_is_found() {
        let whole = manifest(&[("base/1", b"word")]);
        let arrived = arrived(&[("base/1", b"word")]);
        let last = whole.bytes().len() - 4;
        for at in 0..last {
            let mut bytes = whole.bytes().to_vec();
            bytes[at] ^= 1;
            assert!(Manifest::from_bytes(bytes).verify(&arrived).is_err(), "{at}");
        }
    }
}
