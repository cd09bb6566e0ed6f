//! `backup`

use std::path::PathBuf;

use clap::Args;
use lifeboat_adapters::files::Marker;
use lifeboat_repository::retention::GroupBy;

use super::patterns::{ExcludeArgs, IncludeArgs};
use super::values::{ByteSize, Moment, SnapshotName, TagList};

/// Save files and folders as a new snapshot
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    /// Files and folders to save
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) exclude: ExcludeArgs,

    #[command(flatten)]
    pub(crate) include: IncludeArgs,

    /// Leave out what is in folders that hold a file of this name (which has to begin with HEADER)
    #[arg(long, value_name = "NAME[:HEADER]")]
    pub(crate) exclude_if_present: Vec<Marker>,

    /// Leave out what is in folders marked as caches (CACHEDIR.TAG)
    #[arg(long)]
    pub(crate) exclude_caches: bool,

    /// Leave out files larger than this (suffixes k, M, G, T)
    #[arg(long, value_name = "SIZE")]
    pub(crate) exclude_larger_than: Option<ByteSize>,

    /// Stay on the file systems of the paths given
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,

    /// Tags for the new snapshot, separated by commas; may be repeated
    #[arg(long, value_name = "TAGS")]
    pub(crate) tag: Vec<TagList>,

    /// The host name to note in the snapshot [default: this host's]
    #[arg(short = 'H', long, value_name = "NAME")]
    pub(crate) host: Option<String>,

    /// The time to note in the snapshot (for example '2012-11-01 22:08:41') [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<Moment>,

    /// The snapshot to compare with [default: the latest of the same host and paths]
    #[arg(long, value_name = "SNAPSHOT")]
    pub(crate) parent: Option<SnapshotName>,

    /// What the default parent has to have in common with the new snapshot
    #[arg(short = 'g', long, value_name = "GROUP", default_value = "host,paths")]
    pub(crate) group_by: GroupBy,

    /// Read every file, whether it has changed or not
    #[arg(short = 'f', long)]
    pub(crate) force: bool,

    /// Take a file for unchanged even if its inode number is another
    #[arg(long)]
    pub(crate) ignore_inode: bool,

    /// Take a file for unchanged even if its ctime is another
    #[arg(long)]
    pub(crate) ignore_ctime: bool,

    /// Make no snapshot when nothing has changed since the parent
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,

    /// Store nothing, only tell what would be stored
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Save the paths listed in a file (- for standard input), one per line; wildcards are expanded
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Vec<PathBuf>,

    /// The same, but every line is a path as it stands
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from_verbatim: Vec<PathBuf>,

    /// The same, but each path ends with a zero byte
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from_raw: Vec<PathBuf>,

    /// Save what comes on standard input as one file
    #[arg(long, conflicts_with_all = ["paths", "files_from", "files_from_verbatim", "files_from_raw"])]
    pub(crate) stdin: bool,

    /// The name of the file that --stdin makes
    #[arg(long, value_name = "NAME", default_value = "stdin", requires = "stdin")]
    pub(crate) stdin_filename: PathBuf,

    /// Keep the times of last access
    #[arg(long)]
    pub(crate) with_atime: bool,
}
