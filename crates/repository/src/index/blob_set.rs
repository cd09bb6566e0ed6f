//! Marks on blobs, one bit each, by their ordinals in an [`Index`](super::Index).
//!
//! Which blobs are in use, which have been read: what check and prune keep of every blob.

/// A set of ordinals.
#[derive(Clone, Debug, Default)]
pub struct BlobSet {
    words: Vec<u64>,
    len: u32,
}

impl BlobSet {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an ordinal; false if it was there.
    pub fn insert(&mut self, ordinal: u32) -> bool {
        let (at, bit) = place(ordinal);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let is_new = self.words.get_mut(at).is_some_and(|word| {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        });
        self.len += u32::from(is_new);
        is_new
    }

    /// Takes an ordinal out; false if it was not there.
    pub fn remove(&mut self, ordinal: u32) -> bool {
        let (at, bit) = place(ordinal);
        let was_there = self.words.get_mut(at).is_some_and(|word| {
            let was_there = *word & bit != 0;
            *word &= !bit;
            was_there
        });
        self.len -= u32::from(was_there);
        was_there
    }

    pub fn contains(&self, ordinal: u32) -> bool {
        let (at, bit) = place(ordinal);
        self.words.get(at).is_some_and(|word| word & bit != 0)
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn place(ordinal: u32) -> (usize, u64) {
    (ordinal as usize / 64, 1 << (ordinal % 64))
}
