//! The chunker against a literal account of the format, the lanes against the plain scan.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static POLYNOMIAL: LazyLock<Polynomial> = LazyLock::new(|| "3da3358b4dc173".parse().unwrap());
static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::new(*POLYNOMIAL));
static CHUNKER: LazyLock<Chunker> = LazyLock::new(|| Chunker::new(*POLYNOMIAL));

/// Some windows that are a cut, beside the one of zeros.
static CUT_WINDOWS: LazyLock<Vec<[u8; WINDOW_BYTES]>> = LazyLock::new(|| {
    let noise = noise(1, 12 << 20);
    let mut windows = Vec::new();
    let mut start = 0;
    while let Some(cut) = scan::first_cut_plain(&TABLES, &noise[start..]) {
        windows.push(noise[start + cut..][..WINDOW_BYTES].try_into().unwrap());
        start += cut;
    }
    assert!(windows.len() >= 4, "12 MiB of noise hold about twelve cuts");
    windows
});

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The lengths of the chunks of `data`, as the description of restic's chunker tells it: a window that
/// starts with a one, 448 KiB and more of every chunk left out of it, every place tried in turn.
fn chunk_lengths_by_description(data: &[u8]) -> Vec<usize> {
    let polynomial = POLYNOMIAL.bits();
    let append = |mut digest: u64, byte: u8| {
        for bit in (0..8).rev() {
            digest = digest << 1 | u64::from(byte >> bit & 1);
            if digest >> 53 == 1 {
                digest ^= polynomial;
            }
        }
        digest
    };
    let leave: Vec<u64> = (0..=u8::MAX)
        .map(|byte| (0..WINDOW_BYTES - 1).fold(append(0, byte), |digest, _| append(digest, 0)))
        .collect();
    let mut lengths = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let mut window = [0; WINDOW_BYTES];
        window[0] = 1;
        let (mut digest, mut place) = (1, 1);
        let skipped = (MIN_CHUNK_BYTES - WINDOW_BYTES).min(rest.len());
        let mut length = skipped;
        for &byte in &rest[skipped..] {
            let leaving = std::mem::replace(&mut window[place % WINDOW_BYTES], byte);
            place += 1;
            digest = append(digest ^ leave[usize::from(leaving)], byte);
            length += 1;
            if length >= MIN_CHUNK_BYTES && (digest & 0xf_ffff == 0 || length >= MAX_CHUNK_BYTES) {
                break;
            }
        }
        lengths.push(length);
        rest = &rest[length..];
    }
    lengths
}

/// The lengths of chunks when `data` arrives in pieces of the given lengths, over and over.
fn chunk_lengths(data: &[u8], pieces: &[usize]) -> Vec<usize> {
    let mut chunker = CHUNKER.clone();
    let mut pieces = pieces.iter().cycle();
    let (mut start, mut end) = (0, 0);
    let mut lengths = Vec::new();
    loop {
        let is_end = end == data.len();
        match chunker.next_cut(&data[start..end], is_end) {
            Some(length) => {
                lengths.push(length);
                start += length;
            }
            None if is_end => return lengths,
            None => end = data.len().min(end + pieces.next().unwrap()),
        }
    }
}

fn stream_chunks(data: &[u8], expected_bytes: u64) -> Vec<Vec<u8>> {
    let mut stream = ChunkStream::new(CHUNKER.clone(), data, expected_bytes);
    let mut chunks = Vec::new();
    let mut buffer = b"left over from another file".to_vec();
    while stream.next_chunk(&mut buffer).unwrap() {
        chunks.push(buffer.clone());
    }
    assert!(buffer.is_empty());
    assert!(!stream.next_chunk(&mut buffer).unwrap());
    chunks
}

fn mixed_data() -> Vec<u8> {
    let mut data = noise(7, 9 << 20);
    data.extend(vec![0; 3 << 20]);
    data.extend(b"all work and no play\n".repeat(600_000)); // no cut for more than 8 MiB
    data.extend(noise(8, 700_000));
    data
}

#[test]
fn cuts_are_where_the_description_puts_them() {
    let data = mixed_data();
    let lengths = chunk_lengths_by_description(&data);
    assert!(lengths.contains(&MIN_CHUNK_BYTES) && lengths.contains(&MAX_CHUNK_BYTES), "{lengths:?}");
    assert_eq!(chunk_lengths(&data, &[data.len()]), lengths);
}

#[test]
fn zeros_are_cut_at_the_shortest_length() {
    let chunks = stream_chunks(&vec![0; 4 * MIN_CHUNK_BYTES], 0);
    let digest = "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541";
    assert_eq!(chunks.len(), 4);
    for chunk in chunks {
        assert_eq!(crate::id::BlobId::of(&chunk).to_string(), digest);
    }
}

