//! Filters of listings: conditions on columns, all of which must hold, and the page to show.

use crate::time::Millis;

/// How values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    /// Ends included.
    Between,
    In,
}

/// One condition on a listing of jobs. Text is compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobCondition {
    Text { field: TextField, comparison: TextComparison, values: Vec<String> },
    Time { field: TimeField, comparison: Comparison, values: Vec<Millis> },
}

/// The comparisons that text can bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextComparison {
    Equal,
    NotEqual,
    In,
}

/// Text columns of jobs that listings can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextField {
    Id,
    PlanId,
    VaultId,
    Region,
    InstanceId,
    ParentId,
    State,
    SourceType,
    BackupType,
    /// The backup job that a restored snapshot came from.
    SourceJobId,
    TargetInstanceId,
    /// Of sources that are neither files nor here yet: no row has one.
    Bucket,
    FileSystemId,
    InstanceName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    Created,
    Completed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Which part of a listing to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// From one.
    pub number: u32,
    pub size: u32,
}

impl Page {
    pub fn offset(self) -> u64 {
        u64::from(self.number.saturating_sub(1)) * u64::from(self.size)
    }
}

/// One page, and how many rows all pages have.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pub rows: Vec<T>,
    pub total: u64,
}
