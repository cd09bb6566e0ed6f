//! JSON that callers send.

use serde::de::{DeserializeOwned, Error};

/// Reads it; a text with a NUL in it is refused, because no database keeps one.
pub(crate) fn read<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    if names_nul(text) {
        return Err(serde_json::Error::custom("no text may hold the character \\u0000"));
    }
    serde_json::from_slice(text)
}

/// Whether a text in it has the escape of a NUL; a bare one is no JSON.
fn names_nul(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_escaped_nul_is_refused_and_what_looks_like_one_is_not() {
        for bad in [r#""\u0000""#, r#"{"a": ["x\\\u0000y"]}"#, r#"{"\u0000": 1}"#] {
            assert!(read::<Value>(bad.as_bytes()).unwrap_err().to_string().contains("u0000"), "{bad}");
        }
        for good in [r#""\\u0000""#, r#""\u0001 u0000""#, r#""\"\\""#] {
            assert!(read::<Value>(good.as_bytes()).is_ok(), "{good}");
        }
    }
}
