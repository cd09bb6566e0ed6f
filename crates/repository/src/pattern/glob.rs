//! One component of a pattern: `*`, `?`, `[a-z]`, `[^a-z]` and `\x`, with the meaning Go's `filepath.Match`
//! gives them.
//!
//! Names are bytes. Where a wildcard stands for one character, a byte that is not UTF-8 counts as one.
//! A component is compiled once; what cannot be compiled is refused then, never while files are walked.

/// What is wrong with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    #[error("a [ has no matching ]")]
    OpenClass,
    #[error("a character class is empty or a range in it has no start or end")]
    BadRange,
    #[error("a \\ at the end escapes nothing")]
    DanglingEscape,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Literal(u8),
    AnyChar,
    AnyRun,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A compiled component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Glob {
    /// No special character: equal or not.
    Plain(Vec<u8>),
    Tokens(Vec<Token>),
}

impl Glob {
    pub(super) fn compile(text: &[u8]) -> Result<Self, BadGlob> {
        if !text.iter().any(|byte| b"\\[]*?".contains(byte)) {
            return Ok(Self::Plain(text.to_vec()));
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'*' if tokens.last() == Some(&Token::AnyRun) => {}
                b'*' => tokens.push(Token::AnyRun),
                b'?' => tokens.push(Token::AnyChar),
                b'\\' => {
                    let (&escaped, after) = rest.split_first().ok_or(BadGlob::DanglingEscape)?;
                    tokens.push(Token::Literal(escaped));
                    rest = after;
                }
                b'[' => {
                    let (class, after) = parse_class(rest)?;
                    tokens.push(class);
                    rest = after;
                }
                literal => tokens.push(Token::Literal(literal)),
            }
        }
        Ok(Self::Tokens(tokens))
    }

    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Plain(text) => text == name,
            Self::Tokens(tokens) => matches(tokens, name),
        }
    }
}

/// Parses what follows a `[`, up to and with the `]`.
fn parse_class(text: &[u8]) -> Result<(Token, &[u8]), BadGlob> {
    let (negated, mut rest) = match text.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        match rest.first() {
            None => return Err(BadGlob::OpenClass),
            Some(b']') if !ranges.is_empty() => {
                let after = rest.get(1..).unwrap_or_default();
                return Ok((Token::Class { negated, ranges }, after));
            }
            Some(_) => {}
        }
        let (low, after) = parse_class_char(rest)?;
        rest = after;
        let mut high = low;
        if let Some(after) = rest.strip_prefix(b"-") {
            (high, rest) = parse_class_char(after)?;
        }
        ranges.push((low, high));
    }
}

fn parse_class_char(text: &[u8]) -> Result<(char, &[u8]), BadGlob> {
    let text = match text.first() {
        None => return Err(BadGlob::OpenClass),
        Some(b'-' | b']') => return Err(BadGlob::BadRange),
        Some(b'\\') => text.get(1..).filter(|rest| !rest.is_empty()).ok_or(BadGlob::OpenClass)?,
        Some(_) => text,
    };
    match next_char(text) {
        (Some(char), after) => Ok((char, after)),
        (None, _) => Err(BadGlob::BadRange),
    }
}

/// Splits off the first character; `None` for a byte that is not UTF-8.
fn next_char(text: &[u8]) -> (Option<char>, &[u8]) {
    let longest = text.get(..4).unwrap_or(text);
    let valid = match str::from_utf8(longest) {
        Ok(valid) => valid,
        Err(error) => {
            str::from_utf8(longest.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
    };
    match valid.chars().next() {
        Some(char) => (Some(char), text.get(char.len_utf8()..).unwrap_or_default()),
        None => (None, text.get(1..).unwrap_or_default()),
    }
}

/// Backtracks to the last `*` only, so the work is at most tokens × name.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    let (mut tokens_left, mut name_left) = (tokens, name);
    let mut retry: Option<(&[Token], &[u8])> = None;
    loop {
        match tokens_left.split_first() {
            None if name_left.is_empty() => return true,
            Some((Token::AnyRun, after)) => {
                retry = Some((after, name_left));
                tokens_left = after;
                continue;
            }
            Some((token, after)) => {
                if let Some(rest) = match_one(token, name_left) {
                    (tokens_left, name_left) = (after, rest);
                    continue;
                }
            }
            None => {}
        }
        // Let the last `*` take one byte more.
        match retry {
            Some((after_star, taken_from)) if !taken_from.is_empty() => {
                let longer = taken_from.get(1..).unwrap_or_default();
                retry = Some((after_star, longer));
                (tokens_left, name_left) = (after_star, longer);
            }
            _ => return false,
        }
    }
}

/// What is left of `name` after one token other than `*`; `None` when it does not match.
fn match_one<'a>(token: &Token, name: &'a [u8]) -> Option<&'a [u8]> {
    let (&first, after_byte) = name.split_first()?;
    match token {
        Token::AnyRun => None,
        Token::Literal(byte) => (first == *byte).then_some(after_byte),
        Token::AnyChar => Some(next_char(name).1),
        Token::Class { negated, ranges } => {
            let (char, rest) = next_char(name);
            let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
            let inside = ranges.iter().any(|&(low, high)| (low..=high).contains(&char));
            (inside != *negated).then_some(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(glob: &str, name: &[u8]) -> bool {
        Glob::compile(glob.as_bytes()).unwrap().matches(name)
    }

    #[test]
    fn wildcards_mean_what_they_mean_in_go() {
        for (glob, name, expected) in [
            ("abc", "abc", true),
            ("*", "", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b*c*d*e*", "axbxcxdxexxx", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[x\\-]", "z", false),
            ("[\\-x]", "a", false),
            ("a]b", "a]b", true),
            ("*x", "xxx", true),
            ("[z-a]", "m", false),
        ] {
            assert_eq!(check(glob, name.as_bytes()), expected, "{glob} against {name}");
        }
    }

    #[test]
    fn a_byte_that_is_not_utf8_counts_as_one_character() {
        assert!(check("a?b", b"a\xffb"));
        assert!(!check("a??b", b"a\xffb"));
        assert!(check("*\\?", b"\xff\xfe?"));
        assert!(check("[^x]", b"\xff"));
    }

    #[test]
    fn malformed_globs_are_refused() {
        for (glob, bad) in [
            ("[", BadGlob::OpenClass),
            ("[a", BadGlob::OpenClass),
            ("[]a]", BadGlob::BadRange),
            ("[^]a]", BadGlob::BadRange),
            ("[-x]", BadGlob::BadRange),
            ("[x-]", BadGlob::BadRange),
            ("[a-b-c]", BadGlob::BadRange),
            ("[]", BadGlob::BadRange),
            ("a[\\", BadGlob::OpenClass),
            ("a\\", BadGlob::DanglingEscape),
        ] {
            assert_eq!(Glob::compile(glob.as_bytes()), Err(bad), "{glob}");
        }
        assert_eq!(Glob::compile(b"[\xff]"), Err(BadGlob::BadRange));
    }
}
