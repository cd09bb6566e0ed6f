//! Runs of zeros, which are not written: in a new file they are there already, and take no room.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::id::BlobId;

/// Holes are made of whole blocks of this size.
const BLOCK_BYTES: usize = 4096;
const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
/// Blobs of zeros worth remembering: one for each length there is.
const MOST_REMEMBERED: usize = 1024;

/// The parts of `bytes`, which belong at `offset` of a file, that are not blocks of zeros.
pub(super) fn data_runs(bytes: &[u8], offset: u64) -> impl Iterator<Item = Range<usize>> {
    let into_block = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or_default();
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut run: Option<Range<usize>> = None;
        while at < bytes.len() {
            let end = (at + BLOCK_BYTES - (at + into_block) % BLOCK_BYTES).min(bytes.len());
            let is_zero = bytes.get(at..end).is_some_and(is_zero);
            match (&mut run, is_zero) {
                (None, true) => {}
                (None, false) => run = Some(at..end),
                (Some(run), false) => run.end = end,
                (Some(_), true) => break,
            }
            at = end;
        }
        run
    })
}

/// True for nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(BLOCK_BYTES).all(|block| ZEROS.get(..block.len()) == Some(block))
}

/// Blobs found to be nothing but zeros, which need not be read again.
#[derive(Default)]
pub(super) struct ZeroBlobs(Mutex<HashSet<BlobId>>);

impl ZeroBlobs {
    pub(super) fn add(&self, id: BlobId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() < MOST_REMEMBERED {
            ids.insert(id);
        }
    }

    pub(super) fn contains(&self, id: &BlobId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_blocks_of_zeros_are_left_out() {
        let mut bytes = vec![0; 5 * BLOCK_BYTES];
        bytes[BLOCK_BYTES] = 1;
        bytes[3 * BLOCK_BYTES - 1] = 1;
        let runs: Vec<_> = data_runs(&bytes, 0).collect();
        assert_eq!((runs.len(), runs[0].clone()), (1, BLOCK_BYTES..3 * BLOCK_BYTES));
        // The same bytes ten into a block: the blocks of the file count.
        let runs: Vec<_> = data_runs(&bytes, 10).collect();
        assert_eq!(
            runs,
            [BLOCK_BYTES - 10..2 * BLOCK_BYTES - 10, 3 * BLOCK_BYTES - 10..4 * BLOCK_BYTES - 10]
        );
        assert_eq!(data_runs(&[0; 100], 5).count(), 0);
        assert_eq!(data_runs(&[], 5).count(), 0);
        let mut runs = data_runs(b"abc", 4094);
        assert_eq!((runs.next(), runs.next()), (Some(0..3), None));
    }
}
