//! The codec of trees against golden bytes, random nodes and hostile input.

use std::io::Read;

use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{
    ExtendedAttribute, Node, NodeKind, NodeTime, TreeEncodeError, TreeEncoder, TreeParseError, ZoneOffsets,
    format_time, parse_nodes, parse_time,
};
use crate::id::BlobId;

fn zone(name: &str) -> ZoneOffsets {
    ZoneOffsets::new(&TimeZone::get(name).unwrap())
}

fn encode(nodes: &[Node], zone: &ZoneOffsets) -> Vec<u8> {
    let mut encoder = TreeEncoder::new(Vec::new(), zone);
    nodes.iter().for_each(|node| encoder.push(node).unwrap());
    encoder.finish().unwrap()
}

fn parse(tree: &[u8]) -> Result<Vec<Node>, TreeParseError> {
    parse_nodes(tree).collect()
}

/// Why the one node of a tree is refused; the node after it must still come.
fn refusal(node: &str) -> String {
    let tree = format!("{{\"nodes\":[{node},{{\"name\":\"next\"}}]}}");
    let mut nodes = parse_nodes(tree.as_bytes());
    let error = nodes.next().unwrap().unwrap_err();
    assert!(!error.is_final(), "{node}: {error}");
    assert_eq!(nodes.next().unwrap().unwrap().name, b"next", "{node}");
    assert!(nodes.next().is_none());
    error.to_string()
}

fn end(tree: &[u8]) -> String {
    let mut nodes = parse_nodes(tree);
    let error = nodes.find_map(Result::err).unwrap_or_else(|| panic!("{} is no error", tree.escape_ascii()));
    assert!(error.is_final(), "{error}");
    assert!(nodes.next().is_none());
    error.to_string()
}

#[test]
fn an_empty_tree_is_an_empty_list_and_a_newline() {
    assert_eq!(encode(&[], &zone("UTC")), b"{\"nodes\":[]}\n");
    assert_eq!(parse(b"{\"nodes\":[]}\n").unwrap(), []);
    assert_eq!(parse(b"{\"nodes\":null}").unwrap(), []);
}

