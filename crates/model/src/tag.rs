//! Tags: what a caller writes on a thing of his, a key and a value. A key is there once.

/// A thing has at most so many.
pub const MOST_TAGS: usize = 20;
const MOST_CHARACTERS: usize = 128;

/// What can have tags and be in a resource group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    Vault,
    Plan,
    Client,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A tag that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    #[error("a key is 1 to {MOST_CHARACTERS} characters long, a value at most {MOST_CHARACTERS}")]
    Length,
    #[error("neither key nor value may begin with aliyun or acs:, or contain http:// or https://")]
    Reserved,
}

impl Tag {
    pub fn new(key: &str, value: &str) -> Result<Self, TagError> {
        if key.is_empty() || [key, value].iter().any(|text| text.chars().count() > MOST_CHARACTERS) {
            return Err(TagError::Length);
        }
        let is_reserved = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.starts_with("aliyun")
                || text.starts_with("acs:")
                || text.contains("http://")
                || text.contains("https://")
        };
        if is_reserved(key) || is_reserved(value) {
            return Err(TagError::Reserved);
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_be_empty_and_a_key_may_not() {
        assert!(Tag::new("team", "").is_ok());
        assert_eq!(Tag::new("", "x"), Err(TagError::Length));
        assert_eq!(Tag::new(&"k".repeat(129), "x"), Err(TagError::Length));
        assert_eq!(Tag::new("k", &"v".repeat(129)), Err(TagError::Length));
    }

    #[test]
    fn the_vendors_prefixes_and_addresses_are_not_taken() {
        for (key, value) in
            [("aliyun-x", "v"), ("ACS:x", "v"), ("k", "acs:v"), ("k", "see https://x"), ("http://k", "")]
        {
            assert_eq!(Tag::new(key, value), Err(TagError::Reserved), "{key}={value}");
        }
    }
}
