//! Commands about who may do what on a server: accounts, users, access keys, roles, the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::remote::LimitArgs;

/// Manage the accounts of a server
#[derive(Clone, Debug, Args)]
pub(crate) struct AccountArgs {
    #[command(subcommand)]
    pub(crate) action: AccountAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AccountAction {
    /// Make an account and print its credentials, a file for --credentials
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the accounts
    List,
}

/// Manage the users of an account
#[derive(Clone, Debug, Args)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    pub(crate) action: UserAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum UserAction {
    /// Make a user, who may do nothing until something is attached; --password-file gives a password to log in with
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the users
    List,
    /// Remove a user, with his keys
    Delete {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Attach AdministratorAccess, ReadOnlyAccess or the policy document in a file
    Attach(AttachArgs),
    /// Take a document away
    Detach(DetachArgs),
    /// List what is attached
    Documents {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AttachArgs {
    /// The user or role
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The name of a built-in document, or @ and a file
    #[arg(value_name = "BUILTIN|@FILE")]
    pub(crate) document: String,
    /// What the document of a file is called [default: as the file, without its extension]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) called: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DetachArgs {
    /// The user or role
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The name of the document
    #[arg(value_name = "DOCUMENT")]
    pub(crate) document: String,
}

/// Manage access keys
#[derive(Clone, Debug, Args)]
pub(crate) struct AccessKeyArgs {
    #[command(subcommand)]
    pub(crate) action: AccessKeyAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AccessKeyAction {
    /// Make a key and print it as credentials, a file for --credentials; the secret is never told again
    Create {
        /// Whose it is [default: the account itself]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// List keys and when they were last used
    List {
        /// Only keys of this user
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Let a key work no longer
    Disable {
        /// The id of the key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Let a key work again
    Enable {
        /// The id of the key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Remove a key
    Delete {
        /// The id of the key
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// Manage the roles by which other accounts may back up machines of this one
#[derive(Clone, Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(subcommand)]
    pub(crate) action: RoleAction,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RoleAction {
    /// Make a role
    Add {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// The document that says who may act in it
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
    },
    /// List the roles
    List,
    /// Remove a role
    Delete {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Attach AdministratorAccess, ReadOnlyAccess or the policy document in a file
    Attach(AttachArgs),
    /// Take a document away
    Detach(DetachArgs),
    /// List what is attached
    Documents {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Look at what was done on a server, by whom, and what was refused
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
}
