//! Vaults.
//!
//! One that is being deleted is in the state DELETING: no caller finds it any more, and what is left of it is found
//! by [`Catalog::deleting_vaults`] until the last of its rows goes.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::job::JobState;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::jobs::{cancel_jobs_of_vault, states};
use crate::sql::{Row, Value, sql};
use crate::{Catalog, LabelFilter, Result};

#[derive(Clone, Debug)]
pub struct NewVault {
    pub id: VaultId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub region: String,
    pub redundancy: String,
    /// Nothing in it is deleted before its time.
    pub is_worm: bool,
    /// Sealed.
    pub password: String,
}

/// What is to be changed of a vault; the rest stays.
#[derive(Clone, Debug, Default)]
pub struct VaultChange {
    pub name: Option<String>,
    pub description: Option<String>,
    /// Once and for ever.
    pub make_worm: bool,
}

#[derive(Clone, Debug)]
pub struct VaultRow {
    pub id: VaultId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub region: String,
    pub redundancy: String,
    /// `INITIALIZING`, `CREATED` or `ERROR`.
    pub state: String,
    /// Sealed.
    pub password: String,
    pub created: Millis,
    pub updated: Millis,
    pub is_worm: bool,
    /// What its packs take, as of the last look into it.
    pub stored_bytes: u64,
    pub snapshots: u64,
    pub bytes_done: u64,
    /// Plans for files of instances, and of other machines.
    pub instance_plans: u64,
    pub file_plans: u64,
}

/// Which vaults to list; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct VaultFilter {
    pub id: Option<String>,
    pub name: Option<String>,
    pub state: Option<String>,
    pub labels: LabelFilter,
}

const COLUMNS: &str = "v.id, v.account_id, v.name, v.description, v.region, v.redundancy, v.state, v.password, v.created_at, \
    v.updated_at, v.is_worm, v.stored_bytes, \
    (SELECT COUNT(*) FROM snapshots s WHERE s.vault_id = v.id AND s.condemned_at IS NULL) AS snapshots, \
    (SELECT CAST(COALESCE(SUM(s.bytes_done), 0) AS BIGINT) FROM snapshots s WHERE s.vault_id = v.id \
     AND s.condemned_at IS NULL) AS bytes_done, \
    (SELECT COUNT(*) FROM plans p WHERE p.vault_id = v.id AND p.is_deleted = 0 AND p.source_type = 'ECS_FILE') \
     AS instance_plans, \
    (SELECT COUNT(*) FROM plans p WHERE p.vault_id = v.id AND p.is_deleted = 0 AND p.source_type = 'File') AS file_plans";

