//! What fuzzing runs: one function for each parser of foreign bytes, which panics if the parser breaks a promise.
//!
//! The targets in `fuzz/` of a crate and the replay of its `tests/fixtures/corpus/` share them, so that what a long run
//! finds stays found.

use std::io::Read;
use std::path::{Component, Path};

use jiff::tz::TimeZone;
use lifeboat_adapters::redis::{Version, rehearse, survey};
use lifeboat_adapters::sql::mariadb::xbstream::{Piece, Pieces};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;
use lifeboat_repository::Ctx;
use lifeboat_repository::config::Config;
use lifeboat_repository::id::{Id, LockId};
use lifeboat_repository::index::{Index, IndexFileBuilder, read_index_file};
use lifeboat_repository::key::KeyFile;
use lifeboat_repository::lock::LockFile;
use lifeboat_repository::pack::{header_bytes, parse_header};
use lifeboat_repository::pattern::{Case, PatternList};
use lifeboat_repository::repository::unframe;
use lifeboat_repository::snapshot::SnapshotFile;
use lifeboat_repository::tree::{Node, TreeEncoder, ZoneOffsets, parse_nodes};

/// Any bytes as a tree. What can be parsed and encoded encodes the same when parsed again.
pub fn tree(bytes: &[u8]) {
    let Ok(nodes) = parse_nodes(bytes).collect::<Result<Vec<_>, _>>() else { return };
    if let Some(tree) = encode(&nodes) {
        let again: Vec<_> = parse_nodes(&tree[..]).collect::<Result<_, _>>().expect("our trees are trees");
        assert_eq!(again.len(), nodes.len());
        assert_eq!(encode(&again), Some(tree));
    }
}

/// `None` for nodes out of order, which foreign trees may have and ours may not.
fn encode(nodes: &[Node]) -> Option<Vec<u8>> {
    let zone = ZoneOffsets::new(&TimeZone::UTC);
    let mut encoder = TreeEncoder::new(Vec::new(), &zone);
    nodes.iter().try_for_each(|node| encoder.push(node)).ok()?;
    encoder.finish().ok()
}

/// Any bytes as a snapshot file. What can be parsed is the same after writing.
pub fn snapshot(bytes: &[u8]) {
    let Ok(snapshot) = SnapshotFile::parse(bytes) else { return };
    let again = SnapshotFile::parse(&snapshot.to_json()).expect("our snapshots are snapshots");
    assert_eq!(again, snapshot);
}

/// Any bytes as an index file. What can be parsed is the same after writing, and is found in an index.
pub fn index(bytes: &[u8]) {
    let mut packs = Vec::new();
    if read_index_file(bytes, &mut |pack, blobs| packs.push((pack, blobs.to_vec()))).is_err() {
        return;
    }
    let (mut file, mut index) = (IndexFileBuilder::new(), Index::new());
    for (pack, blobs) in &packs {
        file.add_pack(*pack, blobs);
        index.insert_pack(*pack, blobs);
    }
    let mut again = Vec::new();
    read_index_file(&file.encode()[..], &mut |pack, blobs| again.push((pack, blobs.to_vec())))
        .expect("our index files are index files");
    assert_eq!(again, packs);
    for (pack, blobs) in &packs {
        assert!(blobs.iter().all(|packed| index.get_all(packed.blob).any(|place| place.pack == *pack)));
    }
}

/// Any bytes as the plaintext of a pack header. Blobs lie one behind the other from the start.
pub fn pack_header(bytes: &[u8]) {
    let Ok(blobs) = parse_header(bytes) else { return };
    let mut offset = 0;
    for packed in &blobs {
        assert_eq!(packed.offset, offset);
        offset += packed.length;
    }
    assert_eq!(header_bytes(blobs) - header_bytes([]), bytes.len() as u64);
}

