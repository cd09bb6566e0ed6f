//! Reading blobs and trees through the index.
//!
//! A blob that is stored more than once is read from the next place when the first is damaged. A tree too
//! large for memory is copied, sealed as it is, into a spool, verified there, and then parsed as a stream.

use std::io::{self, BufReader, Read, Write};
use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

use super::Repository;
use crate::blob::{BlobKind, BlobRef};
use crate::crypto::OpenReader;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{BlobId, Id};
use crate::index::Location;
use crate::pack::{BlobCodec, Compression};
use crate::spool::Spool;
use crate::tree::{Node, TreeParser, parse_nodes, parse_nodes_ahead};

/// Trees up to this size are read whole; longer ones pass through a spool.
const TREE_IN_MEMORY_BYTES: u64 = 4 << 20;
/// A data blob is at most 8 MiB in restic's format; other programs may have larger ones, within reason.
const MOST_BLOB_BYTES: u64 = 512 << 20;
const COPY_BYTES: u64 = 1 << 20;
/// What an open tree takes that passes through a spool: the window of its decoder, and buffers.
const STREAM_BYTES: usize = 4 << 20;
/// What an open tree takes besides its JSON.
const READER_BYTES: usize = 1 << 10;

/// Reads blobs with buffers of its own; one for each thread.
pub struct BlobReader<'r> {
    repository: &'r Repository,
    codec: BlobCodec<'r>,
}

/// The nodes of one tree, in order.
pub struct TreeReader<'r> {
    nodes: TreeParser<Box<dyn Read + 'r>>,
    id: BlobId,
    is_over: bool,
    memory_bytes: usize,
}

impl Repository {
    pub fn blob_reader(&self) -> BlobReader<'_> {
        BlobReader { repository: self, codec: BlobCodec::new(self.master_key(), Compression::Off) }
    }

    /// The plaintext of a blob.
    pub fn read_blob(&self, blob: BlobRef) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.blob_reader().read(blob, &mut plain)?;
        Ok(plain)
    }

    /// The nodes of a tree.
    pub fn read_tree(&self, id: BlobId) -> Result<TreeReader<'_>> {
        self.blob_reader().tree(id)
    }

    /// All places where a blob is stored; [`ErrorKind::NotFound`] when there is none.
    pub fn locate(&self, blob: BlobRef) -> Result<Vec<Location>> {
        let places: Vec<Location> = self.index().get_all(blob).collect();
        if places.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, format!("the {blob} is in no index")));
        }
        Ok(places)
    }
}

impl<'r> BlobReader<'r> {
    /// Reads a blob into `plain`, replacing what was there.
    pub fn read(&mut self, blob: BlobRef, plain: &mut Vec<u8>) -> Result<()> {
        self.at_any_place(blob, |reader, place| reader.read_at(blob, place, plain))
    }

    /// Opens a sealed blob that the caller has read; see [`BlobCodec::open`].
    pub fn open(
        &mut self,
        blob: BlobRef,
        place: &Location,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        self.codec.open(blob, sealed, place.uncompressed_length, plain)
    }