impl Catalog {
    /// Adds a vault that is being made. Refused when the account has `most` already.
    pub async fn insert_vault(&self, new: NewVault, most: u64, now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO vaults (id, account_id, name, description, region, redundancy, state, password, created_at, updated_at, \
             is_worm) \
             SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
             CAST($6 AS TEXT), 'INITIALIZING', CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT), CAST($10 AS BIGINT) \
             WHERE (SELECT COUNT(*) FROM vaults WHERE account_id = $2) < $11",
        );
        let insert = insert
            .bind(String::from(new.id))
            .bind(new.account.number())
            .bind(new.name)
            .bind(new.description)
            .bind(new.region)
            .bind(new.redundancy)
            .bind(new.password)
            .bind(now)
            .bind(now)
            .bind(new.is_worm)
            .bind(most);
        match self.db.change(insert).await? {
            1 => Ok(()),
            _ => Err(CatalogError::new(CatalogErrorKind::Conflict, format!("the account has {most} vaults"))),
        }
    }

    /// Says what became of a vault that was being made.
    pub async fn set_vault_state(&self, id: &VaultId, state: &str, now: Millis) -> Result<()> {
        let update =
            sql("UPDATE vaults SET state = $1, updated_at = $2 WHERE id = $3 AND state = 'INITIALIZING'");
        self.db.change(update.bind(state).bind(now).bind(id.as_str())).await.map(drop)
    }

    pub async fn vault(&self, account: AccountId, id: &VaultId) -> Result<Option<VaultRow>> {
        let select = sql(format!(
            "SELECT {COLUMNS} FROM vaults v WHERE v.account_id = $1 AND v.id = $2 AND v.state <> 'DELETING'"
        ));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(VaultRow::of).transpose()
    }

    /// Vaults of an account, oldest first.
    pub async fn vaults(
        &self,
        account: AccountId,
        filter: &VaultFilter,
        page: Page,
    ) -> Result<Paged<VaultRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut condition = "v.account_id = $1 AND v.state <> 'DELETING'".to_owned();
        for (column, value) in [("id", &filter.id), ("name", &filter.name), ("state", &filter.state)] {
            if let Some(value) = value {
                values.push(value.as_str().into());
                condition.push_str(&format!(" AND v.{column} = ${}", values.len()));
            }
        }
        filter.labels.add("v.id", &mut condition, &mut values);
        let count = sql(format!("SELECT COUNT(*) AS total FROM vaults v WHERE {condition}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM vaults v WHERE {condition} ORDER BY v.created_at, v.id LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let select = select.bind_all(values).bind(page.size).bind(page.offset());
        let rows = self.db.rows(select).await?.iter().map(VaultRow::of).collect::<Result<_>>()?;
        Ok(Paged { rows, total })
    }

    /// Changes a vault. False when the account has none of that id.
    pub async fn update_vault(
        &self,
        account: AccountId,
        id: &VaultId,
        change: &VaultChange,
        now: Millis,
    ) -> Result<bool> {
        let update = sql(
            "UPDATE vaults SET name = COALESCE(CAST($1 AS TEXT), name), description = COALESCE(CAST($2 AS TEXT), description), \
             is_worm = CASE WHEN is_worm = 1 THEN 1 ELSE CAST($3 AS BIGINT) END, updated_at = $4 \
             WHERE account_id = $5 AND id = $6 AND state <> 'DELETING'",
        );
        let update = update
            .bind(change.name.as_deref())
            .bind(change.description.as_deref())
            .bind(change.make_worm)
            .bind(now)
            .bind(account.number())
            .bind(id.as_str());
        Ok(self.db.change(update).await? == 1)
    }

    /// Notes what the packs of a vault take.
    pub async fn set_vault_size(&self, id: &VaultId, bytes: u64) -> Result<()> {
        let update = sql("UPDATE vaults SET stored_bytes = $1 WHERE id = $2");
        self.db.change(update.bind(bytes).bind(id.as_str())).await.map(drop)
    }

    /// Adds a vault whose folder was found. False when its id has a row already.
    pub async fn insert_found_vault(&self, new: NewVault, created: Millis, now: Millis) -> Result<bool> {
        let insert = sql(
            "INSERT INTO vaults (id, account_id, name, description, region, redundancy, state, password, created_at, updated_at, \
             is_worm) VALUES ($1, $2, $3, $4, $5, $6, 'CREATED', $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        );
        let insert = insert
            .bind(String::from(new.id))
            .bind(new.account.number())
            .bind(new.name)
            .bind(new.description)
            .bind(new.region)
            .bind(new.redundancy)
            .bind(new.password)
            .bind(created)
            .bind(now)
            .bind(new.is_worm);
        Ok(self.db.change(insert).await? == 1)
    }

    /// Every vault that is there, whosever it is.
    pub async fn all_vaults(&self) -> Result<Vec<VaultRow>> {
        self.vaults_where("v.state = 'CREATED'").await
    }

    /// A vault of whatever account, for the owner of the machine.
    pub async fn any_vault(&self, id: &VaultId) -> Result<Option<VaultRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM vaults v WHERE v.id = $1 AND v.state <> 'DELETING'"));
        self.db.row(select.bind(id.as_str())).await?.as_ref().map(VaultRow::of).transpose()
    }

    /// Begins to delete a vault: hides it, deletes its plans, and asks its jobs to stop. False when it is not in a
    /// state for that, or must not go because of what is in it.
    pub async fn begin_vault_deletion(&self, account: AccountId, id: &VaultId, now: Millis) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let hide =
            sql("UPDATE vaults SET state = 'DELETING', updated_at = $1 WHERE account_id = $2 AND id = $3 \
             AND state NOT IN ('DELETING', 'INITIALIZING') \
             AND (is_worm = 0 OR NOT EXISTS (SELECT 1 FROM snapshots s WHERE s.vault_id = vaults.id)) \
             AND NOT EXISTS (SELECT 1 FROM policies p WHERE p.account_id = $2 AND p.rules LIKE $4) \
             AND NOT EXISTS (SELECT 1 FROM resources r WHERE r.vault_id = vaults.id)");
        let hide = hide.bind(now).bind(account.number()).bind(id.as_str()).bind(in_rules(id));
        if tx.change(hide).await? == 0 {
            return Ok(false);
        }
        let plans = sql("UPDATE plans SET is_deleted = 1, updated_at = $1 WHERE vault_id = $2");
        tx.change(plans.bind(now).bind(id.as_str())).await?;
        let runs = sql("DELETE FROM runs WHERE series_id IN (SELECT id FROM plans WHERE vault_id = $1)");
        tx.change(runs.bind(id.as_str())).await?;
        cancel_jobs_of_vault(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A policy with a rule that names a vault, if there is one.
    pub async fn policy_naming_vault(&self, account: AccountId, id: &VaultId) -> Result<Option<String>> {
        let select =
            sql("SELECT id FROM policies WHERE account_id = $1 AND rules LIKE $2 ORDER BY id LIMIT 1");
        let row = self.db.row(select.bind(account.number()).bind(in_rules(id))).await?;
        row.map(|row| row.text("id")).transpose()
    }

    /// Vaults being deleted, in which no job is under way any more.
    pub async fn deleting_vaults(&self) -> Result<Vec<VaultRow>> {
        let active: Vec<_> = JobState::ALL.into_iter().filter(|state| !state.is_final()).collect();
        let active = states(active.into_iter());
        self.vaults_where(&format!(
            "v.state = 'DELETING' AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.vault_id = v.id AND j.state IN ({active}))"
        ))
        .await
    }

    /// Forgets a vault whose folder is gone, and all that names it.
    pub async fn finish_vault_deletion(&self, id: &VaultId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for (table, column) in [
            ("snapshots", "vault_id"),
            ("jobs", "vault_id"),
            ("plans", "vault_id"),
            ("tags", "resource_id"),
            ("resource_groups", "resource_id"),
        ] {
            let delete = sql(format!("DELETE FROM {table} WHERE {column} = $1"));
            tx.change(delete.bind(id.as_str())).await?;
        }
        tx.change(sql("DELETE FROM vaults WHERE id = $1 AND state = 'DELETING'").bind(id.as_str())).await?;
        tx.commit().await
    }

    async fn vaults_where(&self, condition: &str) -> Result<Vec<VaultRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM vaults v WHERE {condition} ORDER BY v.id"));
        self.db.rows(select).await?.iter().map(VaultRow::of).collect()
    }

    /// Vaults that were being made when the server ended.
    pub async fn unfinished_vaults(&self) -> Result<Vec<VaultRow>> {
        self.vaults_where("v.state = 'INITIALIZING'").await
    }
}

/// How rules, which are JSON, name a vault.
fn in_rules(id: &VaultId) -> String {
    format!("%\"{id}\"%")
}

impl VaultRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            name: row.text("name")?,
            description: row.text("description")?,
            region: row.text("region")?,
            redundancy: row.text("redundancy")?,
            state: row.text("state")?,
            password: row.text("password")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
            is_worm: row.flag("is_worm")?,
            stored_bytes: row.count("stored_bytes")?,
            snapshots: row.count("snapshots")?,
            bytes_done: row.count("bytes_done")?,
            instance_plans: row.count("instance_plans")?,
            file_plans: row.count("file_plans")?,
        })
    }
}
