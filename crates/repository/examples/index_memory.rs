//! How much memory the index takes, growth peaks included, and how fast it is: run it in release.
//!
//! `index_memory [BLOBS]` inserts so many made-up blobs, ten million unless told, sixteen to a pack.

#![expect(clippy::print_stdout, reason = "printing figures is all it does")]

use std::time::Instant;

use lifeboat_repository::blob::{BlobKind, BlobRef, PackedBlob};
use lifeboat_repository::id::{BlobId, Id, PackId};
use lifeboat_repository::index::Index;

const BLOBS_PER_PACK: u64 = 16;

fn main() {
    let blobs = std::env::args().nth(1).map_or(10_000_000, |blobs| blobs.parse().expect("a number of blobs"));
    let packs = blobs / BLOBS_PER_PACK;
    let blobs = packs * BLOBS_PER_PACK;
    let before = memory_bytes();

    let mut index = Index::new();
    let start = Instant::now();
    for number in 0..packs {
        let blobs: [PackedBlob; 16] = std::array::from_fn(|at| {
            let offset = u32::try_from(at).expect("sixteen is a small number") * 1_000_000;
            let blob = blob(number * BLOBS_PER_PACK + at as u64);
            PackedBlob { blob, offset, length: 1_000_000, uncompressed_length: 2_000_000.try_into().ok() }
        });
        index.insert_pack(PackId::new(name(number, 1)), &blobs);
    }
    let insert = start.elapsed();
    let after = memory_bytes();

    let start = Instant::now();
    let found = (0..blobs).filter(|number| index.contains(blob(number.wrapping_mul(7919) % blobs))).count();
    let lookup = start.elapsed();
    let start = Instant::now();
    let absent = (blobs..2 * blobs).filter(|number| !index.contains(blob(*number))).count();
    let miss = start.elapsed();
    assert_eq!((found as u64, absent as u64), (blobs, blobs), "the index lost or made up blobs");

    let per_blob = |bytes: u64| bytes as f64 / blobs as f64;
    let nanoseconds = |time: std::time::Duration| time.as_nanos() / u128::from(blobs);
    println!("{blobs} blobs in {packs} packs");
    println!("resident: {:.2} bytes per blob", per_blob(after.resident - before.resident));
    println!("peak:     {:.2} bytes per blob", per_blob(after.peak - before.resident));
    println!("insert:   {} ns per blob", nanoseconds(insert));
    println!("lookup:   {} ns when present, {} ns when not", nanoseconds(lookup), nanoseconds(miss));
}

fn blob(number: u64) -> BlobRef {
    BlobRef { kind: BlobKind::Data, id: BlobId::new(name(number, 0)) }
}

/// A name as random as a digest, but cheaper to make.
fn name(number: u64, salt: u64) -> Id {
    let mut bytes = [0; 32];
    let mut state = number.wrapping_mul(2).wrapping_add(salt);
    for part in bytes.chunks_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
    }
    Id::from_bytes(bytes)
}

struct Memory {
    resident: u64,
    peak: u64,
}

fn memory_bytes() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells about its processes");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kilobytes") * 1024
    };
    Memory { resident: field("VmRSS:"), peak: field("VmHWM:") }
}
