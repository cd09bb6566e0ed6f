//! Plans: what to back up into which vault, and when. Where data comes from, and how jobs for it are made.

use serde::{Deserialize, Serialize};

use crate::database::DatabaseBackup;
use crate::files::{FilesRestoreSpec, FilesSpec};
use crate::id::{AccountId, ClientId, InstanceId, RuleId};
use crate::retention::{Retention, RetentionRule};
use crate::schedule::Schedule;

/// Kinds of things that can be protected, by the names their listings use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// Files of an instance.
    EcsFile,
    /// Files of a machine that is no instance.
    File,
}

impl SourceType {
    pub const ALL: [Self; 2] = [Self::EcsFile, Self::File];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcsFile => "ECS_FILE",
            Self::File => "File",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Which machine's files are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Instance(InstanceId),
    Client(ClientId),
}

/// What a caller calls a backup. All are the same here: whole to look at, stored as what is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackupType {
    #[default]
    #[serde(rename = "COMPLETE")]
    Complete,
    #[serde(rename = "INCREMENTAL")]
    Incremental,
}

impl BackupType {
    pub const ALL: [Self; 2] = [Self::Complete, Self::Incremental];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "COMPLETE",
            Self::Incremental => "INCREMENTAL",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One of several schedules of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRule {
    pub id: RuleId,
    pub name: String,
    pub schedule: Schedule,
    pub backup_type: BackupType,
    /// Days to keep its snapshots; as the plan says when there is none.
    pub retention_days: Option<u32>,
    pub is_disabled: bool,
}

/// What plans can be searched by; a plan is found when it has one of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCondition {
    pub field: PlanField,
    pub values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanField {
    Id,
    Name,
    SourceType,
    Edition,
    VaultId,
    InstanceId,
    ClientId,
    /// Of sources that are neither files nor here yet: no plan has one.
    Elsewhere,
}

/// The longest that anything can be kept: a day less than a thousand years.
pub const MOST_RETENTION_DAYS: u32 = 364_635;

/// Another account whose machine is meant, and the role in it that lets one do so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossAccount {
    pub account: AccountId,
    pub role: String,
}

/// What a backup job does. Stored with the job, so that later changes of its plan do not change it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSpec {
    pub files: FilesSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_limit: Option<String>,
    /// As the caller wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// Days to keep the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Longer lives for the first snapshots of days, weeks, months and years.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retention_rules: Vec<RetentionRule>,
    /// The newest snapshot outlives its retention.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_latest: bool,
    /// Absent when the machine is the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<CrossAccount>,
    /// What it does where it is no backup of files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseBackup>,
}

impl BackupSpec {
    pub fn retention(&self) -> Retention {
        Retention {
            days: self.retention_days,
            rules: self.retention_rules.clone(),
            keep_latest: self.keep_latest,
        }
    }
}

/// What a restore job does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSpec {
    pub files: FilesRestoreSpec,
    /// As the caller wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<String>,
    /// Absent when the machine is the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross: Option<CrossAccount>,
}
