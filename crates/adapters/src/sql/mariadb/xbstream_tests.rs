//! The format by hand, what `mariadb-backup` does not write, and bytes that are no stream at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn head(letter: u8, flags: u8, path: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend([flags, letter]);
    bytes.extend(u32::try_from(path.len()).unwrap().to_le_bytes());
    bytes.extend(path.as_bytes());
    bytes
}

fn payload(path: &str, offset: u64, content: &[u8], flags: u8) -> Vec<u8> {
    let mut bytes = head(b'P', flags, path);
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend(crc32fast::hash(content).to_le_bytes());
    bytes.extend(content);
    bytes
}

fn rename(path: &str, to: &str) -> Vec<u8> {
    let mut bytes = head(b'R', 0, path);
    bytes.extend(u32::try_from(to.len()).unwrap().to_le_bytes());
    bytes.extend(to.as_bytes());
    bytes
}

/// All pieces as text, or why there are no more.
fn taken(stream: &[u8]) -> Result<Vec<String>, StreamError> {
    let mut pieces = Pieces::new(stream);
    let mut texts = Vec::new();
    while let Some(piece) = pieces.piece()? {
        texts.push(format!("{piece:?}"));
    }
    Ok(texts)
}

#[test]
fn each_kind_of_piece_is_taken_apart() {
    let seek = [head(b'S', 0, "log"), 7_u64.to_le_bytes().to_vec()].concat();
    let stream = [
        payload("./a/x.ibd", 0, b"hello", 0),
        payload("a/x.MYD", 3, b"", 2),
        head(b'E', 0, "a/x.ibd"),
        seek,
        head(b'D', 0, "a/x#P#*"),
        rename("a/x", "b/y"),
    ]
    .concat();
    let mut pieces = Pieces::new(stream.as_slice());
    for wanted in [
        Piece::Bytes { path: "a/x.ibd", offset: 0, bytes: b"hello", replaces: false },
        Piece::Bytes { path: "a/x.MYD", offset: 3, bytes: b"", replaces: true },
        Piece::End { path: "a/x.ibd" },
        Piece::Seek { path: "log", offset: 7 },
        Piece::Remove { path: "a/x#P#*" },
        Piece::Rename { path: "a/x", to: "b/y" },
    ] {
        assert_eq!(pieces.piece().unwrap(), Some(wanted));
    }
    assert_eq!(pieces.piece().unwrap(), None);
}

#[test]
fn a_stream_that_is_cut_anywhere_is_refused() {
    let stream = [payload("a/x", 0, b"hello", 0), head(b'E', 0, "a/x")].concat();
    let first = payload("a/x", 0, b"hello", 0).len();
    for end in 1..stream.len() {
        let result = taken(&stream[..end]);
        assert_eq!(result.is_ok(), end == first, "cut after {end} bytes: {result:?}");
    }
}

#[test]
fn a_wrong_bit_in_the_bytes_of_a_file_is_found() {
    let mut stream = payload("a/x", 0, b"hello", 0);
    *stream.last_mut().unwrap() ^= 1;
    assert!(matches!(taken(&stream), Err(StreamError::Checksum { .. })));
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a//x", "a/./x", "a/", "..", "a\0b", "*"] {
        for letter in *b"PESDR" {
            let stream = match letter {
                b'P' => payload(path, 0, b"", 0),
                b'S' => [head(b'S', 0, path), vec![0; 8]].concat(),
                b'R' => rename("a", path),
                _ => head(letter, 0, path),
            };
            let is_named = path == "*" && letter != b'D';
            assert_eq!(taken(&stream).is_ok(), is_named, "{path:?} in {}", char::from(letter));
        }
    }
}

#[test]
fn what_nobody_wrote_is_refused() {
    let long = "x".repeat(600);
    let mut huge = head(b'P', 0, "a");
    huge.extend(u64::MAX.to_le_bytes());
    huge.extend([0; 12]);
    let far = payload("a", u64::MAX, b"x", 0);
    for stream in [
        b"XBSTCK02".to_vec(),
        head(b'Q', 0, "a"),
        head(b'E', 1, "a"),
        head(b'E', 2, "a"),
        head(b'E', 0, &long),
        huge,
        far,
    ] {
        assert!(taken(&stream).is_err(), "{stream:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall_over(bytes in vec(any::<u8>(), 0..400)) {
        let behind_magic = [head(b'P', 0, "a"), bytes.clone()].concat();
        prop_assert!(taken(&behind_magic).map_or(true, |taken| !taken.is_empty()));
        prop_assert!(bytes.is_empty() || bytes.starts_with(MAGIC) || taken(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_never_yields_other_content(
        content in vec(any::<u8>(), 1..64), at in any::<prop::sample::Index>(), with in 1_u8..
    ) {
        let mut stream = payload("a", 0, &content, 0);
        let from = stream.len() - content.len();
        let at = from + at.index(content.len());
        stream[at] ^= with;
        prop_assert!(taken(&stream).is_err());
    }
}