#[test]
fn lengths_about_the_limits_are_cut_as_described() {
    for len in [0, 1, 63, 64, 65, MIN_CHUNK_BYTES - 1, MIN_CHUNK_BYTES, MIN_CHUNK_BYTES + 1] {
        for data in [vec![0; len], noise(3, len)] {
            assert_eq!(chunk_lengths(&data, &[4096]), chunk_lengths_by_description(&data), "{len}");
        }
    }
    for len in [MAX_CHUNK_BYTES - 1, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES + 1] {
        let expected = if len > MAX_CHUNK_BYTES { vec![MAX_CHUNK_BYTES, 1] } else { vec![len] };
        assert_eq!(chunk_lengths(&vec![1; len], &[1 << 20]), expected);
    }
}

#[test]
fn a_stream_cuts_like_the_chunker_whatever_size_it_was_told() {
    let data = mixed_data();
    let lengths = chunk_lengths(&data, &[data.len()]);
    for expected_bytes in [0, 1, data.len() as u64, u64::MAX] {
        let chunks = stream_chunks(&data, expected_bytes);
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
        assert!(chunks.concat() == data);
    }
}

#[test]
fn a_stream_takes_short_reads_and_interruptions_and_reports_errors() {
    struct Choppy<'a>(&'a [u8], usize);
    impl Read for Choppy<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 += 1;
            match self.1 {
                call if call % 3 == 0 => Err(io::ErrorKind::Interrupted.into()),
                _ if self.0.is_empty() => Err(io::Error::other("the disk is gone")),
                call => self.0.read(&mut buffer[..1 + call % 509]),
            }
        }
    }
    let data = noise(5, 700_000);
    let mut stream = ChunkStream::new(CHUNKER.clone(), Choppy(&data, 0), data.len() as u64);
    let mut buffer = Vec::new();
    let error = stream.next_chunk(&mut buffer).unwrap_err();
    assert_eq!(error.to_string(), "the disk is gone");
    assert!(buffer == data);
}

#[test]
fn one_chunker_serves_file_after_file() {
    let mut chunker = CHUNKER.clone();
    let data = noise(9, 3 << 20);
    assert_eq!(chunker.next_cut(&data[..600_000], false), None);
    let again = ChunkStream::new(chunker, &data[..], 0).next_chunk(&mut Vec::new());
    assert!(again.unwrap());
    assert_eq!(chunk_lengths(&data, &[1 << 20]), chunk_lengths_by_description(&data));
}

fn planted() -> impl Strategy<Value = Vec<u8>> {
    let plants = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6);
    let byte_masks = prop::sample::select(vec![0xffu8, 0x01, 0x11, 0x00]);
    (any::<u64>(), 0usize..70_000, byte_masks, plants).prop_map(|(seed, len, byte_mask, plants)| {
        let mut data = noise(seed, len);
        data.iter_mut().for_each(|byte| *byte = *byte & byte_mask | u8::from(byte_mask == 0));
        for (at, which) in plants {
            if len > WINDOW_BYTES {
                let at = at.index(len - WINDOW_BYTES);
                data[at..at + WINDOW_BYTES].copy_from_slice(which.get::<[u8; WINDOW_BYTES]>(&CUT_WINDOWS));
            }
        }
        data
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn lanes_find_the_cut_that_the_plain_scan_finds(data in planted()) {
        prop_assert_eq!(scan::first_cut(&TABLES, &data), scan::first_cut_plain(&TABLES, &data));
    }

    #[test]
    fn pieces_do_not_move_the_cuts(
        tail in planted(),
        seed in any::<u64>(),
        pieces in prop::collection::vec(1usize..300_000, 1..8),
    ) {
        let mut data = noise(seed, MIN_CHUNK_BYTES - 1000);
        data.extend(&tail);
        data.extend(noise(seed, MIN_CHUNK_BYTES));
        data.extend(&tail);
        prop_assert_eq!(chunk_lengths(&data, &pieces), chunk_lengths(&data, &[data.len()]));
    }
}

#[test]
fn a_cut_is_found_on_either_side_of_every_lane_border() {
    let quiet = vec![1; WINDOW_BYTES + 2 * 16_384 + 100];
    assert_eq!(scan::first_cut_plain(&TABLES, &quiet), None);
    for border in (0..=8).map(|lane| lane * 4096) {
        for passed in border.max(1) - border.min(1)..=border + 66 {
            let mut data = quiet.clone();
            if passed + WINDOW_BYTES <= data.len() && passed > 0 {
                data[passed..passed + WINDOW_BYTES].copy_from_slice(&CUT_WINDOWS[0]);
                assert_eq!(scan::first_cut(&TABLES, &data), Some(passed));
            }
        }
    }
}

#[test]
fn the_earliest_of_several_cuts_wins_across_lanes() {
    for (first, second) in [(4000, 4200), (4000, 8192), (100, 4196), (4095, 4196), (9000, 12_400)] {
        let mut data = vec![1; WINDOW_BYTES + 16_384];
        for passed in [first, second] {
            data[passed..passed + WINDOW_BYTES].copy_from_slice(&CUT_WINDOWS[1]);
        }
        assert_eq!(scan::first_cut(&TABLES, &data), Some(first));
    }
}
