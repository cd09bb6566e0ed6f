//! What fuzzing runs: one function for each parser of foreign bytes, which panics if the parser breaks a promise.
//!
//! The targets in `crates/repository/fuzz/` and the replay of `crates/repository/tests/fixtures/corpus/` share
//! them, so that what a long run finds stays found.

use jiff::tz::TimeZone;
use lifeboat_repository::index::{Index, IndexFileBuilder, read_index_file};
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
