//! Our cuts are those of the real restic.

use std::fs;

use lifeboat_repository::chunker::{ChunkStream, Chunker, Polynomial};
use lifeboat_repository::id::BlobId;
use lifeboat_testkit::restic::Restic;

fn noise(mut state: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state ^ state >> 29).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let mut text = (0u32..).flat_map(|line| format!("{line}: all work and no play\n").into_bytes());
    text.by_ref().take(len).collect()
}

#[test]
fn restic_cuts_the_same_chunks() {
    let work = tempfile::tempdir().unwrap();
    let restic = Restic::init(work.path().join("repository"));
    let mixed = [noise(1, 24 << 20), vec![0; 3 << 20], text(4 << 20), vec![7; 9 << 20], noise(2, 12_345)];
    let files = [
        ("mixed", mixed.concat()),
        ("small", noise(3, 5000)),
        ("shortest", noise(4, 512 << 10)),
        ("longest", vec![9; 8 << 20]),
    ];
    let source = work.path().join("source");
    fs::create_dir(&source).unwrap();
    for (name, content) in &files {
        fs::write(source.join(name), content).unwrap();
    }
    restic.backup(work.path(), ["source"]);

    let json = |printed: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&printed).unwrap();
    let config = json(restic.run(["cat", "config"]));
    let polynomial: Polynomial = serde_json::from_value(config["chunker_polynomial"].clone()).unwrap();
    let chunker = Chunker::new(polynomial);
    let snapshots = json(restic.snapshots().into_bytes());
    let root = json(restic.cat("blob", snapshots[0]["tree"].as_str().unwrap()));
    let tree = json(restic.cat("blob", root["nodes"][0]["subtree"].as_str().unwrap()));
    let nodes = tree["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), files.len());
    for (name, content) in &files {
        let node = nodes.iter().find(|node| node["name"] == *name).unwrap();
        let theirs: Vec<BlobId> = serde_json::from_value(node["content"].clone()).unwrap();
        let mut ours = Vec::new();
        let mut stream = ChunkStream::new(chunker.clone(), content.as_slice(), content.len() as u64);
        let mut chunk = Vec::new();
        while stream.next_chunk(&mut chunk).unwrap() {
            ours.push(BlobId::of(&chunk));
        }
        assert_eq!(ours, theirs, "{name}");
    }
}
