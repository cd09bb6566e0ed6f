//! Snapshots: what a vault holds of a job. The vault is the truth; these rows are how it is found.
//!
//! A row that is condemned is nobody's any more: only the prune that is to delete its file reads it.

use lifeboat_model::database::SetDetail;
use lifeboat_model::filter::Paged;
use lifeboat_model::id::{AccountId, ClientId, InstanceId, JobId, PlanId, SnapshotId, VaultId};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::retention::expiry;
use lifeboat_model::time::Millis;

use crate::sql::{Row, Statement, Value, json, sql};
use crate::{Catalog, Result};

/// A snapshot that a job has made; the rest is the job's.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    pub id: SnapshotId,
    pub hash: String,
    pub parent_hash: Option<String>,
    /// As the snapshot itself says.
    pub completed: Millis,
    pub retention_days: Option<u32>,
    pub keep_latest: bool,
    /// What is known of the backup of a database besides its bytes.
    pub detail: Option<SetDetail>,
}

/// A snapshot of a vault. What is `None` nobody knows of one that was found in its vault.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotRow {
    pub id: SnapshotId,
    pub vault: VaultId,
    /// The snapshot file in the vault.
    pub hash: String,
    /// What that file was called before restic has rewritten it.
    pub original_hash: Option<String>,
    pub parent_hash: Option<String>,
    pub job: Option<JobId>,
    pub plan: Option<PlanId>,
    /// The plan or the binding of a policy that made it.
    pub series: Option<String>,
    pub client: Option<ClientId>,
    pub instance: Option<InstanceId>,
    pub source_type: String,
    pub backup_type: String,
    /// `COMPLETE` or `PARTIAL_COMPLETE`.
    pub state: String,
    pub spec: BackupSpec,
    pub error_file: Option<String>,
    pub bytes_total: Option<u64>,
    pub bytes_done: Option<u64>,
    pub bytes_actual: Option<u64>,
    pub items_total: Option<u64>,
    pub items_done: Option<u64>,
    pub items_actual: Option<u64>,
    pub retention_days: Option<u64>,
    pub keep_latest: bool,
    pub created: Option<Millis>,
    pub started: Millis,
    pub completed: Millis,
    pub expires: Option<Millis>,
    /// Of a backup of a database or of Redis.
    pub set: Option<BackupSet>,
}

/// What a snapshot of a database or of Redis is called and known by besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSet {
    pub resource: String,
    /// Of the job that made it, which the nodes of a cluster share.
    pub number: i64,
    pub set_number: i64,
    pub node: Option<String>,
    /// `MANUAL` or `SCHEDULE`.
    pub trigger: String,
    pub detail: SetDetail,
}

impl SnapshotRow {
    /// Whether `hash` is what its file is called, or was before restic has rewritten it.
    pub fn is_called(&self, hash: &str) -> bool {
        self.hash == hash || self.original_hash.as_deref() == Some(hash)
    }
}

pub(crate) const COLUMNS: &str = "id, vault_id, hash, original_hash, parent_hash, job_id, plan_id, series_id, client_id, instance_id, \
    source_type, backup_type, state, spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual, \
    retention_days, keep_latest, created_at, started_at, completed_at, expires_at, resource_id, number, set_number, node_id, \
    trigger_mode, detail";

/// Inserts the snapshot of a job that has just ended; takes what the job's row says of it.
pub(crate) fn insert_of_job(new: &NewSnapshot, job: &JobId, state: &str) -> Statement {
    let expires = new.retention_days.map(|days| expiry(new.completed, days));
    let insert = sql(
        "INSERT INTO snapshots (id, account_id, vault_id, hash, parent_hash, job_id, plan_id, series_id, client_id, instance_id, \
         source_type, backup_type, state, spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual, \
         retention_days, keep_latest, created_at, started_at, completed_at, expires_at, resource_id, number, set_number, \
         node_id, trigger_mode, detail) \
         SELECT CAST($1 AS TEXT), account_id, vault_id, CAST($2 AS TEXT), CAST($3 AS TEXT), id, plan_id, series_id, client_id, \
         CASE WHEN number IS NULL THEN instance_id END, source_type, backup_type, CAST($4 AS TEXT), spec, error_file, COALESCE(bytes_total, bytes_done), bytes_done, \
         bytes_actual, COALESCE(items_total, items_done), items_done, items_actual, CAST($5 AS BIGINT), CAST($6 AS BIGINT), \
         created_at, COALESCE(started_at, created_at), CAST($7 AS BIGINT), CAST($8 AS BIGINT), \
         CASE WHEN number IS NOT NULL THEN instance_id END, number, set_number, node_id, trigger_mode, CAST($10 AS TEXT) \
         FROM jobs WHERE id = $9 \
         ON CONFLICT DO NOTHING",
    );
    insert
        .bind(new.id.as_str())
        .bind(new.hash.as_str())
        .bind(new.parent_hash.as_deref())
        .bind(state)
        .bind(new.retention_days)
        .bind(new.keep_latest)
        .bind(new.completed)
        .bind(expires)
        .bind(job.as_str())
        .bind(new.detail.as_ref().map(json))
}

