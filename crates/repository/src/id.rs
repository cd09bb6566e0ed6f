//! Names: every file and blob of a repository is named by the SHA-256 of its content.
//!
//! One untyped [`Id`] holds the 32 bytes; the typed names around it keep a pack from being
//! taken for a snapshot. They print and serialize as 64 lower-case hex digits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A SHA-256 digest used as a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; 32]);

/// Text that is not 64 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an id of 64 hexadecimal digits")]
pub struct ParseIdError(String);

impl Id {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
        Self::from_digest(&digest)
    }

    pub(crate) fn from_digest(digest: &aws_lc_rs::digest::Digest) -> Self {
        let bytes = digest.as_ref().try_into().expect("SHA-256 digests are 32 bytes long");
        Self(bytes)
    }

    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hex digits, as restic abbreviates names for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).expect("64 digits hold 32 bytes");
        f.write_str(str::from_utf8(&text).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let invalid = || ParseIdError(text.to_owned());
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| invalid())?;
        let (pairs, _) = digits.as_chunks();
        let mut bytes = [0; 32];
        let mut all_values = 0;
        for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (digit_value(high), digit_value(low));
            all_values |= high | low;
            *byte = high << 4 | low & 15;
        }
        if all_values < 16 { Ok(Self(bytes)) } else { Err(invalid()) }
    }
}

/// What a hexadecimal digit is worth; 255 for anything else.
///
/// A table, because digits of digests are as random as can be: with a comparison for each, reading ids took
/// most of the time of reading an index or a tree.
#[expect(clippy::indexing_slicing, reason = "a byte is always within a table of 256")]
pub(crate) fn digit_value(digit: u8) -> u8 {
    const VALUES: [u8; 256] = {
        let mut values = [255; 256];
        let mut value = 0;
        while value < 16 {
            values[b"0123456789abcdef"[value as usize] as usize] = value;
            values[b"0123456789ABCDEF"[value as usize] as usize] = value;
            value += 1;
        }
        values
    };
    VALUES[usize::from(digit)]
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HexVisitor;
        impl serde::de::Visitor<'_> for HexVisitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 64 hexadecimal digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(HexVisitor)
    }
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Id);

        impl $name {
            pub const fn new(id: Id) -> Self {
                Self(id)
            }

            pub const fn id(&self) -> Id {
                self.0
            }

            pub const fn as_bytes(&self) -> &[u8; 32] {
                self.0.as_bytes()
            }

            /// The first eight hex digits.
            pub fn short(&self) -> String {
                self.0.short()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.parse().map(Self)
            }
        }
    )*};
}

typed_ids! {
    /// Names a blob: the digest of its plaintext.
    BlobId;
    /// Names a pack: the digest of the stored file.
    PackId;
    /// Names an index file.
    IndexId;
    /// Names a snapshot file.
    SnapshotId;
    /// Names a key file.
    KeyId;
    /// Names a lock file.
    LockId;
}

impl BlobId {
    /// The name of a blob with this plaintext.
    pub fn of(plaintext: &[u8]) -> Self {
        Self(Id::of(plaintext))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_print_and_in_capitals() {
        let id = Id::of(b"some content");
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert_eq!(id.to_string().to_uppercase().parse::<Id>().unwrap(), id);
    }

    #[test]
    fn texts_of_other_lengths_or_with_other_letters_are_no_ids() {
        let text = Id::of(b"some content").to_string();
        for other in ["", &text[1..], &format!("{text}0"), &"é".repeat(32)] {
            assert!(other.parse::<Id>().is_err(), "{other:?}");
        }
        for at in 0..64 {
            for letter in ["g", "G", "/", ":", "@", "`", " ", "\0"] {
                let mut other = text.clone();
                other.replace_range(at..=at, letter);
                assert!(other.parse::<Id>().is_err(), "{other:?}");
            }
        }
    }
}