/// Any bytes as a key file. What can be parsed is the same after writing.
pub fn key(bytes: &[u8]) {
    let Ok(key) = KeyFile::parse(bytes) else { return };
    let json = key.to_json();
    assert_eq!(KeyFile::parse(&json).expect("our key files are key files").to_json(), json);
}

/// Any bytes as a config file.
pub fn config(bytes: &[u8]) {
    let Ok(config) = serde_json::from_slice::<Config>(bytes) else { return };
    let json = serde_json::to_vec(&config).expect("ids and numbers become JSON");
    assert_eq!(serde_json::from_slice::<Config>(&json).expect("our configs are configs"), config);
}

/// Any bytes as a lock file, which must be fit to be shown to people.
pub fn lock(bytes: &[u8]) {
    let id = LockId::new(Id::of(bytes));
    if let Ok(lock) = LockFile::decode(id, bytes) {
        assert!(!lock.describe(jiff::Timestamp::UNIX_EPOCH).is_empty());
    }
}

/// Any bytes as an opened file, bare or compressed; reading it ends.
pub fn frame(bytes: &[u8]) {
    if let Ok(content) = unframe(bytes.to_vec()) {
        let mut plain = Vec::new();
        // An error is as good as an end.
        let read = content.take(1 << 20).read_to_end(&mut plain);
        assert!(read.is_err() || plain.len() <= 1 << 20);
    }
}

/// Any bytes as an RDB. What can be replayed element by element can be parsed.
pub fn rdb(bytes: &[u8]) {
    let ctx = Ctx::default();
    let surveyed = survey(bytes, &ctx);
    let version = Version::parse("7.4.0").expect("it is supported");
    if rehearse(bytes, &version, &ctx).is_ok() {
        surveyed.expect("more than this was read");
    }
}

/// Any bytes as the stream of `mariadb-backup`. What is taken was all there and stays below its folder.
pub fn xbstream(bytes: &[u8]) {
    let mut pieces = Pieces::new(bytes);
    let mut taken = 0;
    while let Ok(Some(piece)) = pieces.piece() {
        let path = match piece {
            Piece::Bytes { path, bytes, .. } => {
                taken += bytes.len();
                path
            }
            Piece::Rename { path, to } => {
                assert!(is_below(to), "{to:?}");
                path
            }
            Piece::End { path } | Piece::Seek { path, .. } => path,
            Piece::Remove { path } => path.strip_suffix('*').unwrap_or(path),
        };
        assert!(is_below(path), "{path:?}");
    }
    assert!(taken <= bytes.len());
}

fn is_below(path: &str) -> bool {
    let parts = Path::new(path).components();
    !path.is_empty() && parts.into_iter().all(|part| matches!(part, Component::Normal(_)))
}

/// Any lines as patterns, matched against the rest of the lines as paths.
pub fn pattern(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return };
    let Ok(patterns) = PatternList::parse([first], Case::Sensitive) else { return };
    for path in lines {
        let may_match_below = patterns.may_match_below(path);
        let child = [path, b"/child"].concat();
        assert!(may_match_below || !patterns.matches(&child) || patterns.matches(path));
    }
}

/// Any text as a schedule. One that is taken is the same when written, and its runs lie ahead, in order, wherever the
/// clock is and whatever daylight saving does.
pub fn schedule(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(schedule) = text.parse::<Schedule>() else { return };
    assert_eq!(schedule.to_string().parse(), Ok(schedule.clone()));
    for rule in ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"] {
        let zone = TimeZone::posix(rule).expect("these are rules");
        // In the nights of two changes of the clock, and at the ends of time.
        for now in [i64::MIN, 0, 1_711_846_799_999, 1_729_989_000_000, 64_000_000_000_000, i64::MAX] {
            let mut now = Millis(now);
            for _ in 0..3 {
                let Some(next) = schedule.next_after(now, &zone) else { break };
                assert!(next > now, "{text}: {next:?} after {now:?}");
                assert_eq!(schedule.next_after(next.plus(-1), &zone), Some(next), "{text}");
                now = next;
            }
        }
    }
}
