//! Snapshots that restic wrote, read and written again: the same text.

use std::fs;

use lifeboat_repository::snapshot::SnapshotFile;
use lifeboat_testkit::restic::Restic;

/// `json` without the white space between its tokens.
fn compact(json: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    let keep = |char: &char| {
        is_string ^= *char == '"' && !is_escaped;
        is_escaped = *char == '\\' && !is_escaped;
        is_string || !char.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[test]
fn snapshots_are_written_as_restic_writes_them() {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("fol<der> &\u{2028}\"é");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "content").unwrap();
    let restic = Restic::init(work.path().join("repository")).in_zone("Asia/Kathmandu");
    restic.backup(work.path(), [&folder]);
    restic.run_in(
        &folder,
        [
            "backup",
            ".",
            "--tag=a,<b>",
            "--host=h\u{1}",
            "--exclude=*.o",
            "--time=2024-02-29 01:02:03",
            "--force",
        ],
    );
    let list: Vec<serde_json::Value> = serde_json::from_str(&restic.snapshots()).unwrap();
    assert_eq!(list.len(), 2);
    for snapshot in &list {
        let id = snapshot["id"].as_str().unwrap();
        let text = String::from_utf8(restic.cat("snapshot", id)).unwrap();
        let read = SnapshotFile::parse(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(read.to_json()).unwrap(), compact(&text));
        assert!(read.time.as_str().ends_with("+05:45"), "{}", read.time);
        assert!(read.unknown.is_empty(), "{:?}", read.unknown);
    }
}