#[test]
fn every_field_is_where_restic_has_it() {
    let id = BlobId::of(b"");
    let node = Node {
        name: b"a\"b\xff".to_vec(),
        kind: NodeKind::Symlink,
        mode: 0o777,
        mtime: NodeTime { seconds: 1_000_000_000, nanoseconds: 120_000_000 },
        atime: NodeTime { seconds: 1_009_843_200, nanoseconds: 1 },
        ctime: NodeTime::UNKNOWN,
        uid: 0,
        gid: u32::MAX,
        user: "r<t".to_owned(),
        group: "g".to_owned(),
        inode: u64::MAX,
        device_id: 2,
        size: 3,
        links: 4,
        link_target: b"x\xffy".to_vec(),
        extended_attributes: vec![
            ExtendedAttribute { name: "user.a".to_owned(), value: vec![] },
            ExtendedAttribute { name: "user.b".to_owned(), value: b"12345".to_vec() },
        ],
        device: 5,
        content: Some(vec![id, id]),
        subtree: Some(id),
        generic_attributes: Some("{\"windows.x\":[1,\"y\"]}".to_owned()),
        error: "e".to_owned(),
    };
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let expected = [
        r#"{"nodes":[{"name":"a\\\"b\\xff","type":"symlink","mode":511,"#,
        r#""mtime":"2001-09-09T03:46:40.12+02:00","atime":"2002-01-01T01:00:00.000000001+01:00","#,
        r#""ctime":"0001-01-01T00:00:00Z","uid":0,"gid":4294967295,"user":"r\u003ct","group":"g","#,
        r#""inode":18446744073709551615,"device_id":2,"size":3,"links":4,"#,
        r#""linktarget":"x\ufffdy","linktarget_raw":"eP95","#,
        r#""extended_attributes":[{"name":"user.a","value":""},{"name":"user.b","value":"MTIzNDU="}],"#,
        r#""generic_attributes":{"windows.x":[1,"y"]},"device":5,"#,
        &format!(r#""content":["{empty}","{empty}"],"subtree":"{empty}","error":"e"}}]}}"#),
        "\n",
    ]
    .concat();
    let tree = encode(std::slice::from_ref(&node), &zone("Europe/Berlin"));
    assert_eq!(String::from_utf8(tree.clone()).unwrap(), expected);
    assert_eq!(parse(&tree).unwrap(), [node]);
}

#[test]
fn what_is_zero_is_left_out() {
    let nodes = [
        Node { name: b"a".to_vec(), content: Some(vec![]), ..Node::default() },
        Node { name: b"b".to_vec(), kind: NodeKind::Fifo, ..Node::default() },
    ];
    let times =
        r#""mtime":"0001-01-01T00:00:00Z","atime":"0001-01-01T00:00:00Z","ctime":"0001-01-01T00:00:00Z""#;
    let expected = format!(
        "{{\"nodes\":[{{\"name\":\"a\",\"type\":\"file\",{times},\"uid\":0,\"gid\":0,\"content\":[]}},\
         {{\"name\":\"b\",\"type\":\"fifo\",{times},\"uid\":0,\"gid\":0,\"content\":null}}]}}\n"
    );
    assert_eq!(String::from_utf8(encode(&nodes, &zone("Europe/Berlin"))).unwrap(), expected);
}

#[test]
fn names_out_of_order_are_not_encoded() {
    let zone = zone("UTC");
    for (first, second) in [("b", "a"), ("a", "a"), ("é", "z")] {
        let mut encoder = TreeEncoder::new(Vec::new(), &zone);
        encoder.push(&Node { name: first.into(), ..Node::default() }).unwrap();
        let error = encoder.push(&Node { name: second.into(), ..Node::default() }).unwrap_err();
        assert!(matches!(error, TreeEncodeError::Order { .. }), "{error}");
    }
    let error = TreeEncoder::new(Vec::new(), &zone).push(&Node::default()).unwrap_err();
    assert!(matches!(error, TreeEncodeError::Order { .. }), "{error}");
}

#[test]
fn times_are_written_as_go_writes_them() {
    let berlin = zone("Europe/Berlin");
    let text = |seconds, nanoseconds| format_time(NodeTime { seconds, nanoseconds }, &berlin);
    assert_eq!(text(0, 0), "1970-01-01T01:00:00+01:00");
    assert_eq!(text(-1, 999_999_999), "1970-01-01T00:59:59.999999999+01:00");
    assert_eq!(text(1_711_846_799, 0), "2024-03-31T01:59:59+01:00");
    assert_eq!(text(1_711_846_800, 0), "2024-03-31T03:00:00+02:00");
    // Local mean time, its 28 seconds cut off; summer long after any table.
    assert_eq!(text(-3_000_000_000, 0), "1874-12-07T19:33:28+00:53");
    assert_eq!(text(32_525_020_800, 500_000_000), "3000-09-05T02:00:00.5+02:00");
    assert_eq!(text(253_402_297_199, 0), "9999-12-31T23:59:59+01:00");
    // Beyond: the year is clamped, all else stays (year 0 and 9999 have the zone's offsets of their own).
    assert_eq!(text(253_402_297_200, 0), "9999-01-01T00:00:00+01:00");
    assert_eq!(text(8_000_000_000_000, 0), "9999-11-28T15:13:20+01:00");
    assert_eq!(text(7_999_989_632_000, 0), "9999-07-31T16:13:20+02:00");
    assert_eq!(text(-62_167_222_408, 0), "0000-01-01T00:00:00+00:53");
    assert_eq!(text(-62_167_222_409, 7), "0000-12-31T23:59:59.000000007+00:53");
    let utc = zone("UTC");
    assert_eq!(format_time(NodeTime { seconds: 1, nanoseconds: 100 }, &utc), "1970-01-01T00:00:01.0000001Z");
    let west = zone("America/St_Johns");
    assert_eq!(format_time(NodeTime { seconds: 0, nanoseconds: 0 }, &west), "1969-12-31T20:30:00-03:30");
}

#[test]
fn offsets_agree_with_the_zone_database() {
    for name in
        ["Europe/Berlin", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Tokyo"]
    {
        let (jiff_zone, offsets) = (TimeZone::get(name).unwrap(), zone(name));
        for step in -20_000..20_000_i64 {
            let second = step * 12_345_678 / 2;
            let instant = jiff::Timestamp::from_second(second).unwrap();
            let expected = instant.to_zoned(jiff_zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let text = format_time(NodeTime { seconds: second, nanoseconds: 0 }, &offsets);
            if (0..10_000).contains(&instant.to_zoned(jiff_zone.clone()).year()) {
                assert_eq!(&text[..19], expected, "{name} {second}");
            }
        }
    }
}

#[test]
fn times_are_read_in_any_offset_and_precision() {
    let time = |text: &str| parse_time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
    assert_eq!(time("1970-01-01T00:00:00Z"), Some((0, 0)));
    assert_eq!(time("1970-01-01T01:00:00.5+01:00"), Some((0, 500_000_000)));
    assert_eq!(time("1969-12-31T20:30:00.123456789123-03:30"), Some((0, 123_456_789)));
    assert_eq!(time("0001-01-01T00:00:00Z"), Some((NodeTime::UNKNOWN.seconds, 0)));
    assert_eq!(time("0000-02-29T00:00:00Z"), Some((-62_162_121_600, 0)));
    assert_eq!(time("9999-12-31T23:59:59Z"), Some((253_402_300_799, 0)));
    for bad in [
        "",
        "Z",
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.5",
        "1970-13-01T00:00:00Z",
        "1970-02-30T00:00:00Z",
        "1970-00-01T00:00:00Z",
        "1970-01-00T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00+24:00",
        "1970-01-01T00:00:00+01:60",
        "1970-01-01T00:00:00*01:00",
        "1970-01-01T00:00:00Z ",
        "1970-01-01T00:00:00+0100",
        "-970-01-01T00:00:00Z",
    ] {
        assert_eq!(time(bad), None, "{bad}");
    }
}

#[test]
fn foreign_trees_are_understood() {
    let tree = br#" { "version" : {"a":[1,-2.5e+3,true,false,null,"x\"]}"]}, "nodes" : [
        { "type":"dir", "subtree":null, "inode":7, "new":{"deep":[[{}],{"a":{}}]}, "name":"x\u0079\\x41" },
        {"name":"n","type":"gizmo","mtime":null,"content":null,"extended_attributes":[{"value":null,"name":"u","z":1}],
         "linktarget_raw":"/w==","linktarget":"\ufffd","generic_attributes":{ "a" : [ 1 , 2 ] }, "user":"\ud83d"}
        ], "more":[] } "#;
    let nodes = parse(tree).unwrap();
    assert_eq!(nodes[0].name, b"xyA");
    assert_eq!(nodes[0].kind, NodeKind::Dir);
    assert_eq!((nodes[0].inode, nodes[0].subtree), (7, None));
    assert_eq!(nodes[1].kind, NodeKind::Other("gizmo".to_owned()));
    assert_eq!(nodes[1].link_target, b"\xff");
    assert_eq!(nodes[1].mtime, NodeTime::UNKNOWN);
    assert_eq!(nodes[1].extended_attributes, [ExtendedAttribute { name: "u".to_owned(), value: vec![] }]);
    assert_eq!(nodes[1].generic_attributes.as_deref(), Some(r#"{"a":[1,2]}"#));
    assert_eq!(nodes[1].user, "\u{fffd}");
    assert_eq!(nodes[1].content, None);
}

#[test]
fn a_node_that_cannot_be_is_refused_and_the_next_one_read() {
    for name in ["", ".", "..", "a/b", "/", "../x", r"a\u0000", r"\\x2f", r"\\x00", r"\\q", r"\\", r#"\""#] {
        refusal(&format!("{{\"name\":\"{name}\",\"type\":\"file\"}}"));
    }
    assert!(refusal(r#"{"name":"../x"}"#).contains("../x"));
    for field in [
        r#""size":-1"#,
        r#""size":1.5"#,
        r#""size":18446744073709551616"#,
        r#""size":"1""#,
        r#""uid":4294967296"#,
        r#""mtime":0"#,
        r#""mtime":"yesterday""#,
        r#""user":[]"#,
        r#""user":"\q""#,
        r#""content":{}"#,
        r#""content":["12"]"#,
        r#""content":[null]"#,
        r#""content":[[]]"#,
        r#""subtree":"zz""#,
        r#""type":{}"#,
        r#""extended_attributes":{}"#,
        r#""extended_attributes":[1]"#,
        r#""generic_attributes":[]"#,
        r#""extended_attributes":[{"name":"a","value":"?"}]"#,
        r#""generic_attributes":{"a":1-}"#,
        r#""linktarget_raw":"=""#,
    ] {
        let refusal = refusal(&format!("{{\"name\":\"a\",{field}}}"));
        assert!(refusal.starts_with("tree entry \"a\""), "{field}: {refusal}");
    }
    assert!(refusal("{}").contains("has no name"));
}

#[test]
fn json_that_makes_no_sense_ends_the_tree() {
    for tree in [
        &b""[..],
        b"x",
        b"[]",
        b"{}",
        b"{\"a\":1}",
        b"{\"nodes\":{}}",
        b"{\"nodes\":[1]}",
        b"{\"nodes\":[",
        b"{\"nodes\":[]",
        b"{\"nodes\":[]}x",
        b"{\"nodes\":[],\"nodes\":[]}",
        b"{\"nodes\":[{\"name\":\"a\"}",
        b"{\"nodes\":[{\"name\":\"a\"}{\"name\":\"b\"}]}",
        b"{\"nodes\":[{\"name\":\"a\n\"}]}",
        b"{\"nodes\":[{\"name\" \"a\"}]}",
        b"{\"nodes\":[{\"name\":\"a\"]}",
        b"{\"nodes\":[{\"x\":tru}]}",
        b"{\"nodes\":[{\"x\":[1}]}",
        b"{\"nodes\":[{\"x\":}]}",
        b"{\"nodes\":[{\"name\":\"a\\",
        b"{\"nodes\":[{\"x\":{1:2}}]}",
    ] {
        end(tree);
    }
    let deep = |depth| format!("{{\"x\":{}1{},\"nodes\":[]}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(deep(64).as_bytes()).unwrap(), []);
    assert!(end(deep(65).as_bytes()).contains("nested too deeply"));
    assert!(end(&b"[".repeat(1 << 20)).contains("not a JSON object"));
    let endless = b"{\"nodes\":[{\"name\":\"".chain(std::io::repeat(b'a'));
    let error = parse_nodes(endless).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("string without end"), "{error}");
}

#[test]
fn attributes_beyond_reason_end_the_tree() {
    let many = std::iter::repeat_n(&b"{},"[..], 3 << 20).flatten().copied().collect::<Vec<u8>>();
    let tree = b"{\"nodes\":[{\"extended_attributes\":[".chain(&many[..]);
    let error = parse_nodes(tree).next().unwrap().unwrap_err();
    assert!(error.to_string().contains("more attributes than there can be"), "{error}");
}

#[test]
fn a_failing_reader_is_not_the_end_of_a_tree() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("unplugged"))
        }
    }
    let mut nodes = parse_nodes(b"{\"nodes\":[{\"name\":\"a\"},".chain(Failing));
    assert_eq!(nodes.next().unwrap().unwrap().name, b"a");
    assert!(matches!(nodes.next(), Some(Err(TreeParseError::Read(_)))));
    assert!(nodes.next().is_none());
}

/// Hands out one byte at a time, so that every token meets the end of the buffer.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

fn times() -> impl Strategy<Value = NodeTime> {
    let seconds = prop_oneof![
        3 => -2_000_000_000..5_000_000_000_i64,
        1 => -62_135_596_800..253_402_200_000_i64,
    ];
    (seconds, 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| NodeTime { seconds, nanoseconds })
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        vec(any::<u8>(), 1..20),
        vec(any::<char>(), 1..10).prop_map(|chars| chars.into_iter().collect::<String>().into_bytes()),
        vec(prop_oneof![b' '..=b'~', 0..32_u8], 1..20),
    ];
    name.prop_filter("names of entries", |name| {
        !matches!(&name[..], b"." | b"..") && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
    })
}

