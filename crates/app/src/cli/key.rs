//! `key`

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Manage the passwords that open a vault
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// List keys; the one in use is marked with a star
    List,
    /// Add a password
    Add(NewKeyArgs),
    /// Remove a key
    Remove {
        /// The beginning of the key's id
        id: String,
    },
    /// Replace the password in use by another
    Passwd(NewKeyArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// A file that holds the new password [default: ask]
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,

    /// The user name to note in the key
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The host name to note in the key
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
}
