//! Trees that restic wrote, taken apart and put together again: not one byte may differ.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use jiff::tz::TimeZone;
use lifeboat_repository::id::Id;
use lifeboat_repository::tree::{Node, NodeTime, TreeEncoder, ZoneOffsets, parse_nodes};
use lifeboat_testkit::restic::Restic;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

/// Backs `folder` up and hands out the id of its tree.
fn backed_up(restic: &Restic, folder: &Path) -> Id {
    restic.backup(folder, ["."]);
    let snapshots: serde_json::Value = serde_json::from_str(&restic.snapshots()).expect("snapshots are JSON");
    let tree = snapshots.as_array().and_then(|all| all.last()?.get("tree")?.as_str()?.parse().ok());
    tree.expect("snapshots have trees")
}

fn nodes_of(tree: &[u8]) -> Vec<Node> {
    parse_nodes(tree).collect::<Result<_, _>>().expect("restic writes trees that we read")
}

fn encoded(nodes: &[Node], zone: &str) -> Vec<u8> {
    let zone = ZoneOffsets::new(&TimeZone::get(zone).expect("the zone is in the database"));
    let mut encoder = TreeEncoder::new(Vec::new(), &zone);
    nodes.iter().for_each(|node| encoder.push(node).expect("restic orders nodes as we do"));
    encoder.finish().expect("memory takes everything")
}

fn assert_same(ours: &[u8], theirs: &[u8]) {
    assert_eq!(String::from_utf8_lossy(ours), String::from_utf8_lossy(theirs));
    assert_eq!(ours, theirs);
}

/// Backs `folder` up, checks the tree of every folder in it, and hands out the nodes of the first.
fn trees_agree(folder: &Path) -> Vec<Node> {
    let work = tempfile::tempdir().expect("temporary folders can be made");
    let restic = Restic::init(work.path().join("repository")).in_zone("Europe/Berlin");
    let root = backed_up(&restic, folder);
    let (first, mut trees) = (nodes_of(&restic.blob(root)), vec![root]);
    while let Some(tree) = trees.pop() {
        let blob = restic.blob(tree);
        let nodes = nodes_of(&blob);
        assert_same(&encoded(&nodes, "Europe/Berlin"), &blob);
        trees.extend(nodes.iter().filter_map(|node| Some(node.subtree?.id())));
    }
    first
}

fn touch(folder: &Path, name: &[u8]) {
    File::create_new(folder.join(OsStr::from_bytes(name))).expect("the file system takes such names");
}

#[test]
fn odd_names_are_spelled_as_restic_spells_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<Vec<u8>> =
        (1..=255_u8).filter(|byte| !b"/.".contains(byte)).map(|byte| vec![byte]).collect();
    names.extend(
        [
            "a<&>\"'\\b",
            "\u{2028}\u{2029}",
            "a\u{ad}",
            "\u{200b}z",
            "😀",
            "e\u{301}",
            "\u{feff}",
            "\u{e000}",
            "\\x41",
        ]
        .map(|name| name.as_bytes().to_vec()),
    );
    names.extend(
        ["\u{fffd}", "\u{a0}", "\u{3000}", "\u{e0001}", "\u{10ffff}"].map(|name| name.as_bytes().to_vec()),
    );
    names.extend(
        [&b"\xed\xa0\x80"[..], b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\xe2\x82\xffb"]
            .map(<[u8]>::to_vec),
    );
    names.iter().for_each(|name| touch(folder.path(), name));
    names.sort();
    let nodes = trees_agree(folder.path());
    assert_eq!(nodes.into_iter().map(|node| node.name).collect::<Vec<_>>(), names);
}

#[test]
fn every_old_character_is_spelled_as_restic_spells_it() {
    let folder = tempfile::tempdir().unwrap();
    // Up to the Cyrillic blocks, and the planes where nothing was added lately.
    let chars = ('\u{80}'..'\u{530}').chain('\u{2000}'..'\u{20c0}').chain('\u{e0000}'..'\u{e0200}');
    for (at, chars) in chars.collect::<Vec<_>>().chunks(40).enumerate() {
        let name = format!("{at} {}", chars.iter().collect::<String>());
        touch(folder.path(), name.as_bytes());
    }
    assert!(trees_agree(folder.path()).len() > 40);
}

#[test]
fn times_and_zones_are_written_as_restic_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let seconds = [
        0,
        -1,
        1,
        -2_000_000_000,
        -2_147_483_648,
        1_000_000_000,
        1_711_846_799,
        1_711_846_800,
        2_147_483_648,
        4_102_444_800,
        10_000_000_000,
        15_032_385_535,
        253_402_300_800,
        8_000_000_000_000,
        -70_000_000_000,
    ];
    for (at, second) in seconds.into_iter().enumerate() {
        touch(folder.path(), format!("{at}").as_bytes());
        let time = Timespec { tv_sec: second, tv_nsec: [0, 1, 120, 999_999_999][at % 4] };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, folder.path().join(format!("{at}")), &times, AtFlags::empty()).unwrap();
    }
    let work = tempfile::tempdir().unwrap();
    let restic = Restic::init(work.path().join("repository"));
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Africa/Casablanca"] {
        let restic = restic.clone().in_zone(zone);
        let blob = restic.blob(backed_up(&restic, folder.path()));
        let mut nodes = nodes_of(&blob);
        assert_eq!(nodes.len(), seconds.len());
        // What the file system made of the times: trees cut the seconds off old offsets.
        for node in &mut nodes {
            let stat = fs::metadata(folder.path().join(OsStr::from_bytes(&node.name))).unwrap();
            let nanoseconds = u32::try_from(stat.mtime_nsec()).unwrap();
            node.mtime = NodeTime { seconds: stat.mtime(), nanoseconds };
            node.atime = node.mtime;
        }
        assert_same(&encoded(&nodes, zone), &blob);
    }
}

#[test]
fn all_kinds_of_entries_are_written_as_restic_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), vec![7; 9_000_000]).unwrap();
    fs::hard_link(at("file"), at("hard link")).unwrap();
    fs::create_dir_all(at("folder/within/folder")).unwrap();
    fs::write(at("folder/within/folder/file"), "<content>").unwrap();
    symlink("else<where>&\u{2028}\"\\\n\t\u{1}é\u{ad}", at("link")).unwrap();
    let mode = rustix::fs::Mode::from_bits_truncate(0o4755);
    rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    rustix::fs::chmod(at("file"), mode).unwrap();
    let no_flags = rustix::fs::XattrFlags::empty();
    for (name, value) in
        [("user.empty", &b""[..]), ("user.text<>", b"value"), ("user.bytes", &[0xff, 0, 1, 2])]
    {
        rustix::fs::setxattr(at("file"), name, value, no_flags).unwrap();
    }
    let nodes = trees_agree(folder.path());
    assert_eq!(nodes.len(), 5);
    assert_eq!(nodes[1].extended_attributes.len(), 3);
    assert!(nodes[1].content.as_ref().is_some_and(|content| content.len() > 1));
}