impl Catalog {
    pub async fn snapshot(&self, account: AccountId, id: &SnapshotId) -> Result<Option<SnapshotRow>> {
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND id = $2 AND condemned_at IS NULL"
        ));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(SnapshotRow::of).transpose()
    }

    pub async fn snapshot_of_hash(
        &self,
        (account, vault): (AccountId, &VaultId),
        hash: &str,
    ) -> Result<Option<SnapshotRow>> {
        let select = format!(
            "SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND vault_id = $2 AND (hash = $3 OR original_hash = $3) \
             AND condemned_at IS NULL"
        );
        let select = sql(select).bind(account.number()).bind(vault.as_str()).bind(hash);
        self.db.row(select).await?.as_ref().map(SnapshotRow::of).transpose()
    }

    /// Snapshots of an account, or of one vault of it, for which all conditions hold.
    pub async fn snapshots(
        &self,
        (account, vault): (AccountId, Option<&VaultId>),
        conditions: &[SnapshotCondition],
        window: SnapshotWindow,
    ) -> Result<Paged<SnapshotRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut text = "account_id = $1 AND condemned_at IS NULL".to_owned();
        if let Some(vault) = vault {
            values.push(vault.as_str().into());
            text.push_str(" AND vault_id = $2");
        }
        for condition in conditions {
            let from = values.len() + 1;
            values.extend(condition.values.iter().cloned().map(|value| match value {
                SnapshotValue::Text(text) => Value::from(text),
                SnapshotValue::Time(time) => Value::from(time.seconds()),
            }));
            let places: Vec<_> = (from..=values.len()).map(|number| format!("${number}")).collect();
            text.push_str(&format!(" AND {}", condition.text(&places)));
        }
        let count = sql(format!("SELECT COUNT(*) AS total FROM snapshots WHERE {text}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let direction = if window.is_newest_first { "DESC" } else { "ASC" };
        // When one was asked for that was found nobody knows.
        let time = if window.by_creation { "COALESCE(created_at, started_at)" } else { "completed_at" };
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE {text} ORDER BY {time} {direction}, id {direction} \
             LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let rows = self.db.rows(select.bind_all(values).bind(window.limit).bind(window.offset)).await?;
        Ok(Paged { rows: rows.iter().map(SnapshotRow::of).collect::<Result<_>>()?, total })
    }
}

/// Something that is or was backed up: the files of a client, as one kind of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedResource {
    pub source_type: String,
    pub client: ClientId,
    pub instance: Option<InstanceId>,
    pub plans: u64,
    pub snapshots: u64,
}

