//! `init`, `check` and `unlock`

use clap::{Args, ValueEnum};
use lifeboat_repository::check::ReadData;

use super::copy::FromArgs;

/// Make a new vault
#[derive(Clone, Debug, Args)]
pub(crate) struct InitArgs {
    /// The version of the repository format
    #[arg(long, value_enum, value_name = "VERSION", default_value_t = FormatVersion::Stable)]
    pub(crate) repository_version: FormatVersion,

    /// Cut files where another vault does, so that copies between the two deduplicate
    #[arg(long)]
    pub(crate) copy_chunker_params: bool,

    #[command(flatten)]
    pub(crate) from: FromArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatVersion {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
    Latest,
    Stable,
}

/// Verify that a vault is whole
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read all data
    #[arg(long, conflicts_with = "read_data_subset")]
    pub(crate) read_data: bool,

    /// Read a part of the data: n/t for one of t parts, or x% or a size (suffixes k, M, G, T) for a random one
    #[arg(long, value_name = "SUBSET")]
    pub(crate) read_data_subset: Option<ReadData>,
}

/// Remove locks that dead or vanished processes left
#[derive(Clone, Debug, Args)]
pub(crate) struct UnlockArgs {
    /// Remove all locks, even of processes that still run
    #[arg(long)]
    pub(crate) remove_all: bool,
}
