//! What patterns choose; the comparison with restic itself is in `tests/it`.

use super::*;

fn list(lines: &[&str]) -> PatternList {
    PatternList::parse(lines, Case::Sensitive).unwrap()
}

#[test]
fn a_relative_pattern_matches_at_every_level_and_below() {
    let list = list(&["bar/*.go"]);
    assert!(list.matches(b"/foo/bar/test.go"));
    assert!(list.matches(b"/foo/bar/test.go/below"));
    assert!(!list.matches(b"/foo/bar/x/test.go"));
    assert!(!list.matches(b"/foo/test.go"));
}

#[test]
fn an_absolute_pattern_matches_from_the_root_only() {
    let list = list(&["/foo//./x/../bar/"]);
    assert!(list.matches(b"/foo/bar"));
    assert!(list.matches(b"/foo/bar/baz"));
    assert!(!list.matches(b"/a/foo/bar"));
    assert!(!list.matches(b"foo/bar"));
}

#[test]
fn two_stars_stand_for_any_number_of_folders() {
    let relative = list(&["foo/**/bar/*.go"]);
    for path in ["/home/foo/a/b/bar/test.go", "/home/foo/bar/test.go", "foo/bar/baz/bar/test.go"] {
        assert!(relative.matches(path.as_bytes()), "{path}");
    }
    assert!(!relative.matches(b"/home/foo/test.go"));
    let absolute = list(&["/foo/**/test.c"]);
    assert!(absolute.matches(b"/foo/bar/foo/bar/test.c"));
    assert!(!absolute.matches(b"/bar/foo/test.c"));
    assert!(list(&["**"]).matches(b"/a"));
    assert!(list(&["/"]).matches(b"/a/b"));
}

#[test]
fn a_negated_pattern_takes_back_what_came_before_it() {
    let list = list(&["/foo/*", "!/foo/keep", "/foo/keep/not"]);
    assert!(list.matches(b"/foo/a"));
    assert!(!list.matches(b"/foo/keep"));
    assert!(!list.matches(b"/foo/keep/x"));
    assert!(list.matches(b"/foo/keep/not"));
    assert!(self::list(&["\\!a"]).matches(b"/x/!a"));
}

#[test]
fn folders_on_the_way_to_a_possible_match_are_known() {
    for (pattern, path, expected) in [
        ("foo/bar", "/x", true),
        ("/foo/bar/baz", "/foo/bar", true),
        ("/foo/bar/baz", "/foo/baz", false),
        ("/foo/**/qux", "/foo/bar/baz/boo", true),
        ("/foo/*/qux", "/foo/bar", true),
        ("/foo/*/qux", "/foo/bar/boo", false),
        ("/foo", "/foo/bar", true),
        ("/*", "/foo/bar", true),
        ("/bar/*", "/foo", false),
        ("/**/bar", "/foo/bar", true),
    ] {
        assert_eq!(list(&[pattern]).may_match_below(path.as_bytes()), expected, "{pattern} below {path}");
    }
    assert!(!list(&["/foo/bar", "!/foo"]).may_match_below(b"/foo"));
}

#[test]
fn case_is_ignored_on_both_sides_when_asked() {
    let list = PatternList::parse(["*.JPG", "Straße", "[A-C]x"], Case::Insensitive).unwrap();
    for path in ["/a/b.jpg", "/a/B.JpG", "/STRAßE", "/bX"] {
        assert!(list.matches(path.as_bytes()), "{path}");
    }
    assert!(!list.matches(b"/dx"));
}

#[test]
fn names_that_are_not_utf8_are_matched_byte_by_byte() {
    let list = PatternList::parse([b"a\xff*".as_slice()], Case::Insensitive).unwrap();
    assert!(list.matches(b"/x/A\xff\xfe"));
    assert!(!list.matches(b"/x/a\xfe"));
}

#[test]
fn every_malformed_pattern_is_named_up_front() {
    let error = PatternList::parse(["ok", "a/[", "", "b/**/[x-]"], Case::Sensitive).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(text.contains("\"a/[\"") && text.contains("\"b/**/[x-]\"") && !text.contains("ok"), "{text}");
}

#[test]
fn an_empty_list_chooses_nothing() {
    let list = list(&["", ""]);
    assert!(list.is_empty());
    assert_eq!(list.judge(b"/a"), Verdict { matches: false, may_match_below: false });
}

#[test]
fn many_double_stars_do_not_take_exponential_time() {
    let pattern = "**/a/".repeat(30) + "b";
    let path = "/a".repeat(400);
    assert!(!list(&[&pattern]).matches(path.as_bytes()));
}
