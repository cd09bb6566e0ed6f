//! Options that every command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::values::parse_duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The vault to work on [default: $LIFEBOAT_VAULT, $RESTIC_REPOSITORY, or the default vault]
    #[arg(short = 'r', long, visible_alias = "repo", global = true, value_name = "DIR")]
    pub(crate) vault: Option<String>,

    /// A file that holds the place of the vault
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "vault")]
    pub(crate) repository_file: Option<PathBuf>,

    /// A file that holds the password [default: $LIFEBOAT_PASSWORD_FILE or $RESTIC_PASSWORD_FILE]
    #[arg(short = 'p', long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// A program (no shell) that prints the password [default: $RESTIC_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "password_file")]
    pub(crate) password_command: Option<String>,

    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors
    #[arg(short = 'q', long, global = true)]
    pub(crate) quiet: bool,

    /// Print more; may be repeated
    #[arg(short = 'v', long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,

    /// How long to wait for a vault that others have locked (for example 5m)
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub(crate) retry_lock: Duration,

    /// Take no lock, for reading a vault that cannot be written to
    #[arg(long, global = true)]
    pub(crate) no_lock: bool,
}
