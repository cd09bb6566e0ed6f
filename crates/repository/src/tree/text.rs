//! Text as Go writes it: `strconv.Quote` for names and `encoding/json` for strings.
//!
//! Tree blobs are named by their bytes, so a name escaped differently from restic would cost a second copy of
//! every tree above it. Invalid UTF-8 survives only in names (as `\xNN`); anywhere else Go writes U+FFFD.

use super::printable::is_printable;

/// Appends `name` quoted as by Go's `strconv.Quote`, then as a JSON string.
pub(super) fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(b'"');
    if name.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(name);
    } else {
        for chunk in name.utf8_chunks() {
            chunk.valid().chars().for_each(|char| push_quoted(out, char));
            chunk.invalid().iter().for_each(|&byte| push_hex(out, b"\\\\x", u32::from(byte), 2));
        }
    }
    out.push(b'"');
}

/// Appends `text` as a JSON string; every byte that is not UTF-8 becomes an escaped U+FFFD.
pub(super) fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            push_valid(out, chunk.valid());
            chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
        }
    }
    out.push(b'"');
}

/// True for the ASCII that neither Go's quoting nor its JSON touches.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
}

fn push_valid(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some((plain, tail)) = rest.find(is_escaped_in_json).and_then(|at| rest.split_at_checked(at)) {
        out.extend_from_slice(plain.as_bytes());
        let mut chars = tail.chars();
        chars.by_ref().take(1).for_each(|char| push_json(out, char));
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

fn is_escaped_in_json(char: char) -> bool {
    matches!(char, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

/// One character of a JSON string. Go has written `\b` and `\f` short since 1.22 (restic 0.17).
fn push_json(out: &mut Vec<u8>, char: char) {
    match char {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\x08' => out.extend_from_slice(b"\\b"),
        '\x0c' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        escaped if is_escaped_in_json(escaped) => push_hex(out, b"\\u", u32::from(escaped), 4),
        plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// One character of a name: Go's quoting, its backslashes doubled by JSON.
fn push_quoted(out: &mut Vec<u8>, char: char) {
    match char {
        '"' => out.extend_from_slice(b"\\\\\\\""),
        '\\' => out.extend_from_slice(b"\\\\\\\\"),
        printable if is_printable(printable) => push_json(out, printable),
        '\x07' => out.extend_from_slice(b"\\\\a"),
        '\x08' => out.extend_from_slice(b"\\\\b"),
        '\x0c' => out.extend_from_slice(b"\\\\f"),
        '\n' => out.extend_from_slice(b"\\\\n"),
        '\r' => out.extend_from_slice(b"\\\\r"),
        '\t' => out.extend_from_slice(b"\\\\t"),
        '\x0b' => out.extend_from_slice(b"\\\\v"),
        '\0'..='\x1f' | '\x7f' => push_hex(out, b"\\\\x", u32::from(char), 2),
        '\0'..='\u{ffff}' => push_hex(out, b"\\\\u", u32::from(char), 4),
        _ => push_hex(out, b"\\\\U", u32::from(char), 8),
    }
}

fn push_hex(out: &mut Vec<u8>, prefix: &[u8], value: u32, digits: u32) {
    out.extend_from_slice(prefix);
    for place in (0..digits).rev() {
        out.push(hex_digit(value >> (4 * place)));
    }
}

/// The lower-case hex digit for the low four bits.
pub(super) fn hex_digit(value: u32) -> u8 {
    match (value & 15) as u8 {
        low @ 0..=9 => b'0' + low,
        high => b'a' + high - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::{push_name, push_string};

    fn name(name: &[u8]) -> String {
        let mut out = Vec::new();
        push_name(&mut out, name);
        String::from_utf8(out).unwrap()
    }

    fn string(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_quoted_and_then_escaped() {
        assert_eq!(name(b"plain name.txt"), r#""plain name.txt""#);
        assert_eq!(name(b"a\"b\\c"), r#""a\\\"b\\\\c""#);
        assert_eq!(name(b"\x07\x08\x0c\n\r\t\x0b"), r#""\\a\\b\\f\\n\\r\\t\\v""#);
        assert_eq!(name(b"\x01\x1f\x7f"), r#""\\x01\\x1f\\x7f""#);
        assert_eq!(name(b"<&>"), r#""\u003c\u0026\u003e""#);
        assert_eq!(name("é \u{301}\u{fffd}😀".as_bytes()), "\"é \u{301}\u{fffd}😀\"");
        assert_eq!(
            name("\u{a0}\u{ad}\u{200b}\u{2028}\u{e000}\u{feff}".as_bytes()),
            r#""\\u00a0\\u00ad\\u200b\\u2028\\ue000\\ufeff""#
        );
        // Assigned in Unicode 15 and in Unicode 16.
        assert_eq!(name("\u{1fae8}\u{1fae9}".as_bytes()), "\"\u{1fae8}\\\\U0001fae9\"");
        assert_eq!(name("\u{e0001}".as_bytes()), r#""\\U000e0001""#);
        assert_eq!(name(b"\xff\xe2\x82z"), r#""\\xff\\xe2\\x82z""#);
    }

    #[test]
    fn strings_are_escaped_for_html_and_lose_invalid_bytes() {
        assert_eq!(string(b""), r#""""#);
        assert_eq!(string(b"a\"b\\c/d"), r#""a\"b\\c/d""#);
        assert_eq!(string(b"\x00\x08\x0c\n\r\t\x1f\x7f"), "\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\"");
        assert_eq!(
            string("<&>\u{2028}\u{2029}é\u{ad}".as_bytes()),
            "\"\\u003c\\u0026\\u003e\\u2028\\u2029é\u{ad}\""
        );
        assert_eq!(string(b"\xffa\xe2\x82"), r#""\ufffda\ufffd\ufffd""#);
    }
}
