//! What the product does, whoever asks and in whatever dialect: vaults, plans, jobs, snapshots.
//!
//! Every call names its caller, and what it finds is the caller's own. A job is a row before anybody works on it;
//! workers take it from there. What a crash interrupts is found again from the rows at the next start.

pub mod access;
mod bridge;
mod browse;
mod cross_account;
mod databases;
mod dispatch;
mod error;
mod figures;
mod import;
mod jobs;
mod nonces;
mod paging;
mod plans;
mod policies;
mod rebuild;
mod reports;
mod resources;
mod restores;
mod retention;
mod roles;
mod running;
mod schedule;
mod sealer;
mod secret;
mod signing;
mod snapshots;
mod start;
mod stored;
mod tags;
#[cfg(test)]
mod testing;
mod users;
mod vaults;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::id::{AccountId, ClientId};
use lifeboat_model::time::Millis;
use lifeboat_worker::Slots;
use tokio::sync::{Notify, Semaphore};

pub use self::access::{Denial, Permit, PolicyError, RequestContext};
pub use self::browse::BrowseRequest;
pub use self::cross_account::Crossing;
pub use self::databases::{NewDatabaseBackup, SetRequest};
pub use self::dispatch::Dispatcher;
pub use self::error::{Invalid, Missing, ServiceError};
pub use self::figures::EndedJobs;
use self::nonces::Nonces;
pub use self::plans::{NewPlanRequest, NewPlanRule, PlanChange};
pub use self::policies::{BindingChange, NewBinding, NewPolicyRule, PolicyChange};
pub use self::rebuild::Rebuilt;
pub use self::reports::{LinkError, ReportKeys, TempLink};
pub use self::resources::NewResourceRequest;
pub use self::restores::NewRestore;
pub use self::sealer::Sealer;
pub use self::secret::Secret;
pub use self::signing::SigningKey;
pub use self::start::{Root, Start};
pub use self::users::NewKey;
pub use self::vaults::NewVaultRequest;
pub use lifeboat_catalog::{
    AccessKeyRow, AccountRow, AttachedDocument, AuditRow, BackupSet, BindingRow, Catalog, ClientRow,
    CrossAccountRow, DatabaseJobFilter, DocumentOwner, JobFilter, JobRow, LabelFilter, Labels,
    Place as CatalogPlace, PlanRow, PolicyRow, Portion, ProtectedResource, ResourceFilter, ResourceRow,
    RoleRow, RunningFilter, SetFilter, SetRow, SnapshotColumn, SnapshotCondition, SnapshotOperator,
    SnapshotRow, SnapshotValue, SnapshotWindow, SourceFigure, TaskRow, UserRow, VaultChange, VaultFilter,
    VaultRow,
};
pub use lifeboat_worker::{Entry, Folder, Listing, TestReport};

pub type Result<T> = std::result::Result<T, ServiceError>;

/// Gives the time; another one in tests.
pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// Makes what must not be guessed; another one in tests.
pub trait Random: Send + Sync {
    fn number(&self) -> u128;
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: AccountId,
    /// Absent for a key of the account itself, which may do everything in it.
    pub user: Option<String>,
    pub access_key_id: String,
}

/// What the surroundings decide.
#[derive(Clone, Debug)]
pub struct Limits {
    pub vaults_per_account: u64,
    /// Jobs that run at once.
    pub jobs_at_once: usize,
    /// How long nobody may be heard of a worker before its job is given to another.
    pub lease: Duration,
    /// How long a job may wait for a worker.
    pub job_waits: Duration,
    /// How often to look for snapshots whose time is over, and for what vaults have that the catalog has not.
    pub upkeep_every: Duration,
    /// How old a vault must be to be deleted; any age where there is none.
    pub vault_deletion_wait: Option<Duration>,
    /// The folders that jobs may read and write.
    pub client_paths: Vec<PathBuf>,
    /// Accounts beside the owner's whose resources may use what is this machine's: sockets, files, servers made of backups.
    pub local_accounts: Vec<AccountId>,
    /// How long the files about a job are kept.
    pub reports_kept: Duration,
    /// How long a stop waits for jobs to end by themselves.
    pub stop_waits: Duration,
    /// Backups that may read from databases at once.
    pub uploads_at_once: usize,
    /// How many backups of one database may be asked for within 24 hours.
    pub database_backups_a_day: u64,
    /// How long tasks of databases are listed after their end.
    pub tasks_kept: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            vaults_per_account: 100,
            jobs_at_once: 4,
            lease: Duration::from_secs(15),
            job_waits: Duration::from_secs(24 * 60 * 60),
            upkeep_every: Duration::from_secs(60),
            vault_deletion_wait: None,
            client_paths: vec![PathBuf::from("/")],
            local_accounts: Vec::new(),
            reports_kept: Duration::from_secs(90 * 24 * 60 * 60),
            stop_waits: Duration::from_secs(10),
            uploads_at_once: 4,
            database_backups_a_day: 20,
            tasks_kept: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// The product. Clones share everything.
#[derive(Clone)]
pub struct Service {
    pub(crate) catalog: Catalog,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    /// Clock and zone of this machine, for the engine.
    pub(crate) time: lifeboat_worker::Time,
    pub(crate) vault_root: PathBuf,
    pub(crate) region: String,
    /// The account that the server belongs to.
    pub(crate) root: AccountId,
    /// The client that is this machine.
    pub(crate) client: ClientId,
    pub(crate) hostname: String,
    /// Tells this server from others that work on the same catalog.
    pub(crate) server: String,
    pub(crate) spool_folder: PathBuf,
    /// Files to be fetched for some time.
    pub(crate) temp_folder: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) nonces: Arc<Nonces>,
    pub(crate) figures: Arc<figures::Figures>,
    /// There is something to do.
    pub(crate) wake: Arc<Notify>,
    pub(crate) upkeep: Arc<retention::Upkeep>,
    pub(crate) running: Arc<running::Running>,
    /// Looks into snapshots that may be taken at once: each opens a vault and holds its index.
    pub(crate) browsing: Arc<Semaphore>,
    /// Held by who makes a vault for databases.
    pub(crate) making_vault: Arc<tokio::sync::Mutex<()>>,
    pub(crate) uploads: Arc<Slots>,
    /// What the server knows; no data of anybody else's are in it.
    pub(crate) data_folder: PathBuf,
    /// Below it are the servers that are made of backups.
    pub(crate) instance_root: PathBuf,
}

impl Service {
    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Fails when the catalog does not answer.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.catalog.ping().await?)
    }
}
