//! Ids: opaque, unique, never reused. A prefix tells what each names, as the clients expect it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Twenty characters of 36 hold the 103 bits that keep ids from colliding.
const RANDOM_CHARACTERS: usize = 20;
const MOST_CHARACTERS: usize = 64;

/// A text that is not the id it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id that begins with {prefix:?}")]
pub struct ParseIdError {
    pub text: String,
    pub prefix: &'static str,
}

/// Twenty letters and digits that hold 103 bits of `random`.
pub fn random_characters(random: u128) -> String {
    let mut rest = random;
    let character = || {
        let digit = u32::try_from(rest % 36).unwrap_or_default();
        rest /= 36;
        char::from_digit(digit, 36).unwrap_or('0')
    };
    std::iter::repeat_with(character).take(RANDOM_CHARACTERS).collect()
}

fn is_id(text: &str, prefix: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.len() <= MOST_CHARACTERS
        && text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_plain))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A new id made of random bits.
            pub fn new(random: u128) -> Self {
                Self(format!("{}{}", Self::PREFIX, random_characters(random)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if is_id(text, Self::PREFIX) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError { text: text.to_owned(), prefix: Self::PREFIX })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )* };
}

ids! {
    VaultId = "v-";
    PlanId = "plan-";
    /// A backup job.
    JobId = "job-";
    /// A restore job.
    RestoreId = "r-";
    SnapshotId = "s-";
    ClientId = "c-";
    InstanceId = "i-";
    PolicyId = "po-";
    RuleId = "rule-";
    /// What puts a source under a policy.
    BindingId = "pd-";
    /// Something asynchronous that is not a job, such as the making of a vault.
    TaskId = "t-";
}

/// An account: a decimal number below 2^53, so that no client loses digits of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(i64);

impl AccountId {
    /// Sixteen digits, the first of which is not zero.
    pub fn new(random: u128) -> Self {
        const LEAST: u128 = 1_000_000_000_000_000;
        const RANGE: u128 = (1 << 53) - LEAST;
        Self(i64::try_from(LEAST + random % RANGE).unwrap_or_default())
    }

    pub fn from_number(number: i64) -> Option<Self> {
        (0..1 << 53).contains(&number).then_some(Self(number))
    }

    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl SnapshotId {
    /// The snapshot that a job makes: whoever makes it, and however often it is begun, it is the same.
    pub fn of_job(job: &str) -> Self {
        let characters = job.strip_prefix(JobId::PREFIX).unwrap_or(job);
        Self(format!("{}{characters}", Self::PREFIX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_twenty_random_characters() {
        let id = VaultId::new(u128::MAX);
        assert_eq!(id.as_str().len(), 22);
        assert_eq!(id.as_str().parse::<VaultId>().unwrap(), id);
        assert_ne!(VaultId::new(1), VaultId::new(2));
    }

    #[test]
    fn what_has_no_prefix_or_strange_characters_is_no_id() {
        for text in ["", "v-", "x-1", "v-a b", "v-ä", "v-a/../b"] {
            assert!(text.parse::<VaultId>().is_err(), "{text}");
        }
    }

    #[test]
    fn account_ids_have_sixteen_digits_and_fit_into_a_double() {
        for random in [0, 1, u128::MAX] {
            let id = AccountId::new(random);
            assert_eq!(id.to_string().len(), 16);
            assert_eq!(AccountId::from_number(id.number()), Some(id));
        }
        assert_eq!(AccountId::from_number(1 << 53), None);
    }
}
