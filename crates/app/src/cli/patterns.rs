//! Options that choose paths by pattern.

use std::path::PathBuf;

use clap::Args;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out what matches the pattern; may be repeated
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,

    /// The same, whatever the case of names
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iexclude: Vec<String>,

    /// Leave out what matches the patterns in a file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_file: Vec<PathBuf>,

    /// The same, whatever the case of names
    #[arg(long, value_name = "FILE")]
    pub(crate) iexclude_file: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct IncludeArgs {
    /// Take only what matches the pattern; may be repeated
    #[arg(short = 'i', long, value_name = "PATTERN")]
    pub(crate) include: Vec<String>,

    /// The same, whatever the case of names
    #[arg(long, value_name = "PATTERN")]
    pub(crate) iinclude: Vec<String>,

    /// Take only what matches the patterns in a file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) include_file: Vec<PathBuf>,

    /// The same, whatever the case of names
    #[arg(long, value_name = "FILE")]
    pub(crate) iinclude_file: Vec<PathBuf>,
}
