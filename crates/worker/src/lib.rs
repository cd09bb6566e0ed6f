//! Does one job: opens the vault, runs the engine over the source or the target, and says how it went.
//!
//! Nothing here knows who asked or where jobs are kept. Progress is read from outside while a job runs; a job that is
//! killed leaves a vault as the engine leaves it, so the next attempt goes on from what was stored.

mod backup;
mod browse;
mod counted;
mod database;
mod import;
mod progress;
mod prune;
mod report;
mod resource;
mod restore;
mod rules;
mod speed;
mod vault;

pub use self::backup::{BackupOrder, back_up};
pub use self::browse::{BrowseError, BrowseOrder, Entry, Folder, Listing, browse};
pub use self::database::{
    DatabaseBackupOrder, DatabaseError, DatabaseRestoreOrder, MadeServer, Slots, back_up_database,
    check_key_filter, data_nodes, find_nodes, restore_database, start_server, stop_server, url_at,
};
pub use self::import::{
    FoundSnapshot, Unreadable, VaultStamp, delete_vault, is_locked, list_snapshots, opens, read_snapshots,
    read_spec, stored_bytes, vault_folders, vault_stamp, write_spec,
};
pub use self::progress::Progress;
pub use self::prune::{PruneOrder, prune};
pub use self::report::{ItemLog, error_file, make_reports, report_files};
pub use self::resource::{
    AddressError, Reach, TestError, TestReport, is_of_the_network, resource_address, test_resource,
};
pub use self::restore::{RestoreOrder, restore};
pub use self::vault::{VaultAccess, create_vault};
use lifeboat_model::database::{DataNode, SetDetail};
use lifeboat_model::time::Millis;
pub use lifeboat_repository::clock::Time;
pub use lifeboat_repository::{Ctx, Error as VaultError, Result as VaultResult};

/// How a job went.
#[derive(Debug, Default)]
pub struct Done {
    /// The snapshot that a backup made, and the one it was compared with.
    pub snapshot: Option<String>,
    pub parent: Option<String>,
    /// Something is missing in the result, or not as it should be there.
    pub is_partial: bool,
    /// When the snapshot was made, as it says itself.
    pub ended: Option<Millis>,
    /// What is known of the backup of a database besides its bytes.
    pub detail: Option<SetDetail>,
    /// The server that a restore has made.
    pub server: Option<MadeServer>,
    /// What a cluster was found to be made of, each of which is to be backed up by itself.
    pub nodes: Option<Box<[DataNode]>>,
}

/// What was tried on an entry and why it failed, in one line.
fn reason(error: &lifeboat_repository::source::EntryError) -> String {
    let mut why = format!("{}: {}", error.op, error.cause);
    let mut next = std::error::Error::source(&*error.cause);
    while let Some(cause) = next {
        why.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    why
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the job was cancelled")]
    Cancelled,
    /// Not one of the paths of a source exists.
    #[error("none of the paths to back up exists")]
    NoSource,
    /// The folder to restore into does not exist.
    #[error("the folder {0} to restore into does not exist")]
    NoTarget(String),
    /// A path outside the folders that jobs may touch.
    #[error("{0} is outside the folders that jobs of this client may touch")]
    NotAllowed(String),
    #[error("a pattern cannot be used")]
    BadPattern(#[source] lifeboat_repository::Error),
    /// Somebody else holds the vault for too long.
    #[error("the vault is locked")]
    Locked(#[source] lifeboat_repository::Error),
    /// The vault cannot be opened, or fails.
    #[error("the vault failed")]
    Vault(#[source] lifeboat_repository::Error),
    #[error("cannot begin")]
    Begin(#[source] std::io::Error),
    /// The database failed, or may not be read.
    #[error(transparent)]
    Database(DatabaseError),
}

impl From<lifeboat_repository::Error> for JobError {
    fn from(error: lifeboat_repository::Error) -> Self {
        Self::of_vault(error)
    }
}

impl JobError {
    fn of_vault(error: lifeboat_repository::Error) -> Self {
        match error.kind {
            lifeboat_repository::ErrorKind::Cancelled => Self::Cancelled,
            lifeboat_repository::ErrorKind::Locked => Self::Locked(error),
            _ => Self::Vault(error),
        }
    }

    /// The token that clients are shown; all of them are in `docs/wire/hbr-errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELED",
            Self::NoSource => "SOURCE_NOT_EXIST",
            Self::NoTarget(_) => "TARGET_NOT_EXIST",
            Self::NotAllowed(_) => "PATH_NOT_ALLOWED",
            Self::BadPattern(_) => "INVALID_PATTERN",
            Self::Locked(_) => "VAULT_LOCKED",
            Self::Vault(_) => "ACCESS_VAULT_FAIL",
            Self::Begin(_) => "SOURCE_UNAVAILABLE",
            Self::Database(error) => error.code,
        }
    }
}
