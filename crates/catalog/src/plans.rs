//! Plans. A deleted plan stays as a hidden row, because jobs and snapshots name it.
//!
//! A plan and when it runs next change in one transaction.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, ClientId, InstanceId, PlanId, VaultId};
use lifeboat_model::plan::{BackupSpec, PlanCondition, PlanField, PlanRule};
use lifeboat_model::schedule::Schedule;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::jobs::is_active;
use crate::runs::{NewRun, set_runs};
use crate::sql::{Row, Value, json, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug)]
pub struct NewPlan {
    pub id: PlanId,
    pub account: AccountId,
    pub vault: VaultId,
    pub name: String,
    pub source_type: &'static str,
    pub edition: &'static str,
    pub client: ClientId,
    /// As asked for; absent where the client itself was named.
    pub instance: Option<InstanceId>,
    pub backup_type: String,
    pub spec: BackupSpec,
    pub schedule: Option<Schedule>,
    pub rules: Vec<PlanRule>,
    pub is_disabled: bool,
}

#[derive(Clone, Debug)]
pub struct PlanRow {
    pub id: PlanId,
    pub account: AccountId,
    pub vault: VaultId,
    pub name: String,
    pub source_type: String,
    pub edition: String,
    pub client: ClientId,
    pub instance: Option<InstanceId>,
    pub backup_type: String,
    pub spec: BackupSpec,
    pub schedule: Option<Schedule>,
    pub rules: Vec<PlanRule>,
    pub is_disabled: bool,
    pub created: Millis,
    pub updated: Millis,
    /// The job that was added last, and the last one that has ended: the jobs of a plan run one after another.
    pub last_job: Option<String>,
    pub last_ended_job: Option<String>,
}

const COLUMNS: &str = "id, account_id, vault_id, name, source_type, edition, client_id, instance_id, backup_type, spec, schedule, rules, \
    is_disabled, created_at, updated_at, \
    (SELECT j.id FROM jobs j WHERE j.series_id = plans.id ORDER BY j.created_at DESC, j.id DESC LIMIT 1) AS last_job, \
    (SELECT j.id FROM jobs j WHERE j.series_id = plans.id AND j.completed_at IS NOT NULL \
    ORDER BY j.created_at DESC, j.id DESC LIMIT 1) AS last_ended_job";

