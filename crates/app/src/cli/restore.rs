//! `restore`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::patterns::{ExcludeArgs, IncludeArgs};
use super::snapshots::FilterArgs;
use super::values::SnapshotPath;

/// Bring back what a snapshot holds
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The snapshot, or a folder in it: latest, an id, or either with :PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: SnapshotPath,

    /// The folder to restore below
    #[arg(short = 't', long, value_name = "DIR")]
    pub(crate) target: PathBuf,

    #[command(flatten)]
    pub(crate) exclude: ExcludeArgs,

    #[command(flatten)]
    pub(crate) include: IncludeArgs,

    /// What to do with files that exist
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = OverwriteArg::Always)]
    pub(crate) overwrite: OverwriteArg,

    /// Remove from the target what the snapshot does not hold
    #[arg(long)]
    pub(crate) delete: bool,

    /// Write nothing, only tell what would be written
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Read restored files again and compare them with the snapshot
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) verify: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverwriteArg {
    /// Replace them
    Always,
    /// Replace them if size or time of modification differ
    IfChanged,
    /// Replace them if the snapshot's are newer
    IfNewer,
    /// Leave them as they are
    Never,
}
