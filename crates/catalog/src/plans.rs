//! Plans. A deleted plan stays as a hidden row, because jobs and snapshots name it.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, ClientId, InstanceId, PlanId, VaultId};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
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
    pub schedule: Option<String>,
    pub next_run: Option<Millis>,
    pub keep_latest: bool,
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
    pub schedule: Option<String>,
    pub next_run: Option<Millis>,
    pub keep_latest: bool,
    pub is_disabled: bool,
    pub created: Millis,
    pub updated: Millis,
}

const COLUMNS: &str = "id, account_id, vault_id, name, source_type, edition, client_id, instance_id, backup_type, spec, schedule, \
    next_run_at, keep_latest, is_disabled, created_at, updated_at";

impl Catalog {
    pub async fn insert_plan(&self, new: NewPlan, now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO plans (id, account_id, vault_id, name, source_type, edition, client_id, instance_id, backup_type, spec, \
             schedule, next_run_at, keep_latest, is_disabled, is_deleted, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, $15, $16)",
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
            .bind(new.schedule)
            .bind(new.next_run)
            .bind(new.keep_latest)
            .bind(new.is_disabled)
            .bind(now)
            .bind(now);
        self.db.change(insert).await.map(drop)
    }

    pub async fn plan(&self, account: AccountId, id: &PlanId) -> Result<Option<PlanRow>> {
        let select =
            sql(format!("SELECT {COLUMNS} FROM plans WHERE account_id = $1 AND id = $2 AND is_deleted = 0"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(PlanRow::of).transpose()
    }

    /// Plans of an account, newest first, whose columns have the values given.
    pub async fn plans(
        &self,
        account: AccountId,
        equal: &[(&'static str, Vec<String>)],
        page: Page,
    ) -> Result<Paged<PlanRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut condition = "account_id = $1 AND is_deleted = 0".to_owned();
        for (column, accepted) in equal {
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

    /// Plans whose time has come.
    pub async fn due_plans(&self, now: Millis) -> Result<Vec<PlanRow>> {
        let select = sql(format!(
            "SELECT {COLUMNS} FROM plans WHERE next_run_at <= $1 AND is_disabled = 0 AND is_deleted = 0 ORDER BY next_run_at, id"
        ));
        self.db.rows(select.bind(now)).await?.iter().map(PlanRow::of).collect()
    }

    /// Moves a plan's next run, if nobody else has. True for the one who did: he is to run it.
    pub async fn advance_plan(&self, id: &PlanId, due: Millis, next: Option<Millis>) -> Result<bool> {
        let update = sql("UPDATE plans SET next_run_at = $1 WHERE id = $2 AND next_run_at = $3");
        Ok(self.db.change(update.bind(next).bind(id.as_str()).bind(due)).await? == 1)
    }
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
            schedule: row.maybe_text("schedule")?,
            next_run: row.maybe_number("next_run_at")?.map(Millis),
            keep_latest: row.flag("keep_latest")?,
            is_disabled: row.flag("is_disabled")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
        })
    }
}
