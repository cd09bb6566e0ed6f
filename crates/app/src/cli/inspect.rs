//! `ls`, `find`, `diff`, `dump` and `stats`: commands that only read.

use clap::{Args, ValueEnum};

use super::snapshots::FilterArgs;
use super::values::{Moment, SnapshotName, SnapshotPath};

/// List what a snapshot holds
#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    /// The snapshot, or a folder in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: SnapshotPath,

    /// Only these folders (absolute), and what is directly in them
    #[arg(value_name = "DIR")]
    pub(crate) dirs: Vec<String>,

    /// Show mode, owner, size and time as well
    #[arg(short = 'l', long)]
    pub(crate) long: bool,

    /// With folders: also what is below them
    #[arg(long)]
    pub(crate) recursive: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Find files, folders or blobs in snapshots
#[derive(Clone, Debug, Args)]
pub(crate) struct FindArgs {
    /// Patterns of names or paths; with --blob, --tree and --pack beginnings of ids
    #[arg(value_name = "PATTERN", required = true)]
    pub(crate) patterns: Vec<String>,

    /// Whatever the case of names
    #[arg(short = 'i', long)]
    pub(crate) ignore_case: bool,

    /// Show mode, owner, size and time as well
    #[arg(short = 'l', long)]
    pub(crate) long: bool,

    /// Search these snapshots; may be repeated [default: all]
    #[arg(short = 's', long, value_name = "SNAPSHOT")]
    pub(crate) snapshot: Vec<SnapshotName>,

    /// Only what was modified at this time or later
    #[arg(short = 'O', long, value_name = "TIME")]
    pub(crate) oldest: Option<Moment>,

    /// Only what was modified at this time or before
    #[arg(short = 'N', long, value_name = "TIME")]
    pub(crate) newest: Option<Moment>,

    /// Find the files that hold a blob
    #[arg(long, conflicts_with_all = ["tree", "pack"])]
    pub(crate) blob: bool,

    /// Find the folders that are a tree
    #[arg(long, conflicts_with = "pack")]
    pub(crate) tree: bool,

    /// Find the files and folders that need a pack
    #[arg(long)]
    pub(crate) pack: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Show what differs between two snapshots
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// The older snapshot, or a folder in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) from: SnapshotPath,

    /// The newer one
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) to: SnapshotPath,

    /// Also show what differs only in mode, owner or times
    #[arg(long)]
    pub(crate) metadata: bool,
}

/// Print a file of a snapshot, or a folder as an archive
#[derive(Clone, Debug, Args)]
pub(crate) struct DumpArgs {
    /// The snapshot, or a folder in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub(crate) snapshot: SnapshotPath,

    /// The path in it of the file or folder; / is all of it
    #[arg(value_name = "FILE")]
    pub(crate) file: String,

    /// The kind of archive that folders become
    #[arg(short = 'a', long, value_enum, value_name = "KIND", default_value_t = ArchiveFormat::Tar)]
    pub(crate) archive: ArchiveFormat,

    /// Write into this file instead of standard output
    #[arg(short = 't', long, value_name = "FILE")]
    pub(crate) target: Option<std::path::PathBuf>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchiveFormat {
    Tar,
    Zip,
}

/// Count what is in snapshots
#[derive(Clone, Debug, Args)]
pub(crate) struct StatsArgs {
    /// Only these snapshots [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<SnapshotName>,

    /// What to count
    #[arg(long, value_enum, default_value_t = StatsMode::RestoreSize)]
    pub(crate) mode: StatsMode,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsMode {
    /// Files and bytes that restoring would write
    RestoreSize,
    /// Files and bytes, the same content counted once
    FilesByContents,
    /// Bytes of blobs that files refer to
    BlobsPerFile,
    /// Blobs and the bytes they take in the vault
    RawData,
}
