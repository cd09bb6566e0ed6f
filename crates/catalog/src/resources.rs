//! Resources: databases and Redis servers that can be backed up.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::job::JobState;
use lifeboat_model::resource::{Address, Engine, ResourceId, ResourceKind, ResourceState};
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::CatalogError;
use crate::jobs::{NewJob, Unless, insert as insert_job, states};
use crate::sql::{Row, Statement, Value, json, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug)]
pub struct NewResource {
    pub id: ResourceId,
    pub account: AccountId,
    pub engine: Engine,
    pub address: Address,
    /// Sealed.
    pub url: String,
    pub is_cluster: bool,
    /// Absent for the account's vault of databases.
    pub vault: Option<VaultId>,
    /// JSON about a server that is ours.
    pub instance: Option<String>,
    pub state: ResourceState,
}

#[derive(Clone, Debug)]
pub struct ResourceRow {
    pub id: ResourceId,
    pub account: AccountId,
    pub engine: Engine,
    pub address: Address,
    /// Sealed.
    pub url: String,
    pub is_cluster: bool,
    /// Absent for the account's vault of databases.
    pub vault: Option<VaultId>,
    /// JSON about a server that is ours.
    pub instance: Option<String>,
    pub state: ResourceState,
    /// As the server told when it was last asked.
    pub version: Option<String>,
    /// JSON about when it is backed up by itself.
    pub policy: Option<String>,
    pub created: Millis,
    pub updated: Millis,
}

/// Which resources to list; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct ResourceFilter {
    pub kind: Option<ResourceKind>,
    /// One of these; all of them when there is none.
    pub ids: Vec<String>,
    pub engine: Option<Engine>,
    pub state: Option<ResourceState>,
}

pub(crate) const COLUMNS: &str = "id, account_id, engine, address, url, is_cluster, vault_id, instance, state, version, policy, \
    created_at, updated_at";

impl Catalog {
    /// Adds a resource. [`crate::CatalogErrorKind::Exists`] when its id is taken, whoever has it.
    pub async fn insert_resource(&self, new: NewResource, now: Millis) -> Result<()> {
        self.db.change(insert(new, now)).await.map(drop)
    }

    /// The same with the job that makes the server behind it.
    pub async fn insert_resource_with_job(&self, new: NewResource, job: &NewJob, now: Millis) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.change(insert(new, now)).await?;
        tx.change(insert_job(job, Unless::Never, now)).await?;
        tx.commit().await
    }

    pub async fn resource(&self, account: AccountId, id: &ResourceId) -> Result<Option<ResourceRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM resources WHERE account_id = $1 AND id = $2"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(ResourceRow::of).transpose()
    }

    /// Resources of an account, oldest first.
    pub async fn resources(
        &self,
        account: AccountId,
        filter: &ResourceFilter,
        page: Page,
    ) -> Result<Paged<ResourceRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut condition = "account_id = $1".to_owned();
        let wanted = [
            ("kind", filter.kind.map(ResourceKind::as_str)),
            ("engine", filter.engine.map(Engine::as_str)),
            ("state", filter.state.map(ResourceState::as_str)),
        ];
        for (column, value) in wanted {
            if let Some(value) = value {
                values.push(value.into());
                condition.push_str(&format!(" AND {column} = ${}", values.len()));
            }
        }
        if !filter.ids.is_empty() {
            let first = values.len() + 1;
            values.extend(filter.ids.iter().map(|id| id.as_str().into()));
            let places: Vec<_> = (first..=values.len()).map(|at| format!("${at}")).collect();
            condition.push_str(&format!(" AND id IN ({})", places.join(", ")));
        }
        let count = sql(format!("SELECT COUNT(*) AS total FROM resources WHERE {condition}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM resources WHERE {condition} ORDER BY created_at, id LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let select = select.bind_all(values).bind(page.size).bind(page.offset());
        let rows = self.db.rows(select).await?.iter().map(ResourceRow::of).collect::<Result<_>>()?;
        Ok(Paged { rows, total })
    }

    /// Notes the version that a resource has told.
    pub async fn set_resource_version(&self, id: &ResourceId, version: &str, now: Millis) -> Result<()> {
        let update = sql("UPDATE resources SET version = $1, updated_at = $2 WHERE id = $3");
        self.db.change(update.bind(version).bind(now).bind(id.as_str())).await.map(drop)
    }

    /// Forgets a resource; its backups stay. False when the account has none of that id, or a job of it is under way.
    pub async fn delete_resource(&self, account: AccountId, id: &ResourceId) -> Result<bool> {
        let active = states(JobState::ALL.into_iter().filter(|state| !state.is_final()));
        let delete = sql(format!(
            "DELETE FROM resources WHERE account_id = $1 AND id = $2 AND NOT EXISTS \
             (SELECT 1 FROM jobs j WHERE j.instance_id = $2 AND j.account_id = $1 AND j.state IN ({active}))"
        ));
        let mut tx = self.db.begin().await?;
        let hold = sql("UPDATE resources SET state = state WHERE account_id = $1 AND id = $2");
        tx.change(hold.bind(account.number()).bind(id.as_str())).await?;
        if tx.change(delete.bind(account.number()).bind(id.as_str())).await? == 0 {
            return Ok(false);
        }
        // Whoever takes the id next has no part in what ran by itself.
        tx.change(sql("DELETE FROM runs WHERE series_id = $1").bind(id.as_str())).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A resource whose backups go into a vault because its owner said so, if there is one.
    pub async fn resource_naming_vault(
        &self,
        account: AccountId,
        vault: &VaultId,
    ) -> Result<Option<ResourceId>> {
        let select =
            sql("SELECT id FROM resources WHERE account_id = $1 AND vault_id = $2 ORDER BY id LIMIT 1");
        let row = self.db.row(select.bind(account.number()).bind(vault.as_str())).await?;
        row.map(|row| row.parsed("id")).transpose()
    }
}

fn insert(new: NewResource, now: Millis) -> Statement {
    let insert = sql(
        "INSERT INTO resources (id, account_id, kind, engine, address, url, is_cluster, vault_id, instance, state, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    );
    insert
        .bind(new.id.as_str())
        .bind(new.account.number())
        .bind(new.engine.kind().as_str())
        .bind(new.engine.as_str())
        .bind(json(&new.address))
        .bind(new.url)
        .bind(new.is_cluster)
        .bind(new.vault.map(String::from))
        .bind(new.instance)
        .bind(new.state.as_str())
        .bind(now)
        .bind(now)
}

impl ResourceRow {
    pub(crate) fn of(row: &Row) -> Result<Self> {
        let (engine, state) = (row.text("engine")?, row.text("state")?);
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            engine: Engine::parse(&engine).ok_or_else(|| CatalogError::strange("engine", &engine))?,
            address: row.json("address")?,
            url: row.text("url")?,
            is_cluster: row.flag("is_cluster")?,
            vault: row.maybe_parsed("vault_id")?,
            instance: row.maybe_text("instance")?,
            state: ResourceState::parse(&state).ok_or_else(|| CatalogError::strange("state", &state))?,
            version: row.maybe_text("version")?,
            policy: row.maybe_text("policy")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
        })
    }
}
