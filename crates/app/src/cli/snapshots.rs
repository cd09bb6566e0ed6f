//! `snapshots`, and the options that choose among snapshots.

use std::path::PathBuf;

use clap::Args;
use lifeboat_repository::retention::GroupBy;

use super::values::{SnapshotName, TagList};

/// Options that narrow the snapshots a command looks at.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only snapshots of this host; may be repeated
    #[arg(short = 'H', long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// Only snapshots that bear all these tags, separated by commas; may be repeated for other sets
    #[arg(long, value_name = "TAGS")]
    pub(crate) tag: Vec<TagList>,

    /// Only snapshots of this (absolute) path; may be repeated to require several
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<PathBuf>,
}

/// List the snapshots in a vault
#[derive(Clone, Debug, Args)]
pub(crate) struct SnapshotsArgs {
    /// Only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<SnapshotName>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// List by host, paths and tags
    #[arg(short = 'g', long, value_name = "GROUP")]
    pub(crate) group_by: Option<GroupBy>,

    /// Only the newest N of each host and paths
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) latest: Option<u32>,

    /// Leave out paths
    #[arg(short = 'c', long)]
    pub(crate) compact: bool,
}