fn kinds() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        Just(NodeKind::File),
        Just(NodeKind::Dir),
        Just(NodeKind::Symlink),
        Just(NodeKind::BlockDevice),
        Just(NodeKind::CharDevice),
        Just(NodeKind::Fifo),
        Just(NodeKind::Socket),
        Just(NodeKind::Other("irregular".to_owned())),
    ]
}

fn texts() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect())
}

fn ids() -> impl Strategy<Value = BlobId> {
    any::<[u8; 8]>().prop_map(|bytes| BlobId::of(&bytes))
}

fn nodes() -> impl Strategy<Value = Node> {
    let attribute =
        (texts(), vec(any::<u8>(), 0..40)).prop_map(|(name, value)| ExtendedAttribute { name, value });
    let who = (any::<u32>(), any::<u32>(), texts(), texts(), texts());
    let stat = (any::<u64>(), any::<u64>(), 0..3_u64, any::<u64>(), 0..9_u64, any::<u32>());
    let what =
        (vec(any::<u8>(), 0..9), vec(attribute, 0..3), option::of(vec(ids(), 0..4)), option::of(ids()));
    (names(), kinds(), [times(), times(), times()], who, stat, what).prop_map(
        |(name, kind, [mtime, atime, ctime], (uid, gid, user, group, error), stat, what)| {
            let (inode, device_id, size, links, device, mode) = stat;
            let (link_target, extended_attributes, content, subtree) = what;
            let generic_attributes = (size == 1).then(|| "{\"a\":{\"b\":[1]}}".to_owned());
            Node {
                name,
                kind,
                mode,
                mtime,
                atime,
                ctime,
                uid,
                gid,
                user,
                group,
                inode,
                device_id,
                size,
                links,
                link_target,
                extended_attributes,
                device,
                content,
                subtree,
                generic_attributes,
                error,
            }
        },
    )
}