impl Catalog {
    /// What of an account has a plan or a snapshot.
    pub async fn protected_resources(&self, account: AccountId) -> Result<Vec<ProtectedResource>> {
        let select = sql("SELECT source_type, client_id, MAX(instance_id) AS instance_id, \
             CAST(SUM(plans) AS BIGINT) AS plans, CAST(SUM(snapshots) AS BIGINT) AS snapshots FROM ( \
             SELECT source_type, client_id, instance_id, 1 AS plans, 0 AS snapshots FROM plans \
             WHERE account_id = $1 AND is_deleted = 0 UNION ALL \
             SELECT source_type, client_id, instance_id, 0 AS plans, 1 AS snapshots FROM snapshots \
             WHERE account_id = $1 AND condemned_at IS NULL AND client_id IS NOT NULL) AS sources \
             GROUP BY source_type, client_id ORDER BY source_type, client_id");
        let rows = self.db.rows(select.bind(account.number())).await?;
        let read = |row: &Row| {
            Ok(ProtectedResource {
                source_type: row.text("source_type")?,
                client: row.parsed("client_id")?,
                instance: row.maybe_parsed("instance_id")?,
                plans: row.count("plans")?,
                snapshots: row.count("snapshots")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Which part of a list of snapshots, and in which order; by the time of completion unless told otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotWindow {
    pub by_creation: bool,
    pub is_newest_first: bool,
    pub limit: u64,
    pub offset: u64,
}

/// A condition on snapshots. Times are compared as clients see them, in whole seconds.
#[derive(Clone, Debug)]
pub struct SnapshotCondition {
    pub column: SnapshotColumn,
    pub operator: SnapshotOperator,
    pub values: Vec<SnapshotValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotColumn {
    SnapshotId,
    JobId,
    PlanId,
    InstanceId,
    ClientId,
    SourceType,
    /// The same, for files: those whose source nobody knows are files of any kind of machine.
    FilesOf,
    Status,
    CompleteTime,
    CreatedTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotOperator {
    Match,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Between,
    In,
    NotIn,
}

#[derive(Clone, Debug)]
pub enum SnapshotValue {
    Text(String),
    Time(Millis),
}

impl SnapshotCondition {
    fn text(&self, places: &[String]) -> String {
        let column = match self.column {
            SnapshotColumn::SnapshotId => "id",
            SnapshotColumn::JobId => "job_id",
            SnapshotColumn::PlanId => "plan_id",
            SnapshotColumn::InstanceId => "instance_id",
            SnapshotColumn::ClientId => "client_id",
            SnapshotColumn::SourceType | SnapshotColumn::FilesOf => "source_type",
            SnapshotColumn::Status => "state",
            SnapshotColumn::CompleteTime => "(completed_at / 1000)",
            SnapshotColumn::CreatedTime => "(created_at / 1000)",
        };
        let first = places.first().map_or("NULL", String::as_str);
        let second = places.get(1).map_or("NULL", String::as_str);
        match self.operator {
            SnapshotOperator::Match if self.column == SnapshotColumn::FilesOf => {
                format!("({column} = {first} OR job_id IS NULL)")
            }
            SnapshotOperator::Match => format!("{column} = {first}"),
            SnapshotOperator::Greater => format!("{column} > {first}"),
            SnapshotOperator::GreaterOrEqual => format!("{column} >= {first}"),
            SnapshotOperator::Less => format!("{column} < {first}"),
            SnapshotOperator::LessOrEqual => format!("{column} <= {first}"),
            SnapshotOperator::Between => format!("{column} BETWEEN {first} AND {second}"),
            SnapshotOperator::In => format!("{column} IN ({})", places.join(", ")),
            SnapshotOperator::NotIn => {
                format!("({column} IS NULL OR {column} NOT IN ({}))", places.join(", "))
            }
        }
    }
}

impl SnapshotRow {
    pub(crate) fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            vault: row.parsed("vault_id")?,
            hash: row.text("hash")?,
            original_hash: row.maybe_text("original_hash")?,
            parent_hash: row.maybe_text("parent_hash")?,
            job: row.maybe_parsed("job_id")?,
            plan: row.maybe_parsed("plan_id")?,
            series: row.maybe_text("series_id")?,
            client: row.maybe_parsed("client_id")?,
            instance: row.maybe_parsed("instance_id")?,
            source_type: row.text("source_type")?,
            backup_type: row.text("backup_type")?,
            state: row.text("state")?,
            spec: row.json("spec")?,
            error_file: row.maybe_text("error_file")?,
            bytes_total: row.maybe_count("bytes_total")?,
            bytes_done: row.maybe_count("bytes_done")?,
            bytes_actual: row.maybe_count("bytes_actual")?,
            items_total: row.maybe_count("items_total")?,
            items_done: row.maybe_count("items_done")?,
            items_actual: row.maybe_count("items_actual")?,
            retention_days: row.maybe_count("retention_days")?,
            keep_latest: row.flag("keep_latest")?,
            created: row.maybe_number("created_at")?.map(Millis),
            started: Millis(row.number("started_at")?),
            completed: Millis(row.number("completed_at")?),
            expires: row.maybe_number("expires_at")?.map(Millis),
            set: BackupSet::of(row)?,
        })
    }
}

impl BackupSet {
    fn of(row: &Row) -> Result<Option<Self>> {
        let Some(resource) = row.maybe_text("resource_id")? else { return Ok(None) };
        let detail = row.maybe_text("detail")?.and_then(|detail| serde_json::from_str(&detail).ok());
        Ok(Some(Self {
            resource,
            number: row.number("number")?,
            set_number: row.number("set_number")?,
            node: row.maybe_text("node_id")?,
            trigger: row.maybe_text("trigger_mode")?.unwrap_or_default(),
            detail: detail.unwrap_or_default(),
        }))
    }
}
