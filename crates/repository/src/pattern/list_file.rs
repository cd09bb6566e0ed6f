//! Files of patterns, as `--exclude-file` and its kin read them.
//!
//! One pattern per line; white space around it, empty lines and lines starting with `#` are dropped;
//! `$NAME` and `${NAME}` are replaced, `$$` is one dollar sign. The values of names come from the caller.

/// The patterns of a file, in order. `lookup` gives the value of a variable (empty when there is none).
pub fn patterns_in(content: &[u8], lookup: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let text = decode(content);
    text.split(|&byte| byte == b'\n')
        .map(trim)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .map(|line| expand(line, lookup))
        .collect()
}

/// Takes a byte order mark off; files in UTF-16 (a Windows editor's) become UTF-8.
fn decode(content: &[u8]) -> Vec<u8> {
    let (wide, is_big_endian) = match content {
        [0xff, 0xfe, wide @ ..] => (wide, false),
        [0xfe, 0xff, wide @ ..] => (wide, true),
        _ => return content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).to_vec(),
    };
    let unit =
        |pair: &[u8; 2]| if is_big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
    let units: Vec<u16> = wide.as_chunks::<2>().0.iter().map(unit).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

fn trim(line: &[u8]) -> &[u8] {
    match str::from_utf8(line) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => line.trim_ascii(),
    }
}

/// Replaces variables the way Go's `os.Expand` does.
fn expand(line: &[u8], lookup: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(dollar) = rest.iter().position(|&byte| byte == b'$') {
        let (before, from_dollar) = rest.split_at(dollar);
        let after = from_dollar.get(1..).unwrap_or_default();
        expanded.extend_from_slice(before);
        rest = match variable(after) {
            Variable::None => {
                expanded.push(b'$');
                after
            }
            Variable::Malformed(rest) => rest,
            Variable::Named(b"$", rest) => {
                expanded.push(b'$');
                rest
            }
            Variable::Named(name, rest) => {
                expanded.extend(lookup(name));
                rest
            }
        };
    }
    expanded.extend_from_slice(rest);
    expanded
}

/// What follows a dollar sign, and the text behind it.
enum Variable<'a> {
    None,
    /// An opening brace without a name: dropped.
    Malformed(&'a [u8]),
    Named(&'a [u8], &'a [u8]),
}

fn variable(text: &[u8]) -> Variable<'_> {
    let is_special = |byte: u8| b"*#$@!?-0123456789".contains(&byte);
    match text {
        [] => Variable::None,
        [b'{', name, b'}', rest @ ..] if is_special(*name) => {
            Variable::Named(std::slice::from_ref(name), rest)
        }
        [b'{', inside @ ..] => match inside.iter().position(|&byte| byte == b'}') {
            None => Variable::Malformed(inside),
            Some(end) => {
                let (name, rest) = inside.split_at(end);
                let rest = rest.get(1..).unwrap_or_default();
                if name.is_empty() { Variable::Malformed(rest) } else { Variable::Named(name, rest) }
            }
        },
        [name, rest @ ..] if is_special(*name) => Variable::Named(std::slice::from_ref(name), rest),
        _ => {
            let len = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            if len == 0 {
                return Variable::None;
            }
            let (name, rest) = text.split_at(len);
            Variable::Named(name, rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Vec<String> {
        let lookup = |name: &[u8]| match name {
            b"HOME" => b"/home/ada".to_vec(),
            b"EXT" => b"tmp".to_vec(),
            _ => Vec::new(),
        };
        patterns_in(content, &lookup)
            .into_iter()
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .collect()
    }

    #[test]
    fn comments_and_blank_lines_are_dropped() {
        assert_eq!(read(b"# a comment\r\n\r\n  *.o \n\t\n  # indented\nfoo#bar"), ["*.o", "foo#bar"]);
    }

    #[test]
    fn variables_are_replaced_and_two_dollars_are_one() {
        let content = b"$HOME/x\n${HOME}/y\n*.$EXT$$\na$\na$/b\n$NONE*.c\n${}z\n${open\n$1a";
        let expected = ["/home/ada/x", "/home/ada/y", "*.tmp$", "a$", "a$/b", "*.c", "z", "open", "a"];
        assert_eq!(read(content), expected);
    }

    #[test]
    fn byte_order_marks_are_not_part_of_the_first_pattern() {
        assert_eq!(read(b"\xef\xbb\xbf*.o"), ["*.o"]);
        assert_eq!(read(b"\xff\xfe*\0.\0o\0\n\0x\0"), ["*.o", "x"]);
        assert_eq!(read(b"\xfe\xff\0*\0.\0o"), ["*.o"]);
    }
}
