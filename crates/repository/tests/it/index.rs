//! Index files of the real restic say where its blobs are.

use std::collections::BTreeSet;
use std::fs;

use lifeboat_repository::blob::{BlobKind, BlobRef};
use lifeboat_repository::id::BlobId;
use lifeboat_repository::index::{Index, IndexFileBuilder, read_index_file};
use lifeboat_testkit::restic::Restic;

#[test]
fn index_files_written_by_restic_are_read() {
    let work = tempfile::tempdir().unwrap();
    let restic = Restic::init(work.path().join("repository"));
    let source = work.path().join("source");
    fs::create_dir(&source).unwrap();
    for number in 0..200 {
        fs::write(source.join(number.to_string()), format!("{number}\n").repeat(1000)).unwrap();
    }
    restic.backup(work.path(), ["source"]);
    fs::write(source.join("one more"), "of a second backup").unwrap();
    restic.backup(work.path(), ["source"]);

    let mut index = Index::new();
    let mut copy = IndexFileBuilder::new();
    let names = String::from_utf8(restic.run(["list", "index"])).unwrap();
    assert_eq!(names.lines().count(), 2);
    for name in names.lines() {
        let json = restic.cat("index", name);
        read_index_file(json.as_slice(), &mut |pack, blobs| {
            index.insert_pack(pack, blobs);
            copy.add_pack(pack, blobs);
        })
        .unwrap();
    }

    let listed = String::from_utf8(restic.run(["list", "blobs"])).unwrap();
    let theirs: BTreeSet<BlobRef> = listed
        .lines()
        .map(|line| {
            let (kind, id) = line.split_once(' ').unwrap();
            let kind = if kind == "tree" { BlobKind::Tree } else { BlobKind::Data };
            BlobRef { kind, id: id.parse::<BlobId>().unwrap() }
        })
        .collect();
    assert!(theirs.len() >= 201 + 4);
    assert_eq!(index.entries().map(|entry| entry.blob).collect::<BTreeSet<_>>(), theirs);
    for number in 0..index.pack_count() {
        let pack = index.pack(number).unwrap().to_string();
        let stored = restic.repository().join("data").join(&pack[..2]).join(&pack);
        let size = fs::metadata(stored).unwrap().len();
        let mut entries: Vec<_> = index.entries_of_pack(number).collect();
        entries.sort_unstable_by_key(|entry| entry.location.offset);
        let end = entries.iter().fold(0, |end, entry| {
            assert_eq!(entry.location.range().start, end, "blobs of a pack have no gaps");
            assert!(entry.location.uncompressed_length.is_some());
            entry.location.range().end
        });
        assert!(end < size && size < end + 36 + 41 * entries.len() as u64 + 1);
    }

    let mut again = Index::new();
    read_index_file(copy.encode().as_slice(), &mut |pack, blobs| again.insert_pack(pack, blobs)).unwrap();
    assert!(index.entries().eq(again.entries()));
}
