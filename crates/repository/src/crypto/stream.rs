//! Sealing and opening of messages too large for memory.
//!
//! [`SealWriter`] seals what is written to it into another writer. [`OpenReader`] first verifies the whole
//! message in one pass and only then hands out plaintext in a second, so unauthenticated bytes are never seen.

use std::io::{self, Read, Write};

use super::mac::OneTimeMac;
use super::{MasterKey, NONCE_BYTES, OpenError, TAG_BYTES, random_nonce};
use crate::spool::Spool;

const PART_BYTES: usize = 64 * 1024;
const BLOCK_BYTES: u128 = 16;

/// Seals a stream: what is written here appears as one sealed message in `inner`.
pub struct SealWriter<'k, W: Write> {
    key: &'k MasterKey,
    inner: W,
    nonce: [u8; NONCE_BYTES],
    mac: OneTimeMac,
    part: Vec<u8>,
    sealed_blocks: u128,
    sealed_bytes: u64,
}

impl<'k, W: Write> SealWriter<'k, W> {
    pub fn new(key: &'k MasterKey, mut inner: W) -> io::Result<Self> {
        let nonce = random_nonce();
        inner.write_all(&nonce)?;
        let mac = key.mac(&nonce);
        let part = Vec::with_capacity(PART_BYTES);
        Ok(Self { key, inner, nonce, mac, part, sealed_blocks: 0, sealed_bytes: NONCE_BYTES as u64 })
    }

    /// Writes the tag and gives the inner writer back, with the length of the whole sealed message.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.key.apply_keystream(&self.nonce, self.sealed_blocks, &mut self.part);
        self.inner.write_all(&self.part)?;
        let tag = self.mac.tag(&self.part);
        self.inner.write_all(&tag)?;
        Ok((self.inner, self.sealed_bytes + (self.part.len() + TAG_BYTES) as u64))
    }

    fn seal_part(&mut self) -> io::Result<()> {
        self.key.apply_keystream(&self.nonce, self.sealed_blocks, &mut self.part);
        self.mac.update(&self.part);
        self.inner.write_all(&self.part)?;
        self.sealed_blocks += self.part.len() as u128 / BLOCK_BYTES;
        self.sealed_bytes += self.part.len() as u64;
        self.part.clear();
        Ok(())
    }
}

impl<W: Write> Write for SealWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.len() == PART_BYTES {
            self.seal_part()?;
        }
        let take = bytes.len().min(PART_BYTES - self.part.len());
        let (now, _) = bytes.split_at(take);
        self.part.extend_from_slice(now);
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the plaintext of a sealed message kept in a spool.
pub struct OpenReader<'k> {
    key: &'k MasterKey,
    spool: Spool,
    nonce: [u8; NONCE_BYTES],
    part: Vec<u8>,
    part_at: usize,
    next: u64,
    end: u64,
}

impl<'k> OpenReader<'k> {
    /// Verifies the message; a message that does not verify is an [`OpenError`] inside the `io::Error`.
    pub fn open(key: &'k MasterKey, spool: Spool) -> io::Result<Self> {
        let length = spool.len();
        Self::open_front(key, spool, length)
    }

    /// The same for a message in the first `length` bytes of a spool.
    pub fn open_front(key: &'k MasterKey, spool: Spool, length: u64) -> io::Result<Self> {
        let end = length.checked_sub(TAG_BYTES as u64).filter(|end| *end >= NONCE_BYTES as u64);
        let end = end.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, OpenError))?;
        let mut nonce = [0; NONCE_BYTES];
        spool.read_exact_at(&mut nonce, 0)?;
        let mut reader =
            Self { key, spool, nonce, part: Vec::new(), part_at: 0, next: NONCE_BYTES as u64, end };
        let mut mac = key.mac(&nonce);
        while reader.load()? == PART_BYTES {
            mac.update(&reader.part);
        }
        let mut tag = [0; TAG_BYTES];
        reader.spool.read_exact_at(&mut tag, end)?;
        mac.verify(&reader.part, &tag).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        reader.next = NONCE_BYTES as u64;
        reader.part.clear();
        Ok(reader)
    }

    pub fn into_spool(self) -> Spool {
        self.spool
    }

    /// Loads the next part of the ciphertext; returns its length, 0 at the end.
    fn load(&mut self) -> io::Result<usize> {
        let take = usize::try_from(self.end - self.next).unwrap_or(usize::MAX).min(PART_BYTES);
        self.part.resize(take, 0);
        self.spool.read_exact_at(&mut self.part, self.next)?;
        self.next += take as u64;
        Ok(take)
    }
}

impl Read for OpenReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.part_at == self.part.len() {
            let first_block = u128::from(self.next - NONCE_BYTES as u64) / BLOCK_BYTES;
            self.load()?;
            self.key.apply_keystream(&self.nonce, first_block, &mut self.part);
            self.part_at = 0;
        }
        let (_, mut ready) = self.part.split_at(self.part_at);
        let read = ready.read(buffer)?;
        self.part_at += read;
        Ok(read)
    }
}
