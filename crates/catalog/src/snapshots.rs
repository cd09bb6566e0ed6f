//! Snapshots: what a vault holds of a job. The vault is the truth; these rows are how it is found.

use lifeboat_model::filter::Paged;
use lifeboat_model::id::{AccountId, ClientId, InstanceId, JobId, PlanId, SnapshotId, VaultId};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::time::Millis;

use crate::sql::{Row, Statement, Value, sql};
use crate::{Catalog, Result};

/// A snapshot that a job has made; the rest is the job's.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    pub id: SnapshotId,
    pub hash: String,
    pub parent_hash: Option<String>,
    pub retention_days: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct SnapshotRow {
    pub id: SnapshotId,
    pub vault: VaultId,
    pub hash: String,
    pub parent_hash: Option<String>,
    pub job: JobId,
    pub plan: Option<PlanId>,
    pub client: Option<ClientId>,
    pub instance: Option<InstanceId>,
    pub source_type: String,
    pub backup_type: String,
    /// `COMPLETE` or `PARTIAL_COMPLETE`.
    pub state: String,
    pub spec: BackupSpec,
    pub error_file: Option<String>,
    pub bytes_total: u64,
    pub bytes_done: u64,
    pub bytes_actual: u64,
    pub items_total: u64,
    pub items_done: u64,
    pub items_actual: u64,
    pub retention_days: Option<u64>,
    pub created: Millis,
    pub started: Millis,
    pub completed: Millis,
    pub expires: Option<Millis>,
}

const COLUMNS: &str = "id, vault_id, hash, parent_hash, job_id, plan_id, client_id, instance_id, source_type, backup_type, state, \
    spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual, retention_days, created_at, \
    started_at, completed_at, expires_at";

/// Inserts the snapshot of a job that has just ended; takes what the job's row says of it.
pub(crate) fn insert_of_job(new: &NewSnapshot, job: &JobId, state: &str, now: Millis) -> Statement {
    let day = 86_400_000_i64;
    let expires = new.retention_days.map(|days| now.plus(day.saturating_mul(days.into())));
    let insert = sql(
        "INSERT INTO snapshots (id, account_id, vault_id, hash, parent_hash, job_id, plan_id, client_id, instance_id, source_type, \
         backup_type, state, spec, error_file, bytes_total, bytes_done, bytes_actual, items_total, items_done, items_actual, \
         retention_days, created_at, started_at, completed_at, expires_at) \
         SELECT CAST($1 AS TEXT), account_id, vault_id, CAST($2 AS TEXT), CAST($3 AS TEXT), id, plan_id, client_id, instance_id, \
         source_type, backup_type, CAST($4 AS TEXT), spec, error_file, COALESCE(bytes_total, bytes_done), bytes_done, \
         bytes_actual, COALESCE(items_total, items_done), items_done, items_actual, CAST($5 AS BIGINT), created_at, \
         COALESCE(started_at, created_at), CAST($6 AS BIGINT), CAST($7 AS BIGINT) FROM jobs WHERE id = $8",
    );
    insert
        .bind(new.id.as_str())
        .bind(new.hash.as_str())
        .bind(new.parent_hash.as_deref())
        .bind(state)
        .bind(new.retention_days)
        .bind(now)
        .bind(expires)
        .bind(job.as_str())
}

impl Catalog {
    pub async fn snapshot(&self, account: AccountId, id: &SnapshotId) -> Result<Option<SnapshotRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND id = $2"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(SnapshotRow::of).transpose()
    }

    pub async fn snapshot_of_hash(
        &self,
        (account, vault): (AccountId, &VaultId),
        hash: &str,
    ) -> Result<Option<SnapshotRow>> {
        let select =
            format!("SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND vault_id = $2 AND hash = $3");
        let select = sql(select).bind(account.number()).bind(vault.as_str()).bind(hash);
        self.db.row(select).await?.as_ref().map(SnapshotRow::of).transpose()
    }

    /// Snapshots of a vault for which all conditions hold.
    pub async fn snapshots(
        &self,
        (account, vault): (AccountId, &VaultId),
        conditions: &[SnapshotCondition],
        (is_newest_first, limit, offset): (bool, u64, u64),
    ) -> Result<Paged<SnapshotRow>> {
        let mut values = vec![Value::from(account.number()), Value::from(vault.as_str())];
        let mut text = "account_id = $1 AND vault_id = $2".to_owned();
        for condition in conditions {
            let from = values.len() + 1;
            values.extend(condition.values.iter().cloned().map(|value| match value {
                SnapshotValue::Text(text) => Value::from(text),
                SnapshotValue::Time(time) => Value::from(time),
            }));
            let places: Vec<_> = (from..=values.len()).map(|number| format!("${number}")).collect();
            text.push_str(&format!(" AND {}", condition.text(&places)));
        }
        let count = sql(format!("SELECT COUNT(*) AS total FROM snapshots WHERE {text}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let direction = if is_newest_first { "DESC" } else { "ASC" };
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE {text} ORDER BY completed_at {direction}, id {direction} \
             LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let rows = self.db.rows(select.bind_all(values).bind(limit).bind(offset)).await?;
        Ok(Paged { rows: rows.iter().map(SnapshotRow::of).collect::<Result<_>>()?, total })
    }
}

/// A condition on snapshots.
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
            SnapshotColumn::SourceType => "source_type",
            SnapshotColumn::Status => "state",
            SnapshotColumn::CompleteTime => "completed_at",
            SnapshotColumn::CreatedTime => "created_at",
        };
        let first = places.first().map_or("NULL", String::as_str);
        let second = places.get(1).map_or("NULL", String::as_str);
        match self.operator {
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
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            vault: row.parsed("vault_id")?,
            hash: row.text("hash")?,
            parent_hash: row.maybe_text("parent_hash")?,
            job: row.parsed("job_id")?,
            plan: row.maybe_parsed("plan_id")?,
            client: row.maybe_parsed("client_id")?,
            instance: row.maybe_parsed("instance_id")?,
            source_type: row.text("source_type")?,
            backup_type: row.text("backup_type")?,
            state: row.text("state")?,
            spec: row.json("spec")?,
            error_file: row.maybe_text("error_file")?,
            bytes_total: row.count("bytes_total")?,
            bytes_done: row.count("bytes_done")?,
            bytes_actual: row.count("bytes_actual")?,
            items_total: row.count("items_total")?,
            items_done: row.count("items_done")?,
            items_actual: row.count("items_actual")?,
            retention_days: row.maybe_count("retention_days")?,
            created: Millis(row.number("created_at")?),
            started: Millis(row.number("started_at")?),
            completed: Millis(row.number("completed_at")?),
            expires: row.maybe_number("expires_at")?.map(Millis),
        })
    }
}
