//! Why the service did not do what it was asked. Dialects turn each kind into a code of theirs.

use lifeboat_catalog::{CatalogError, CatalogErrorKind};
use lifeboat_model::files::FilesSpecError;
use lifeboat_model::id::AccountId;

use crate::access::{Denial, PolicyError};

/// What is not there, or is somebody else's: nobody is told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Vault,
    Plan,
    Rule,
    Policy,
    /// A source that is bound to a policy.
    Binding,
    Job,
    Restore,
    Snapshot,
    Client,
    Task,
    /// A folder of a snapshot.
    Folder,
    /// A file to be fetched.
    TempFile,
    Account,
    User,
    Role,
    AccessKey,
    Document,
    CrossAccount,
    /// A database or a Redis server.
    Resource,
    BackupSet,
}

impl Missing {
    /// The token that a job fails with which needs it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Vault => "VAULT_NOT_EXIST",
            Self::Snapshot => "SNAPSHOT_NOT_EXIST",
            Self::Client => "CLIENT_NOT_EXIST",
            Self::Role => "HBR.NoRamRoleBound",
            _ => "INTERNAL_ERROR",
        }
    }
}

/// A value that makes no sense, and what would.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {value:?} is not valid: {accepted}")]
pub struct Invalid {
    pub what: &'static str,
    pub value: String,
    pub accepted: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, value: &str, accepted: impl Into<String>) -> Self {
        Self { what, value: value.to_owned(), accepted: accepted.into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("there is no such {0:?}: {1}")]
    Missing(Missing, String),
    /// A name is taken.
    #[error("{0}")]
    Exists(String),
    /// Not in the state that things are in.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    Files(#[from] FilesSpecError),
    /// An immutable vault forbids it.
    #[error("{0}")]
    Worm(String),
    /// A policy names the vault to be deleted.
    #[error("{0}")]
    VaultBound(String),
    /// A vault's repository cannot be read.
    #[error("the vault failed")]
    Vault(#[source] lifeboat_worker::VaultError),
    /// A vault's folder cannot be read.
    #[error("the folder of a vault cannot be read")]
    Storage(#[source] std::io::Error),
    /// A folder that is not what it should be.
    #[error("{0}")]
    Strange(String),
    /// More than the account may have.
    #[error("{0}")]
    Quota(String),
    /// What the account may not have done on this machine, or what is not on it.
    #[error("{0}")]
    NotLocal(String),
    /// A job of the same resource has not ended.
    #[error("{0}")]
    BackupRuns(String),
    /// A database or Redis cannot be asked.
    #[error("the resource cannot be asked")]
    Source(#[source] lifeboat_worker::JobError),
    /// The caller may not do that.
    #[error(transparent)]
    Denied(#[from] Denial),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The vault cannot be looked into: its storage fails, or it is damaged.
    #[error("cannot look into a snapshot")]
    Browse(#[source] lifeboat_worker::BrowseError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A role of another account that does not let the caller in.
    #[error("the role {role} of the account {account} does not trust this account")]
    NotTrusted { role: String, account: AccountId },
    /// The database does not answer; later it may.
    #[error("the catalog does not answer")]
    Unavailable(#[source] CatalogError),
    #[error("the catalog failed")]
    Internal(#[source] CatalogError),
    /// A secret in the catalog that this server's key does not open.
    #[error(
        "a secret cannot be opened: it was sealed with another server.key than the one in the data folder, or is damaged"
    )]
    Sealed,
}

impl From<CatalogError> for ServiceError {
    fn from(error: CatalogError) -> Self {
        match error.kind {
            CatalogErrorKind::Exists => Self::Exists(error.to_string()),
            CatalogErrorKind::Conflict => Self::Conflict(error.to_string()),
            CatalogErrorKind::Unavailable => Self::Unavailable(error),
            CatalogErrorKind::Internal => Self::Internal(error),
        }
    }
}
