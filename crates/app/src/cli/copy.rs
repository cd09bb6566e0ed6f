//! `copy`

use std::path::PathBuf;

use clap::Args;

use super::snapshots::FilterArgs;
use super::values::SnapshotName;

/// Copy snapshots from another vault into this one
#[derive(Clone, Debug, Args)]
pub(crate) struct CopyArgs {
    /// Only these snapshots [default: all]
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshots: Vec<SnapshotName>,

    #[command(flatten)]
    pub(crate) from: FromArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Names a second vault.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct FromArgs {
    /// The vault to copy from [default: $RESTIC_FROM_REPOSITORY]
    #[arg(long, visible_alias = "from-repo", value_name = "DIR")]
    pub(crate) from_vault: Option<String>,

    /// A file that holds its password [default: $RESTIC_FROM_PASSWORD_FILE or $RESTIC_FROM_PASSWORD]
    #[arg(long, value_name = "FILE")]
    pub(crate) from_password_file: Option<PathBuf>,

    /// A program (no shell) that prints its password [default: $RESTIC_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", conflicts_with = "from_password_file")]
    pub(crate) from_password_command: Option<String>,
}

impl FromArgs {
    /// True when one of these options is given.
    pub(crate) fn names_something(&self) -> bool {
        self.from_vault.is_some() || self.from_password_file.is_some() || self.from_password_command.is_some()
    }
}
