//! The search for a cut: the first place where the digest of the last 64 bytes ends in twenty zero bits.
//!
//! The digest at a place depends on nothing before its window, so distant places can be computed in any
//! order. [`first_cut`] runs four lanes through one loop, which hides the latency of the table lookups;
//! [`first_cut_plain`] goes byte by byte. Both find the same place: the tests compare them.

use super::polynomial::{DEGREE, Polynomial};

/// How many bytes a digest covers.
pub(super) const WINDOW_BYTES: usize = 64;

const LANES: usize = 4;
const LANE_BYTES: usize = 4096;
/// What the lanes scan together; less than this is left to the plain scan.
pub(super) const BLOCK_BYTES: usize = LANES * LANE_BYTES;

/// Digests are kept shifted left as far as they go, so that the eight bits to reduce are the top byte.
const SHIFT: u32 = 64 - DEGREE;

/// A cut is where all of these bits are zero: one place in a million.
const CUT_MASK: u64 = ((1 << 20) - 1) << SHIFT;

/// What a byte does to the digest when it leaves it at the top, by reduction, or the window.
#[derive(Debug)]
pub(super) struct Tables {
    reduce: [u64; 256],
    leave: [u64; 256],
}

impl Tables {
    pub(super) fn new(polynomial: Polynomial) -> Self {
        let append_zero = |digest: u64| polynomial.remainder_of(digest << 8);
        let mut tables = Self { reduce: [0; 256], leave: [0; 256] };
        for (byte, (reduce, leave)) in (0u64..).zip(tables.reduce.iter_mut().zip(&mut tables.leave)) {
            *reduce = polynomial.remainder_of(byte << DEGREE) << SHIFT;
            *leave = (0..WINDOW_BYTES).fold(byte, |digest, _| append_zero(digest)) << SHIFT;
        }
        tables
    }

    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte is always within a table of 256")]
    fn append(&self, digest: u64, byte: u8) -> u64 {
        (digest << 8) ^ (u64::from(byte) << SHIFT) ^ self.reduce[(digest >> 56) as usize]
    }

    /// The digest of the window one byte further on.
    #[inline(always)]
    #[expect(clippy::indexing_slicing, reason = "a byte is always within a table of 256")]
    fn slide(&self, digest: u64, leaving: u8, entering: u8) -> u64 {
        self.append(digest, entering) ^ self.leave[usize::from(leaving)]
    }

    fn digest(&self, window: &[u8]) -> u64 {
        window.iter().fold(0, |digest, &byte| self.append(digest, byte))
    }
}

/// How many bytes follow the first [`WINDOW_BYTES`] of `data` before the first cut; none if there is no cut.
/// The window that ends where those first bytes end has been looked at before.
pub(super) fn first_cut(tables: &Tables, data: &[u8]) -> Option<usize> {
    let mut rest = data;
    let mut passed = 0;
    while let Some(block) = rest.first_chunk::<{ WINDOW_BYTES + BLOCK_BYTES }>() {
        if let Some(cut) = first_cut_in_block(tables, block) {
            return Some(passed + cut);
        }
        passed += BLOCK_BYTES;
        rest = rest.get(BLOCK_BYTES..)?;
    }
    first_cut_plain(tables, rest).map(|cut| passed + cut)
}

/// The same, one byte after the other.
pub(super) fn first_cut_plain(tables: &Tables, data: &[u8]) -> Option<usize> {
    let (window, _) = data.split_at_checked(WINDOW_BYTES)?;
    first_cut_from(tables, tables.digest(window), data)
}

fn first_cut_from(tables: &Tables, mut digest: u64, data: &[u8]) -> Option<usize> {
    let entering = data.iter().skip(WINDOW_BYTES);
    let at = data.iter().zip(entering).position(|(&leaving, &entering)| {
        digest = tables.slide(digest, leaving, entering);
        digest & CUT_MASK == 0
    });
    at.map(|at| at + 1)
}

#[expect(clippy::indexing_slicing, reason = "constant bounds, so that the compiler drops the checks")]
fn first_cut_in_block(tables: &Tables, block: &[u8; WINDOW_BYTES + BLOCK_BYTES]) -> Option<usize> {
    let mut digests: [u64; LANES] =
        std::array::from_fn(|lane| tables.digest(&block[lane * LANE_BYTES..][..WINDOW_BYTES]));
    for at in 0..LANE_BYTES {
        for (lane, digest) in digests.iter_mut().enumerate() {
            let place = lane * LANE_BYTES + at;
            *digest = tables.slide(*digest, block[place], block[place + WINDOW_BYTES]);
        }
        // Asked after the lanes have moved: in one go with them the compiler makes it a third slower.
        if digests.iter().any(|digest| digest & CUT_MASK == 0) {
            return earliest(tables, &digests, block, at);
        }
    }
    None
}

/// One lane has met a cut, but those before it may still meet an earlier one further on.
#[cold]
fn earliest(
    tables: &Tables,
    digests: &[u64; LANES],
    block: &[u8; WINDOW_BYTES + BLOCK_BYTES],
    at: usize,
) -> Option<usize> {
    digests.iter().enumerate().find_map(|(lane, &digest)| {
        let passed = lane * LANE_BYTES + at + 1;
        if digest & CUT_MASK == 0 {
            return Some(passed);
        }
        let rest = block.get(passed..(lane + 1) * LANE_BYTES + WINDOW_BYTES)?;
        first_cut_from(tables, digest, rest).map(|cut| passed + cut)
    })
}
