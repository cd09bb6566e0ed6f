//! Options that every command takes.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use lifeboat_repository::pack::Compression;

use super::values::parse_duration;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The vault to work on [default: $LIFEBOAT_VAULT, $RESTIC_REPOSITORY, or the default vault]; for commands that ask
    /// a server, the id or name of a vault there
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

    /// The server that vault, plan, policy, job, restore-job and client ask [default: $LIFEBOAT_SERVER, or
    /// http://127.0.0.1:8787]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,

    /// A file with the access key to ask it with [default: $LIFEBOAT_CREDENTIALS, or the root.json of this machine's
    /// server]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Certificates to trust beside those of public authorities (PEM) [default: $LIFEBOAT_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Print JSON, one object per line
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors
    #[arg(short = 'q', long, global = true)]
    pub(crate) quiet: bool,

    /// Print more: also each item that is new, changed or restored; -vv also those that stay as they are
    #[arg(short = 'v', long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,

    /// How long to wait for a vault that others have locked (for example 5m)
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration, default_value = "0")]
    pub(crate) retry_lock: Duration,

    /// How hard to compress new data
    #[arg(long, global = true, value_enum, value_name = "MODE", default_value_t)]
    pub(crate) compression: CompressionArg,

    /// The size at which a pack file is full, in MiB
    #[arg(long, global = true, value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u32).range(4..=128))]
    pub(crate) pack_size: u32,

    /// Write at most this many KiB a second to the vault
    #[arg(long, global = true, value_name = "KIB")]
    pub(crate) limit_upload: Option<NonZeroU32>,

    /// Read at most this many KiB a second from the vault
    #[arg(long, global = true, value_name = "KIB")]
    pub(crate) limit_download: Option<NonZeroU32>,

    /// Keep copies of index and snapshot files here, for a vault on a slow disk
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Keep no copies of the vault's files
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub(crate) no_cache: bool,

    /// Take no lock on a vault that is only read (as by a dry run, or by copy from its source)
    #[arg(long, global = true)]
    pub(crate) no_lock: bool,
}

/// How hard to compress.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum CompressionArg {
    #[default]
    Auto,
    Off,
    Max,
}

impl From<CompressionArg> for Compression {
    fn from(arg: CompressionArg) -> Self {
        match arg {
            CompressionArg::Auto => Self::Auto,
            CompressionArg::Off => Self::Off,
            CompressionArg::Max => Self::Max,
        }
    }
}