fn trees() -> impl Strategy<Value = Vec<Node>> {
    vec(nodes(), 0..8).prop_map(|mut nodes| {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        nodes
    })
}

proptest! {
    #[test]
    fn a_tree_comes_back_as_it_was(tree in trees()) {
        for name in ["UTC", "Europe/Berlin", "America/St_Johns"] {
            // Offsets of local mean time are cut to minutes on paper, so only whole ones come back.
            let zone = if name == "UTC" || tree.iter().flat_map(|node| [node.mtime, node.atime, node.ctime])
                .all(|time| time.seconds > -1_000_000_000) { zone(name) } else { zone("UTC") };
            let bytes = encode(&tree, &zone);
            prop_assert_eq!(&parse(&bytes).unwrap(), &tree);
            let dripped: Result<Vec<Node>, _> = parse_nodes(Drip(&bytes)).collect();
            prop_assert_eq!(dripped.unwrap(), tree.clone());
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn no_time_fails(seconds in any::<i64>(), nanoseconds in 0..1_000_000_000_u32) {
        for name in ["UTC", "Europe/Berlin", "Pacific/Kiritimati"] {
            let text = format_time(NodeTime { seconds, nanoseconds }, &zone(name));
            prop_assert!(parse_time(text.as_bytes()).is_some(), "{}", text);
        }
    }

    #[test]
    fn reused_memory_does_not_leak_between_nodes(tree in trees()) {
        let bytes = encode(&tree, &zone("UTC"));
        let (mut parser, mut node) = (parse_nodes(&bytes[..]), Node::default());
        for expected in &tree {
            prop_assert!(parser.read_into(&mut node).unwrap());
            prop_assert_eq!(&node, expected);
        }
        prop_assert!(!parser.read_into(&mut node).unwrap());
    }

    #[test]
    fn damaged_trees_never_panic(tree in trees(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = encode(&tree, &zone("UTC"));
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let errors = parse_nodes(&bytes[..]).filter_map(Result::err).count();
        prop_assert!(errors <= tree.len() + 1);
        prop_assert!(!cut || errors > 0 || bytes.ends_with(b"]}"), "a cut went unnoticed at {}", at);
    }
}
