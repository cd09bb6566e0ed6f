//! Groups of snapshots: a policy is applied to each on its own.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// What snapshots of one group have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBy {
    pub host: bool,
    pub paths: bool,
    pub tags: bool,
}

impl GroupBy {
    pub const HOST_AND_PATHS: Self = Self { host: true, paths: true, tags: false };

    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for GroupBy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut by = Self::default();
        for word in text.split(',') {
            match word {
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                "" => {}
                _ => {
                    let what = format!("cannot group by {word:?}, only by host, paths and tags");
                    return Err(Error::new(ErrorKind::InvalidInput, what));
                }
            }
        }
        Ok(by)
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.host, "host"), (self.paths, "paths"), (self.tags, "tags")];
        let chosen: Vec<_> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
        f.write_str(&chosen.join(","))
    }
}

/// What the snapshots of a group share; empty where the grouping does not ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct GroupKey {
    pub hostname: String,
    /// Sorted. `None` when not grouped by paths.
    pub paths: Option<Vec<String>>,
    /// Sorted. `None` when not grouped by tags, or when there are none.
    pub tags: Option<Vec<String>>,
}

/// Numbers groups, so that the keys of snapshots stay small.
#[derive(Debug)]
pub struct Groups {
    by: GroupBy,
    numbers: HashMap<GroupKey, u32>,
}

impl Groups {
    pub fn new(by: GroupBy) -> Self {
        Self { by, numbers: HashMap::new() }
    }

    /// The number of the group that a snapshot belongs to.
    pub fn number(&mut self, host: &str, paths: &[String], tags: &[String]) -> u32 {
        let sorted = |words: &[String]| {
            let mut words = words.to_vec();
            words.sort_unstable();
            words
        };
        let key = GroupKey {
            hostname: if self.by.host { host.to_owned() } else { String::new() },
            paths: self.by.paths.then(|| sorted(paths)),
            tags: (self.by.tags && !tags.is_empty()).then(|| sorted(tags)),
        };
        let next = u32::try_from(self.numbers.len()).expect("four billion groups do not fit into memory");
        *self.numbers.entry(key).or_insert(next)
    }

    /// All groups, ordered by host, paths and tags.
    pub fn into_sorted(self) -> Vec<(GroupKey, u32)> {
        let mut groups: Vec<_> = self.numbers.into_iter().collect();
        groups.sort_unstable();
        groups
    }
}