    /// The plaintext of a blob of any size, as [`BlobReader::stream_at`].
    pub(crate) fn stream(&mut self, blob: BlobRef) -> Result<Box<dyn Read + 'r>> {
        self.at_any_place(blob, |reader, place| reader.stream_at(blob, place))
    }

    /// Reads the blob at one place, for no more than to see that it can be read.
    pub(crate) fn verify_at(&mut self, blob: BlobRef, place: &Location) -> Result<()> {
        if place.plain_length().max(place.length.into()) <= TREE_IN_MEMORY_BYTES {
            return self.read_at(blob, place, &mut Vec::new());
        }
        let mut plain = self.stream_at(blob, place)?;
        let damaged = |e| Error::damaged(format!("the {blob} is damaged")).because(e);
        io::copy(&mut plain, &mut io::sink()).map_err(damaged).map(|_| ())
    }

    pub fn tree(&mut self, id: BlobId) -> Result<TreeReader<'r>> {
        let blob = BlobRef { kind: BlobKind::Tree, id };
        self.at_any_place(blob, |reader, place| {
            if place.plain_length() > TREE_IN_MEMORY_BYTES {
                let nodes = parse_nodes(reader.stream_at(blob, place)?);
                return Ok(TreeReader { nodes, id, is_over: false, memory_bytes: STREAM_BYTES });
            }
            let mut plain = Vec::new();
            reader.read_at(blob, place, &mut plain)?;
            let memory_bytes = plain.capacity() + READER_BYTES;
            let nodes = parse_nodes_ahead(plain, Box::new(io::empty()) as Box<dyn Read + 'r>);
            Ok(TreeReader { nodes, id, is_over: false, memory_bytes })
        })
    }

    /// Runs `attempt` on one place after another until it succeeds; the first failure is reported.
    fn at_any_place<T>(
        &mut self,
        blob: BlobRef,
        mut attempt: impl FnMut(&mut Self, &Location) -> Result<T>,
    ) -> Result<T> {
        let first = self.repository.index().get(blob);
        let first =
            first.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("the {blob} is in no index")))?;
        let failure = match attempt(self, &first) {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if failure.kind == ErrorKind::Cancelled {
            return Err(failure);
        }
        for place in self.repository.locate(blob)?.iter().filter(|place| **place != first) {
            if let Ok(done) = attempt(self, place) {
                return Ok(done);
            }
        }
        Err(failure)
    }

    fn read_at(&mut self, blob: BlobRef, place: &Location, plain: &mut Vec<u8>) -> Result<()> {
        if place.plain_length().max(u64::from(place.length)) > MOST_BLOB_BYTES {
            return Err(Error::damaged(format!("the {blob} is too long to be one")));
        }
        let sealed = self.repository.storage().read(place.pack.into(), place.range())?;
        self.codec.open(blob, &sealed, place.uncompressed_length, plain)
    }

    /// The plaintext at one place as a stream, which fails at its end if it is not what it is named after.
    pub(crate) fn stream_at(&self, blob: BlobRef, place: &Location) -> Result<Box<dyn Read + 'r>> {
        let repository = self.repository;
        let failed = |cause: io::Error| {
            let kind =
                if cause.kind() == io::ErrorKind::InvalidData { ErrorKind::Damaged } else { ErrorKind::Io };
            Error::new(kind, format!("cannot read the {blob}")).because(cause)
        };
        let mut spool = Spool::create(&repository.settings.spool_folder).map_err(failed)?;
        for part in parts(place.range()) {
            let sealed = repository.storage().read(place.pack.into(), part)?;
            spool.write_all(&sealed).map_err(failed)?;
        }
        let opened = OpenReader::open(repository.master_key(), spool).map_err(failed)?;
        let verified = |inner: Box<dyn Read + 'r>| {
            Box::new(BufReader::with_capacity(64 << 10, VerifyingReader::new(inner, blob.id)))
        };
        match place.uncompressed_length {
            None => Ok(verified(Box::new(opened))),
            Some(_) => Ok(verified(Box::new(zstd::stream::read::Decoder::new(opened).map_err(failed)?))),
        }
    }
}

/// Cuts a range into parts of at most a mebibyte.
fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    let step = usize::try_from(COPY_BYTES).expect("a mebibyte is addressable");
    range.step_by(step).map(move |start| start..end.min(start + COPY_BYTES))
}

impl TreeReader<'_> {
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// The memory it takes until it is dropped, more or less.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Replaces `node` with the next one, reusing its memory; false at the end. A node that makes no sense is
    /// an error after which the next ones may still be read, unless [`TreeReader::is_over`].
    pub fn read_into(&mut self, node: &mut Node) -> Result<bool> {
        let id = self.id;
        self.nodes.read_into(node).map_err(|e| {
            self.is_over |= e.is_final();
            Error::damaged(format!("tree {id} cannot be read")).because(e)
        })
    }

    /// True after an error that no node can be read behind.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

impl Iterator for TreeReader<'_> {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Result<Node>> {
        if self.is_over {
            return None;
        }
        let mut node = Node::default();
        match self.read_into(&mut node) {
            Ok(true) => Some(Ok(node)),
            Ok(false) => {
                self.is_over = true;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// Fails at the end of a stream whose content has another name than it should.
struct VerifyingReader<R> {
    inner: R,
    digest: Option<Context>,
    id: BlobId,
}

impl<R: Read> VerifyingReader<R> {
    fn new(inner: R, id: BlobId) -> Self {
        Self { inner, digest: Some(Context::new(&SHA256)), id }
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(digest) = &mut self.digest {
            digest.update(buffer.get(..read).unwrap_or_default());
        }
        if read == 0
            && !buffer.is_empty()
            && let Some(digest) = self.digest.take()
            && Id::from_digest(&digest.finish()) != self.id.id()
        {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its content has another name"));
        }
        Ok(read)
    }
}
