//! The stream of `mariadb-backup`: pieces of many files, one after another and mixed, and what became of files that
//! were written before.
//!
//! A piece opens with `XBSTCK01`, a byte of flags, a letter and a path. `P` brings bytes for a place in the file with
//! their CRC-32, `E` ends a file, `S` moves the place, `D` removes what is there, `R` renames it. The bytes are
//! hostile: every length is bounded before memory is taken, a path stays below the root, and nothing is skipped.

use std::io::{self, Read};

const MAGIC: &[u8; 8] = b"XBSTCK01";
/// As long as a path of MariaDB can be.
const MOST_PATH_BYTES: u32 = 512;
/// Pieces have 10 MiB; those that a longer write made are not much longer.
const MOST_PAYLOAD_BYTES: u64 = 64 << 20;
/// All flags there are: "may be skipped by who does not know it", and "takes the place of an earlier file".
const FLAG_REPLACES: u8 = 2;

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    Bytes {
        path: &'a str,
        offset: u64,
        bytes: &'a [u8],
        /// It belongs to a file that takes the place of an earlier one.
        replaces: bool,
    },
    End {
        path: &'a str,
    },
    Seek {
        path: &'a str,
        offset: u64,
    },
    /// A path that ends in `*` means all that begin so. What is not there need not be removed.
    Remove {
        path: &'a str,
    },
    /// What is not there is not renamed.
    Rename {
        path: &'a str,
        to: &'a str,
    },
}

/// Why bytes are not a stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the stream of mariadb-backup cannot be read")]
    Read(#[source] io::Error),
    #[error("the stream of mariadb-backup ends in the middle of a piece")]
    Cut,
    #[error("the stream of mariadb-backup holds what is not a piece of a file: {0}")]
    NotPiece(&'static str),
    #[error("the stream of mariadb-backup names the file {0:?}, which is not below its folder")]
    Path(String),
    #[error("the bytes of {path} at {offset} are not those that mariadb-backup read")]
    Checksum { path: String, offset: u64 },
}

/// Takes a stream apart.
pub struct Pieces<R> {
    stream: R,
    path: String,
    to: String,
    payload: Vec<u8>,
}

impl<R: Read> Pieces<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, path: String::new(), to: String::new(), payload: Vec::new() }
    }

    /// The next piece; nothing at the end, which is only where a piece could begin.
    pub fn piece(&mut self) -> Result<Option<Piece<'_>>, StreamError> {
        let mut head = [0; 10];
        match self.fill_or_end(&mut head)? {
            0 => return Ok(None),
            10 => {}
            _ => return Err(StreamError::Cut),
        }
        let [magic @ .., flags, letter] = &head;
        if magic != MAGIC {
            return Err(StreamError::NotPiece("no magic"));
        }
        let replaces = match *flags {
            0 => false,
            FLAG_REPLACES => true,
            _ => return Err(StreamError::NotPiece("unknown flags")),
        };
        let letter = *letter;
        self.path = self.path()?;
        if replaces && letter != b'P' {
            return Err(StreamError::NotPiece("flags that mean nothing"));
        }
        Ok(Some(match letter {
            b'P' => self.bytes(replaces)?,
            b'E' => Piece::End { path: plain(&self.path)? },
            b'S' => {
                let offset = u64::from_le_bytes(self.array()?);
                Piece::Seek { path: plain(&self.path)?, offset }
            }
            b'D' => {
                plain(self.path.strip_suffix('*').unwrap_or(&self.path))?;
                Piece::Remove { path: &self.path }
            }
            b'R' => {
                self.to = self.path()?;
                Piece::Rename { path: plain(&self.path)?, to: plain(&self.to)? }
            }
            _ => return Err(StreamError::NotPiece("unknown kind")),
        }))
    }

    fn bytes(&mut self, replaces: bool) -> Result<Piece<'_>, StreamError> {
        let len = u64::from_le_bytes(self.array()?);
        let offset = u64::from_le_bytes(self.array()?);
        let checksum = u32::from_le_bytes(self.array()?);
        if len > MOST_PAYLOAD_BYTES {
            return Err(StreamError::NotPiece("too many bytes"));
        }
        if offset.checked_add(len).is_none() {
            return Err(StreamError::NotPiece("an offset beyond all files"));
        }
        self.payload.clear();
        let read = (&mut self.stream).take(len).read_to_end(&mut self.payload).map_err(StreamError::Read)?;
        if read as u64 != len {
            return Err(StreamError::Cut);
        }
        if crc32fast::hash(&self.payload) != checksum {
            return Err(StreamError::Checksum { path: self.path.clone(), offset });
        }
        Ok(Piece::Bytes { path: plain(&self.path)?, offset, bytes: &self.payload, replaces })
    }

    fn path(&mut self) -> Result<String, StreamError> {
        let len = u32::from_le_bytes(self.array()?);
        if len > MOST_PATH_BYTES {
            return Err(StreamError::NotPiece("too long a path"));
        }
        let mut path = Vec::new();
        let read = (&mut self.stream).take(len.into()).read_to_end(&mut path).map_err(StreamError::Read)?;
        if read as u64 != u64::from(len) {
            return Err(StreamError::Cut);
        }
        let path = String::from_utf8(path).map_err(|_| StreamError::NotPiece("a path that is not UTF-8"))?;
        Ok(path.strip_prefix("./").map(str::to_owned).unwrap_or(path))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let mut bytes = [0; N];
        let read = self.fill_or_end(&mut bytes)?;
        if read == N { Ok(bytes) } else { Err(StreamError::Cut) }
    }

    /// As many bytes as there are until the end.
    fn fill_or_end(&mut self, bytes: &mut [u8]) -> Result<usize, StreamError> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.stream.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StreamError::Read(error)),
            }
        }
        Ok(filled)
    }
}

/// Refuses a path that could lead out of the folder of the backup.
fn plain(path: &str) -> Result<&str, StreamError> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if path.split('/').all(is_plain) { Ok(path) } else { Err(StreamError::Path(path.to_owned())) }
}

#[cfg(test)]
#[path = "xbstream_tests.rs"]
mod tests;
