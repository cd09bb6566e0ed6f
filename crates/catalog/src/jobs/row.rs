//! A job as it is read.

use lifeboat_model::database::Phase;
use lifeboat_model::id::AccountId;
use lifeboat_model::job::{JobCounters, JobState};
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::Row;
use crate::{CatalogError, Result};

/// What there is to know of a job.
#[derive(Clone, Debug)]
pub struct JobRow {
    pub id: String,
    pub kind: String,
    pub account: AccountId,
    pub vault: String,
    pub plan: Option<String>,
    pub parent: Option<String>,
    pub series: Option<String>,
    pub policy: Option<String>,
    pub rule: Option<String>,
    /// How many jobs it stands for.
    pub children: u64,
    pub client: Option<String>,
    pub instance: Option<String>,
    pub source_type: String,
    pub edition: String,
    pub name: String,
    pub backup_type: String,
    pub trigger: String,
    pub spec: String,
    pub snapshot: Option<String>,
    /// The snapshot file in the vault that a restore reads.
    pub snapshot_hash: Option<String>,
    pub source_instance: Option<String>,
    /// What the dialects of databases call it by, and the set it makes, and the node of a cluster it is about.
    pub number: Option<i64>,
    pub set_number: Option<i64>,
    pub node: Option<String>,
    /// What a backup of a database does, or did last.
    pub phase: Option<Phase>,
    pub state: JobState,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    pub error_file: Option<String>,
    /// Of the reports about a job that has ended.
    pub report_state: Option<String>,
    pub progress: u64,
    pub speed: u64,
    pub counters: JobCounters,
    pub created: Millis,
    pub started: Option<Millis>,
    pub completed: Option<Millis>,
    pub updated: Millis,
    pub expires: Millis,
}

/// Of the table `jobs`, called `j`.
pub(super) const COLUMNS: &str = "j.id, j.kind, j.account_id, j.vault_id, j.plan_id, j.parent_id, j.series_id, j.policy_id, j.rule_id, j.child_count, j.client_id, j.instance_id, \
    j.source_type, j.edition, j.name, j.backup_type, j.trigger_mode, j.spec, j.snapshot_id, j.source_instance_id, j.state, \
    j.error_code, j.error_message, j.error_file, j.report_state, j.progress, j.speed, j.bytes_total, j.items_total, j.files_total, j.bytes_done, \
    j.bytes_actual, j.items_done, j.items_actual, j.files_done, j.files_actual, j.created_at, j.started_at, j.completed_at, \
    j.updated_at, j.expires_at, j.number, j.set_number, j.node_id, j.phase, (SELECT s.hash FROM snapshots s WHERE s.id = j.snapshot_id) AS snapshot_hash";

impl JobRow {
    pub(super) fn of(row: &Row) -> Result<Self> {
        let state = row.text("state")?;
        Ok(Self {
            id: row.text("id")?,
            kind: row.text("kind")?,
            account: account_id(row, "account_id")?,
            vault: row.text("vault_id")?,
            plan: row.maybe_text("plan_id")?,
            parent: row.maybe_text("parent_id")?,
            series: row.maybe_text("series_id")?,
            policy: row.maybe_text("policy_id")?,
            rule: row.maybe_text("rule_id")?,
            children: row.count("child_count")?,
            client: row.maybe_text("client_id")?,
            instance: row.maybe_text("instance_id")?,
            source_type: row.text("source_type")?,
            edition: row.text("edition")?,
            name: row.text("name")?,
            backup_type: row.text("backup_type")?,
            trigger: row.text("trigger_mode")?,
            spec: row.text("spec")?,
            snapshot: row.maybe_text("snapshot_id")?,
            snapshot_hash: row.maybe_text("snapshot_hash")?,
            source_instance: row.maybe_text("source_instance_id")?,
            number: row.maybe_number("number")?,
            set_number: row.maybe_number("set_number")?,
            node: row.maybe_text("node_id")?,
            phase: row.maybe_text("phase")?.as_deref().and_then(Phase::parse),
            state: JobState::parse(&state).ok_or_else(|| CatalogError::strange("state", &state))?,
            error_code: row.maybe_text("error_code")?,
            error_message: row.maybe_text("error_message")?,
            error_file: row.maybe_text("error_file")?,
            report_state: row.maybe_text("report_state")?,
            progress: row.count("progress")?,
            speed: row.count("speed")?,
            counters: counters(row)?,
            created: Millis(row.number("created_at")?),
            started: row.maybe_number("started_at")?.map(Millis),
            completed: row.maybe_number("completed_at")?.map(Millis),
            updated: Millis(row.number("updated_at")?),
            expires: Millis(row.number("expires_at")?),
        })
    }
}

pub(super) fn counters(row: &Row) -> Result<JobCounters> {
    Ok(JobCounters {
        bytes_total: row.maybe_count("bytes_total")?,
        items_total: row.maybe_count("items_total")?,
        files_total: row.maybe_count("files_total")?,
        bytes_done: row.count("bytes_done")?,
        bytes_actual: row.count("bytes_actual")?,
        items_done: row.count("items_done")?,
        items_actual: row.count("items_actual")?,
        files_done: row.count("files_done")?,
        files_actual: row.count("files_actual")?,
        bytes_handled: 0,
    })
}
