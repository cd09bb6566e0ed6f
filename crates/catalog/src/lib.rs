//! What the service remembers, on SQLite or on PostgreSQL: one text of SQL for both, one file for each noun.
//!
//! Every change is one statement or one transaction, so a crash leaves a row as it was or as it was to be. Times come
//! in as values. Nobody reads a row without naming whose it must be.

mod access_keys;
mod accounts;
mod audit;
mod backup_sets;
mod clients;
mod cross_accounts;
mod error;
mod figures;
mod imports;
mod jobs;
mod listings;
mod migrations;
mod plans;
mod policies;
mod resource_changes;
mod resources;
mod retention;
mod roles;
mod runs;
mod snapshots;
mod sql;
mod tags;
mod tasks;
mod users;
mod vaults;

use std::path::PathBuf;

pub use self::access_keys::{AccessKeyRow, NewAccessKey, NonceUse, USE_NOTED_EVERY_MILLIS};
pub use self::accounts::AccountRow;
pub use self::audit::{AUDIT_STARTED, AuditRow};
pub use self::backup_sets::{SetFilter, SetRow};
pub use self::clients::ClientRow;
pub use self::cross_accounts::CrossAccountRow;
pub use self::error::{CatalogError, CatalogErrorKind};
pub use self::figures::SourceFigure;
pub use self::imports::KnownSnapshot;
pub use self::jobs::{
    ClaimedJob, DatabaseJobFilter, FinishedJob, JobFilter, JobNumbers, JobPlace, JobRow, Listed, NewJob,
    ReportOrder, RunningFilter,
};
pub use self::listings::Listing;
pub use self::plans::{NewPlan, PlanRow};
pub use self::policies::{BindingRow, PolicyRow, Portion};
pub use self::resource_changes::MadeInstance;
pub use self::resources::{NewResource, ResourceFilter, ResourceRow};
pub use self::retention::CondemnedVault;
pub use self::roles::{AttachedDocument, DocumentOwner, RoleRow};
pub use self::runs::{DueRun, NewRun, RunStart};
pub use self::snapshots::{
    BackupSet, NewSnapshot, ProtectedResource, SnapshotColumn, SnapshotCondition, SnapshotOperator,
    SnapshotRow, SnapshotValue, SnapshotWindow,
};
use self::sql::Db;
pub use self::tags::{LabelFilter, Labels, Unknown};
pub use self::tasks::TaskRow;
pub use self::users::UserRow;
pub use self::vaults::{NewVault, VaultChange, VaultFilter, VaultRow};

pub type Result<T> = std::result::Result<T, CatalogError>;

/// Where the rows are.
#[derive(Clone, Debug)]
pub enum Place {
    /// A file, made if it is not there.
    Sqlite(PathBuf),
    /// `postgres://user:password@host/database`
    Postgres(String),
}

/// An open catalog. Clones share its connections.
#[derive(Clone)]
pub struct Catalog {
    db: Db,
}

impl Catalog {
    /// Opens the catalog and brings its tables up to date. One that a newer Lifeboat has changed is refused.
    pub async fn open(place: &Place) -> Result<Self> {
        let db = Db::open(place).await?;
        migrations::run(&db).await?;
        Ok(Self { db })
    }

    /// Fails when the database does not answer.
    pub async fn ping(&self) -> Result<()> {
        self.db.rows(sql::sql("SELECT 1 AS one")).await.map(drop)
    }
}
