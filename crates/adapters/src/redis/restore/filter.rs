//! Which keys a restore takes: a list of regular expressions.

use regex::bytes::{Regex, RegexBuilder};

use crate::redis::error::{RedisError, RedisErrorKind};

/// Each may take its share of memory.
const MOST_EXPRESSIONS: usize = 100;
const EXPRESSION_BYTES: usize = 1 << 20;

/// Regular expressions, each of which must match the whole of a key: `user` is the key `user` and no other.
#[derive(Clone, Debug)]
pub struct KeyFilter(Vec<Regex>);

impl KeyFilter {
    pub fn matches(&self, key: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(key))
    }
}

/// A list parted by commas, which therefore cannot be part of an expression.
impl std::str::FromStr for KeyFilter {
    type Err = RedisError;

    fn from_str(list: &str) -> Result<Self, RedisError> {
        let parts: Vec<_> = list.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
        let wrong = |what: String| Err(RedisError::new(RedisErrorKind::InvalidInput, what));
        if parts.is_empty() {
            return wrong("the list has no regular expression".to_owned());
        }
        if parts.len() > MOST_EXPRESSIONS {
            return wrong(format!("the list has more than {MOST_EXPRESSIONS} regular expressions"));
        }
        let patterns: Vec<Regex> = parts.into_iter().map(pattern).collect::<Result<_, _>>()?;
        Ok(Self(patterns))
    }
}

/// Keys are bytes, so a dot is any byte; only an expression that asks for other letters is about letters.
fn pattern(text: &str) -> Result<Regex, RedisError> {
    // On its own first, so that `)(` does not become sense within brackets.
    let compiled = |text: &str| RegexBuilder::new(text).size_limit(EXPRESSION_BYTES).build();
    let alone = compiled(&format!("(?-u){text}")).or_else(|_| compiled(text));
    let whole = alone.and_then(|_| {
        let of = |flags| compiled(&format!(r"(?{flags})\A(?:{text})\z"));
        of("s-u").or_else(|_| of("s"))
    });
    whole.map_err(|error| {
        RedisError::new(RedisErrorKind::InvalidInput, format!("{text:?} is no regular expression"))
            .because(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(list: &str) -> KeyFilter {
        list.parse().unwrap()
    }

    #[test]
    fn a_key_is_taken_when_one_expression_matches_all_of_it() {
        let filter = filter("user, cart:[0-9]+ ,größe.*");
        for (key, is_taken) in [
            ("user", true),
            ("users", false),
            ("superuser", false),
            ("cart:17", true),
            ("cart:x", false),
            ("größe:1", true),
        ] {
            assert_eq!(filter.matches(key.as_bytes()), is_taken, "{key}");
        }
    }

    #[test]
    fn a_dot_is_any_byte() {
        assert!(filter("a.*z").matches(b"a\xff\n\0z"));
        assert!(filter("[äö]x").matches("öx".as_bytes()));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let many = "a,".repeat(101);
        for list in ["", " , ", "(", "a)(b", "[z-a]", "(?:a{1000}){1000}", &many] {
            assert_eq!(list.parse::<KeyFilter>().unwrap_err().kind, RedisErrorKind::InvalidInput, "{list}");
        }
    }
}
