//! Backups of databases and of Redis: how they are made, how far they are, and what a restore makes of them.
//!
//! A [`Phase`] is entered by the line of code that begins it, and shown as long as that lasts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::resource::{Engine, ResourceId};

/// What a backup that runs is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looks whether it can be done: is the server there, may we?
    Checking,
    /// As many as may read at once do so already.
    Waiting,
    /// The server gets ready: a checkpoint, a lock, a fork.
    Preparing,
    /// What the server sends goes into the vault.
    Streaming,
    /// What was stored is read again and compared.
    ReadingBack,
}

impl Phase {
    pub const ALL: [Self; 5] =
        [Self::Checking, Self::Waiting, Self::Preparing, Self::Streaming, Self::ReadingBack];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checking => "checking",
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Streaming => "streaming",
            Self::ReadingBack => "reading_back",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

/// What is taken of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupMethod {
    /// Its files, all of them, as of one moment.
    #[default]
    Physical,
    /// What makes it again: statements and rows, database by database.
    Logical,
}

impl BackupMethod {
    pub const ALL: [Self; 2] = [Self::Physical, Self::Logical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Physical => "Physical",
            Self::Logical => "Logical",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// One server of a cluster that has a part of its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataNode {
    pub id: String,
    pub host: String,
    pub port: u16,
    /// Which part, and since when it is that; another text as soon as any of it was moved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub share: String,
}

/// What a backup of a database or of Redis does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseBackup {
    pub resource: ResourceId,
    pub engine: Engine,
    #[serde(default)]
    pub method: BackupMethod,
    /// Of a logical backup: these alone; all of them where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// Of a cluster: this node alone, and how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<DataNode>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nodes: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One database of which tables are restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredDatabase {
    pub name: String,
    /// Another name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// These tables alone; all of it where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<RestoredTable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredTable {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
}

/// What a restore makes of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseRestoreTarget {
    /// A new server under this id.
    Instance(ResourceId),
    /// Databases or tables within the server itself.
    Tables(Vec<RestoredDatabase>),
    /// The keys of a Redis, which are overwritten; with a filter only those that one of its regular expressions,
    /// parted by commas, matches.
    Keys { filter: Option<String> },
}

/// What a restore of a database or of Redis does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRestore {
    /// Into which resource; of a new server, the one that the backup was taken of.
    pub resource: ResourceId,
    pub engine: Engine,
    pub method: BackupMethod,
    pub target: DatabaseRestoreTarget,
}

/// What is known of a backup besides its bytes. A field is absent where the engine has no such thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetDetail {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub engine_version: String,
    /// The databases that are in it, where the backup is made database by database.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// The moment that it shows, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_at: Option<i64>,
    /// Where in its log that is: an LSN, a binlog position, a replication offset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub position: String,
    /// Of the content, as the engine itself counts it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub checksum: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// What a server that is made of it has to be told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// When a resource is backed up by itself, and how long such backups are kept. Hours are UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabasePolicy {
    /// Monday is 0.
    pub weekdays: Vec<u8>,
    /// Minutes since midnight.
    pub from_minute: u16,
    pub to_minute: u16,
    pub retention_days: u32,
    #[serde(default)]
    pub method: BackupMethod,
}

/// How long backups are kept unless somebody says otherwise.
pub const DEFAULT_RETENTION_DAYS: u32 = 7;

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_method_is_found_by_its_name() {
        assert!(Phase::ALL.into_iter().all(|phase| Phase::parse(phase.as_str()) == Some(phase)));
        assert!(
            BackupMethod::ALL.into_iter().all(|method| BackupMethod::parse(method.as_str()) == Some(method))
        );
        assert_eq!((Phase::parse(""), BackupMethod::parse("Snapshot")), (None, None));
    }
}
