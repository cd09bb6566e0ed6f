//! Undoes what `text` does: JSON escapes, and Go's quoting in names. As forgiving as Go, and no more.

/// Replaces `out` with the string whose JSON text (without quotes) is `raw`. False if an escape makes no sense.
///
/// What is not UTF-8, and half a surrogate pair, becomes U+FFFD.
pub(super) fn unescape_json(raw: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        let (plain, escaped) = rest.split_at(at);
        push_lossy(out, plain);
        let Some((char, tail)) = json_escape(escaped) else { return false };
        push_char(out, char);
        rest = tail;
    }
    push_lossy(out, rest);
    true
}

/// The character of the escape that `text` begins with, and what follows it.
fn json_escape(text: &[u8]) -> Option<(char, &[u8])> {
    let (&[_, letter], rest) = text.split_first_chunk::<2>()?;
    let char = match letter {
        b'"' | b'\\' | b'/' => char::from(letter),
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(rest),
        _ => return None,
    };
    Some((char, rest))
}

fn unicode_escape(text: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = hex_value(text, 4)?;
    if let Some(char) = char::from_u32(first) {
        return Some((char, rest));
    }
    let pair = rest.strip_prefix(b"\\u").and_then(|low| hex_value(low, 4)).and_then(|(second, rest)| {
        let halves = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
        let char = char::from_u32(0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff))?;
        halves.then_some((char, rest))
    });
    Some(pair.unwrap_or((char::REPLACEMENT_CHARACTER, rest)))
}

/// Replaces `out` with the bytes that Go's `strconv.Quote` made `quoted` of. False if it cannot have.
pub(super) fn unquote_name(quoted: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut rest = quoted;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some(tail) = name_escape(special, out) else { return false };
        rest = tail;
    }
    out.extend_from_slice(rest);
    true
}

fn name_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&[b'\\', letter], rest) = text.split_first_chunk::<2>()? else { return None };
    let byte = match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => letter,
        b'x' => return push_byte(out, hex_value(rest, 2)?),
        b'u' | b'U' => {
            let (value, rest) = hex_value(rest, if letter == b'u' { 4 } else { 8 })?;
            push_char(out, char::from_u32(value)?);
            return Some(rest);
        }
        b'0'..=b'7' => return push_byte(out, octal_value(text.get(1..)?)?),
        _ => return None,
    };
    out.push(byte);
    Some(rest)
}

fn push_byte<'a>(out: &mut Vec<u8>, (value, rest): (u32, &'a [u8])) -> Option<&'a [u8]> {
    out.push(u8::try_from(value).ok()?);
    Some(rest)
}

fn hex_value(text: &[u8], digits: usize) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let value =
        digits.iter().try_fold(0_u32, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))?;
    Some((value, rest))
}

fn octal_value(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(3)?;
    let value =
        digits.iter().try_fold(0_u32, |value, &digit| Some(value << 3 | char::from(digit).to_digit(8)?))?;
    Some((value, rest))
}

/// Appends `text`, with U+FFFD for each byte that is not UTF-8.
pub(super) fn push_lossy(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        chunk.invalid().iter().for_each(|_| push_char(out, char::REPLACEMENT_CHARACTER));
    }
}

fn push_char(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{unescape_json, unquote_name};

    fn unescaped(raw: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        unescape_json(raw, &mut out).then_some(out)
    }

    fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        unquote_name(quoted, &mut out).then_some(out)
    }

    #[test]
    fn json_escapes_are_undone() {
        assert_eq!(unescaped(br#"a\"\\\/\b\f\n\r\tz"#).unwrap(), b"a\"\\/\x08\x0c\n\r\tz");
        assert_eq!(unescaped(br"\u003c\u00e9\ud83d\ude00").unwrap(), "<é😀".as_bytes());
        assert_eq!(unescaped(br"\ud83dx\ude00").unwrap(), "\u{fffd}x\u{fffd}".as_bytes());
        assert_eq!(unescaped(b"\xffa\xe2\x82").unwrap(), "\u{fffd}a\u{fffd}\u{fffd}".as_bytes());
        for bad in [&br"\"[..], br"\x41", br"\u12", br"\u12g4", br"\u+123"] {
            assert_eq!(unescaped(bad), None, "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn quoted_names_are_undone() {
        assert_eq!(unquoted(br#"a\a\b\f\n\r\t\v\\\"z"#).unwrap(), b"a\x07\x08\x0c\n\r\t\x0b\\\"z");
        assert_eq!(
            unquoted(br"\xff\x00\377\u00ad\U0001f600").unwrap(),
            b"\xff\x00\xff\xc2\xad\xf0\x9f\x98\x80"
        );
        for bad in
            [&br"\"[..], b"\"", b"\n", br"\'", br"\q", br"\400", br"\08", br"\xf", br"\ud800", br"\U00110000"]
        {
            assert_eq!(unquoted(bad), None, "{}", bad.escape_ascii());
        }
    }
}
