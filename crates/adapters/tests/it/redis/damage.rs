//! RDBs that Redis did not write like that.

use lifeboat_adapters::redis::rdb::{Crc64, Parser, RdbErrorKind};
use lifeboat_adapters::redis::{RdbSummary, RedisError, RedisErrorKind, survey};
use lifeboat_repository::Ctx;
use lifeboat_testkit::redis::Redis;
use proptest::prelude::*;

use super::{fill, take};

fn parse(rdb: &[u8]) -> Result<RdbSummary, RedisError> {
    survey(rdb, &Ctx::default())
}

/// An RDB of version 10 with a right checksum.
pub(crate) fn rdb(content: &[u8]) -> Vec<u8> {
    let mut rdb = [b"REDIS0010", content, &[255]].concat();
    rdb.extend_from_slice(&Crc64::of(&rdb).to_le_bytes());
    rdb
}

fn real() -> Vec<u8> {
    let redis = Redis::start(&[]);
    fill(&mut redis.client());
    take(&redis.url()).unwrap().0
}

#[test]
fn an_rdb_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let rdb = real();
    let ends = (0..200).chain((200..rdb.len()).step_by(97)).chain(rdb.len() - 20..rdb.len());
    for end in ends {
        let error = parse(&rdb[..end]).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::Damaged, "{end}: {error}");
        assert!(error.to_string().contains("of the RDB"), "{error}");
    }
    parse(&rdb).unwrap();
}

#[test]
fn an_rdb_with_a_flipped_bit_is_refused_wherever_it_is() {
    let rdb = real();
    for at in (0..200).chain((200..rdb.len()).step_by(61)).chain(rdb.len() - 20..rdb.len()) {
        let mut flipped = rdb.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = parse(&flipped).unwrap_err();
        let kinds = [RedisErrorKind::Damaged, RedisErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind), "{at}: {error}");
    }
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let rdb = [&rdb(b"")[..], b"x"].concat();
    assert!(parse(&rdb).unwrap_err().to_string().contains("something follows the end"));
}

/// The number that stands for a module type: nine letters of six bits, and a version.
pub(crate) fn module(name: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = name.chars().fold(0_u64, |id, letter| id << 6 | LETTERS.find(letter).unwrap() as u64);
    [&[0x81][..], &(id << 10 | 3).to_be_bytes()].concat()
}

#[test]
fn data_of_a_module_is_refused_by_the_name_of_the_module() {
    let value = [&[7, 3][..], b"key", &module("ReJSON-RL")].concat();
    let beside = [&[247][..], &module("ft_index0")].concat();
    for (content, name) in [(value, "ReJSON-RL"), (beside, "ft_index0")] {
        let error = parse(&rdb(&content)).unwrap_err();
        assert_eq!(error.kind, RedisErrorKind::Unsupported);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn what_redis_does_not_write_is_refused_with_its_offset() {
    for (content, says) in [
        (&[99][..], "the unknown type 99 of a value at byte 10"),
        (&[0, 0x82], "is not a length at byte 11"),
        (&[250, 0xc9], "unknown encoding 9 at byte 11"),
        (&[0, 0x81, 255, 255, 255, 255, 255, 255, 255, 255], "more than the 16777216 that can be handled"),
        (&[246], "release candidate"),
    ] {
        let error = parse(&rdb(content)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn hashes_with_fields_that_expire_are_read() {
    let millis = 1_900_000_000_000_u64.to_le_bytes();
    let hash = [&[24, 1, b'h'][..], &millis, &[2, 0, 1, b'a', 1, b'1', 7, 1, b'b', 1, b'2']].concat();
    let packed = [&[25, 1, b'p'][..], &millis, &[7, 0, 0, 0, 0, 0, 0, 0xff]].concat();
    assert_eq!(parse(&rdb(&[hash, packed].concat())).unwrap().keys, 2);
}

/// Hostile lengths are among what is tried.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        2 => (0_u8..26).prop_map(|kind| vec![kind, 1, b'k']),
        1 => Just(vec![0x81, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
        1 => Just(vec![0xc3, 5, 0x81, 0, 0, 255, 255, 255, 255, 255, 255]),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_never_both_ways(content in soup()) {
        let rdb = rdb(&content);
        let first = parse(&rdb).map_err(|error| error.to_string());
        prop_assert_eq!(&first, &parse(&rdb).map_err(|error| error.to_string()));
        // Captured, a value ends where it ends when it is skipped.
        let mut parser = Parser::new(&rdb[..]).unwrap();
        let captured = loop {
            match parser.next_item() {
                Ok(Some(_)) => {
                    if let Err(error) = parser.capture_value(8) {
                        break Err(error);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        prop_assert!(!matches!(&captured, Err(error) if error.kind == RdbErrorKind::Long));
        prop_assert_eq!(captured.map_err(|error| error.to_string()), first.map(drop));
        lifeboat_testkit::fuzz::rdb(&rdb);
    }

    #[test]
    fn what_lies_within_a_value_is_read_or_refused(
        nth in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/corpus/rdb");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        let mut rdb = std::fs::read(nth.get(&files)).unwrap();
        for (at, byte) in changes {
            let at = at.index(rdb.len());
            rdb[at] = byte;
        }
        lifeboat_testkit::fuzz::rdb(&rdb);
    }
}