impl Catalog {
    /// Adds a plan, and what of it runs by itself.
    pub async fn insert_plan(&self, new: NewPlan, runs: &[NewRun], now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO plans (id, account_id, vault_id, name, source_type, edition, client_id, instance_id, backup_type, spec, \
             schedule, rules, keep_latest, is_disabled, is_deleted, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $15)",
        );
        let insert = insert
            .bind(new.id.as_str())
            .bind(new.account.number())
            .bind(new.vault.as_str())
            .bind(new.name)
            .bind(new.source_type)
            .bind(new.edition)
            .bind(new.client.as_str())
            .bind(new.instance.as_ref().map(InstanceId::as_str))
            .bind(new.backup_type)
            .bind(json(&new.spec))
            .bind(new.schedule.map(String::from))
            .bind(json(&new.rules))
            .bind(new.spec.keep_latest)
            .bind(new.is_disabled)
            .bind(now);
        let mut tx = self.db.begin().await?;
        tx.change(insert).await?;
        set_runs(&mut tx, new.id.as_str(), runs).await?;
        tx.commit().await
    }

    pub async fn plan(&self, account: AccountId, id: &PlanId) -> Result<Option<PlanRow>> {
        let select =
            sql(format!("SELECT {COLUMNS} FROM plans WHERE account_id = $1 AND id = $2 AND is_deleted = 0"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(PlanRow::of).transpose()
    }

    /// Changes what of a plan can be changed, and what of it runs by itself. False when somebody else has changed it since
    /// it was read.
    pub async fn update_plan(&self, plan: &PlanRow, runs: &[NewRun], now: Millis) -> Result<bool> {
        let update = sql(
            "UPDATE plans SET name = $1, spec = $2, schedule = $3, rules = $4, keep_latest = $5, is_disabled = $6, \
             updated_at = CASE WHEN updated_at < $7 THEN $7 ELSE updated_at + 1 END \
             WHERE id = $8 AND account_id = $9 AND is_deleted = 0 AND updated_at = $10",
        );
        let update = update
            .bind(plan.name.as_str())
            .bind(json(&plan.spec))
            .bind(plan.schedule.as_ref().map(ToString::to_string))
            .bind(json(&plan.rules))
            .bind(plan.spec.keep_latest)
            .bind(plan.is_disabled)
            .bind(now)
            .bind(plan.id.as_str())
            .bind(plan.account.number())
            .bind(plan.updated);
        let mut tx = self.db.begin().await?;
        if tx.change(update).await? == 0 {
            return Ok(false);
        }
        set_runs(&mut tx, plan.id.as_str(), runs).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Hides a plan for ever; its jobs and snapshots stay. With `unless_active` not while one of its jobs has not ended:
    /// false then.
    pub async fn delete_plan(
        &self,
        account: AccountId,
        id: &PlanId,
        unless_active: bool,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        // First of all, so that no run starts a job from here on.
        set_runs(&mut tx, id.as_str(), &[]).await?;
        let guard = if unless_active { format!(" AND NOT {}", is_active("plans.id")) } else { String::new() };
        let update = sql(format!(
            "UPDATE plans SET is_deleted = 1, updated_at = $1 WHERE id = $2 AND account_id = $3 AND is_deleted = 0{guard}"
        ));
        let changed = tx.change(update.bind(now).bind(id.as_str()).bind(account.number())).await?;
        if changed == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The plan that is to run by itself, whoever's it is.
    pub async fn plan_of_run(&self, id: &PlanId) -> Result<Option<PlanRow>> {
        let select =
            sql(format!("SELECT {COLUMNS} FROM plans WHERE id = $1 AND is_deleted = 0 AND is_disabled = 0"));
        let row = self.db.row(select.bind(id.as_str())).await?;
        row.as_ref().map(PlanRow::of).transpose()
    }

    /// Plans of an account, newest first, for which all conditions hold.
    pub async fn plans(
        &self,
        account: AccountId,
        conditions: &[PlanCondition],
        page: Page,
    ) -> Result<Paged<PlanRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut condition = "account_id = $1 AND is_deleted = 0".to_owned();
        for PlanCondition { field, values: accepted } in conditions {
            let Some(column) = column(*field) else {
                condition.push_str(" AND 1 = 0");
                continue;
            };
            let from = values.len() + 1;
            values.extend(accepted.iter().map(|value| Value::from(value.as_str())));
            let places: Vec<_> = (from..=values.len()).map(|number| format!("${number}")).collect();
            condition.push_str(&format!(" AND {column} IN ({})", places.join(", ")));
        }
        let count = sql(format!("SELECT COUNT(*) AS total FROM plans WHERE {condition}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM plans WHERE {condition} ORDER BY created_at DESC, id DESC LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let rows = self.db.rows(select.bind_all(values).bind(page.size).bind(page.offset())).await?;
        Ok(Paged { rows: rows.iter().map(PlanRow::of).collect::<Result<_>>()?, total })
    }
}

/// `None` for what no plan here has.
fn column(field: PlanField) -> Option<&'static str> {
    Some(match field {
        PlanField::Id => "id",
        PlanField::Name => "name",
        PlanField::SourceType => "source_type",
        PlanField::Edition => "edition",
        PlanField::VaultId => "vault_id",
        PlanField::InstanceId => "instance_id",
        PlanField::ClientId => "client_id",
        PlanField::Elsewhere => return None,
    })
}

impl PlanRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            vault: row.parsed("vault_id")?,
            name: row.text("name")?,
            source_type: row.text("source_type")?,
            edition: row.text("edition")?,
            client: row.parsed("client_id")?,
            instance: row.maybe_parsed("instance_id")?,
            backup_type: row.text("backup_type")?,
            spec: row.json("spec")?,
            schedule: row.maybe_parsed("schedule")?,
            rules: row.json("rules")?,
            is_disabled: row.flag("is_disabled")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
            last_job: row.maybe_text("last_job")?,
            last_ended_job: row.maybe_text("last_ended_job")?,
        })
    }
}
