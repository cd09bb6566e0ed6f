//! What the source says of files, compared with what restic says of the same files.

use std::fs;
use std::path::Path;

use lifeboat_repository::source::Entry;
use lifeboat_repository::tree::{Node, NodeKind, TreeEncoder, ZoneOffsets, parse_nodes};
use lifeboat_testkit::tree::{TreeOptions, build};

use super::layout::restic;
use super::{open, walk, walk_roots};

/// The nodes of a restic tree, with all trees below it, depth first.
fn nodes_by_restic(vault: &Path, tree: &str) -> Vec<Node> {
    let blob = restic(vault, Path::new("/"), &["cat", "blob", tree]);
    let mut nodes = Vec::new();
    for node in parse_nodes(blob.as_slice()) {
        let node = node.unwrap();
        let subtree = node.subtree;
        nodes.push(node);
        if let Some(subtree) = subtree {
            nodes.extend(nodes_by_restic(vault, &subtree.to_string()));
        }
    }
    nodes
}

fn complete(entry: &Entry) -> Node {
    let mut node = entry.node.clone();
    entry.access.complete(&mut node).unwrap();
    node
}

#[test]
fn nodes_say_what_restic_says_of_the_same_files() {
    let (ground, vault) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(ground.path().join("tree")).unwrap();
    let options =
        TreeOptions { largest_file_bytes: 100_000, entries: 60, sockets: true, ..Default::default() };
    build(&ground.path().join("tree"), 3, &options);
    restic(vault.path(), ground.path(), &["init"]);
    restic(vault.path(), ground.path(), &["backup", "tree"]);
    let snapshots = restic(vault.path(), ground.path(), &["snapshots", "--json"]);
    let snapshots = String::from_utf8(snapshots).unwrap();
    let tree = snapshots.split("\"tree\":\"").nth(1).unwrap().split('"').next().unwrap();
    let theirs = nodes_by_restic(vault.path(), tree);
    let walked = walk_roots(&["tree"], ground.path());
    assert_eq!(walked.error_lines(), [""; 0]);
    assert_eq!(walked.entries.len(), theirs.len());
    assert!(theirs.iter().any(|node| !node.extended_attributes.is_empty()));
    for (entry, theirs) in walked.entries.iter().zip(theirs) {
        let mut ours = complete(entry);
        (ours.content, ours.subtree) = (theirs.content.clone(), theirs.subtree);
        let line = |node: &Node| {
            let zone = ZoneOffsets::new(&jiff::tz::TimeZone::UTC);
            let mut tree = TreeEncoder::new(Vec::new(), &zone);
            tree.push(node).unwrap();
            String::from_utf8_lossy(&tree.finish().unwrap()).into_owned()
        };
        assert_eq!(line(&ours), line(&theirs), "{}", entry.path.display());
        assert_eq!(ours, theirs, "{}", entry.path.display());
    }
}

#[test]
fn access_times_are_kept_only_on_request() {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let ground = tempfile::tempdir().unwrap();
    let file = ground.path().join("file");
    fs::write(&file, "content").unwrap();
    let at = |tv_sec| Timespec { tv_sec, tv_nsec: 5 };
    let times = Timestamps { last_access: at(-20), last_modification: at(-10) };
    utimensat(CWD, &file, &times, AtFlags::empty()).unwrap();
    for (with_atime, seconds) in [(false, -10), (true, -20)] {
        let options = super::FilesOptions { with_atime, ..Default::default() };
        let walked = walk(open(&["file"], ground.path(), options));
        let node = &walked.entry("file").node;
        assert_eq!((node.atime.seconds, node.atime.nanoseconds), (seconds, 5));
        assert_eq!(node.mtime.seconds, -10);
    }
}

#[test]
fn a_root_renamed_in_the_snapshot_is_opened_by_its_own_name() {
    let ground = tempfile::tempdir().unwrap();
    super::write(ground.path(), &["file", "work/file"]);
    let walked = walk_roots(&["file", "../file"], &ground.path().join("work"));
    let renamed = walked.entry("../file");
    assert_eq!(renamed.node.name, b"file-1");
    assert_eq!(super::content(renamed), b"file");
    assert_eq!(renamed.access.open().unwrap().node().unwrap(), renamed.node);
}

#[test]
fn the_node_of_an_open_file_is_the_file_of_now() {
    let ground = tempfile::tempdir().unwrap();
    super::write(ground.path(), &["file"]);
    let walked = walk_roots(&["file"], ground.path());
    let entry = walked.entry("file");
    fs::write(ground.path().join("file"), "longer than before").unwrap();
    let node = entry.access.open().unwrap().node().unwrap();
    assert_eq!((node.size, &node.kind, node.name.as_slice()), (18, &NodeKind::File, b"file".as_slice()));
    assert_ne!(node.size, entry.node.size);
}

#[test]
fn reading_does_not_touch_access_times() {
    use std::os::unix::fs::MetadataExt;
    let ground = tempfile::tempdir().unwrap();
    super::write(ground.path(), &["folder/file"]);
    let times =
        || ["folder", "folder/file"].map(|path| fs::metadata(ground.path().join(path)).unwrap().atime_nsec());
    let before = times();
    let walked = walk_roots(&["folder"], ground.path());
    assert_eq!(super::content(walked.entry("folder/file")), b"folder/file");
    assert_eq!(times(), before);
}
