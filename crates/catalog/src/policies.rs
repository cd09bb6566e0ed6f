//! Policies, and the bindings that put sources under them.
//!
//! A policy, its bindings and what of them runs by itself change in one transaction, and only by who has seen the
//! policy as it is: what runs is never by rules that were replaced. Jobs and snapshots outlive their policy.

use lifeboat_model::id::{AccountId, BindingId, ClientId, PolicyId};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::policy::{BindingCondition, BindingField, Cursor, PolicyRules};
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::runs::{NewRun, set_runs};
use crate::sql::{Row, Statement, Tx, Value, json, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug)]
pub struct PolicyRow {
    pub id: PolicyId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub rules: PolicyRules,
    pub created: Millis,
    pub updated: Millis,
    /// How many sources are bound to it.
    pub bindings: u64,
}

#[derive(Clone, Debug)]
pub struct BindingRow {
    pub id: BindingId,
    pub account: AccountId,
    pub policy: PolicyId,
    pub source_type: String,
    /// The instance or the client, as asked for.
    pub data_source: String,
    pub client: ClientId,
    pub description: String,
    /// What to back up, as asked for.
    pub source: String,
    pub spec: BackupSpec,
    pub is_disabled: bool,
    pub created: Millis,
    pub updated: Millis,
}

/// Some rows, and how many there are in all.
pub type Portion<T> = (Vec<T>, u64);

const POLICY: &str = "p.id, p.account_id, p.name, p.description, p.rules, p.created_at, p.updated_at, \
    (SELECT COUNT(*) FROM bindings b WHERE b.policy_id = p.id) AS bindings";
const BINDING: &str = "id, account_id, policy_id, source_type, data_source_id, client_id, description, source, spec, is_disabled, \
    created_at, updated_at";

impl Catalog {
    pub async fn insert_policy(&self, new: &PolicyRow) -> Result<()> {
        let insert =
            sql("INSERT INTO policies (id, account_id, name, description, rules, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)");
        let insert = insert
            .bind(new.id.as_str())
            .bind(new.account.number())
            .bind(new.name.as_str())
            .bind(new.description.as_str())
            .bind(json(&new.rules))
            .bind(new.created)
            .bind(new.updated);
        self.db.change(insert).await.map(drop)
    }

    pub async fn policy(&self, account: AccountId, id: &PolicyId) -> Result<Option<PolicyRow>> {
        let select = sql(format!("SELECT {POLICY} FROM policies p WHERE p.account_id = $1 AND p.id = $2"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(PolicyRow::of).transpose()
    }

    /// The first `limit` policies of an account behind a cursor, the oldest first.
    pub async fn policies(
        &self,
        account: AccountId,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Portion<PolicyRow>> {
        let count =
            sql("SELECT COUNT(*) AS total FROM policies WHERE account_id = $1").bind(account.number());
        let total = self.db.row(count).await?.map_or(Ok(0), |row| row.count("total"))?;
        let select = sql(format!(
            "SELECT {POLICY} FROM policies p WHERE p.account_id = $1 AND (p.created_at > $2 OR (p.created_at = $2 AND p.id > $3)) \
             ORDER BY p.created_at, p.id LIMIT $4"
        ));
        let (created, id) = place(after);
        let rows = self.db.rows(select.bind(account.number()).bind(created).bind(id).bind(limit)).await?;
        Ok((rows.iter().map(PolicyRow::of).collect::<Result<_>>()?, total))
    }

    /// Changes a policy, and for each of its bindings what runs by itself. False when somebody else has changed it since
    /// it was read.
    pub async fn update_policy(
        &self,
        policy: &PolicyRow,
        runs: impl Fn(&BindingRow) -> Vec<NewRun>,
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let update = sql("UPDATE policies SET name = $1, description = $2, rules = $3, \
             updated_at = CASE WHEN updated_at < $4 THEN $4 ELSE updated_at + 1 END \
             WHERE id = $5 AND account_id = $6 AND updated_at = $7");
        let update = update
            .bind(policy.name.as_str())
            .bind(policy.description.as_str())
            .bind(json(&policy.rules))
            .bind(now)
            .bind(policy.id.as_str())
            .bind(policy.account.number())
            .bind(policy.updated);
        if tx.change(update).await? == 0 {
            return Ok(false);
        }
        let select = sql(format!("SELECT {BINDING} FROM bindings WHERE policy_id = $1 ORDER BY id"));
        for row in tx.rows(select.bind(policy.id.as_str())).await? {
            let binding = BindingRow::of(&row)?;
            set_runs(&mut tx, binding.id.as_str(), &runs(&binding)).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Deletes a policy and its bindings; false when it is not there.
    pub async fn delete_policy(&self, account: AccountId, id: &PolicyId) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let lock = sql("UPDATE policies SET updated_at = updated_at WHERE id = $1 AND account_id = $2");
        if tx.change(lock.bind(id.as_str()).bind(account.number())).await? == 0 {
            return Ok(false);
        }
        for statement in [
            "DELETE FROM runs WHERE series_id IN (SELECT id FROM bindings WHERE policy_id = $1)",
            "DELETE FROM bindings WHERE policy_id = $1",
            "DELETE FROM policies WHERE id = $1",
        ] {
            tx.change(sql(statement).bind(id.as_str())).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Binds sources to a policy, all or none. False when the policy was changed since it was read.
    pub async fn insert_bindings(
        &self,
        policy: &PolicyRow,
        bindings: &[(BindingRow, Vec<NewRun>)],
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !lock(&mut tx, policy).await? {
            return Ok(false);
        }
        for (new, runs) in bindings {
            let insert = sql(
                "INSERT INTO bindings (id, account_id, policy_id, source_type, data_source_id, client_id, description, source, \
                 spec, is_disabled, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            );
            let insert = insert
                .bind(new.id.as_str())
                .bind(new.account.number())
                .bind(new.policy.as_str())
                .bind(new.source_type.as_str())
                .bind(new.data_source.as_str())
                .bind(new.client.as_str())
                .bind(new.description.as_str())
                .bind(new.source.as_str())
                .bind(json(&new.spec))
                .bind(new.is_disabled)
                .bind(new.created)
                .bind(new.updated);
            tx.change(insert).await?;
            set_runs(&mut tx, new.id.as_str(), runs).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The first `limit` bindings of an account behind a cursor for which all conditions hold, the oldest first.
    pub async fn bindings(
        &self,
        account: AccountId,
        conditions: &[BindingCondition],
        (after, limit): (Option<&Cursor>, u32),
    ) -> Result<Portion<BindingRow>> {
        let mut values = vec![Value::from(account.number())];
        let mut text = "account_id = $1".to_owned();
        for BindingCondition { field, is_not, values: accepted } in conditions {
            let column = match field {
                BindingField::PolicyId => "policy_id",
                BindingField::DataSourceId => "data_source_id",
                BindingField::SourceType => "source_type",
            };
            let from = values.len() + 1;
            values.extend(accepted.iter().map(|value| Value::from(value.as_str())));
            let places: Vec<_> = (from..=values.len()).map(|number| format!("${number}")).collect();
            let not = if *is_not { "NOT " } else { "" };
            text.push_str(&format!(" AND {column} {not}IN ({})", places.join(", ")));
        }
        let count = sql(format!("SELECT COUNT(*) AS total FROM bindings WHERE {text}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let (at, (created, id)) = (values.len(), place(after));
        let (time, name, most) = (at + 1, at + 2, at + 3);
        let select = sql(format!(
            "SELECT {BINDING} FROM bindings WHERE {text} AND (created_at > ${time} OR (created_at = ${time} AND id > ${name})) \
             ORDER BY created_at, id LIMIT ${most}"
        ));
        let rows = self.db.rows(select.bind_all(values).bind(created).bind(id).bind(limit)).await?;
        Ok((rows.iter().map(BindingRow::of).collect::<Result<_>>()?, total))
    }

    /// Changes a binding, and what of it runs by itself. False when it or its policy was changed since it was read.
    pub async fn update_binding(
        &self,
        policy: &PolicyRow,
        binding: &BindingRow,
        runs: &[NewRun],
        now: Millis,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !lock(&mut tx, policy).await? {
            return Ok(false);
        }
        let update = sql("UPDATE bindings SET description = $1, source = $2, spec = $3, is_disabled = $4, \
             updated_at = CASE WHEN updated_at < $5 THEN $5 ELSE updated_at + 1 END \
             WHERE id = $6 AND account_id = $7 AND updated_at = $8");
        let update = update
            .bind(binding.description.as_str())
            .bind(binding.source.as_str())
            .bind(json(&binding.spec))
            .bind(binding.is_disabled)
            .bind(now)
            .bind(binding.id.as_str())
            .bind(binding.account.number())
            .bind(binding.updated);
        if tx.change(update).await? == 0 {
            return Ok(false);
        }
        set_runs(&mut tx, binding.id.as_str(), runs).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes sources out of a policy, all or none. False when one of them is not there.
    pub async fn delete_bindings(&self, account: AccountId, ids: &[BindingId]) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        for id in ids {
            set_runs(&mut tx, id.as_str(), &[]).await?;
            let delete = sql("DELETE FROM bindings WHERE id = $1 AND account_id = $2");
            if tx.change(delete.bind(id.as_str()).bind(account.number())).await? == 0 {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    /// The binding that is to run by itself, and its policy, whoever's it is.
    pub async fn binding_of_run(&self, id: &BindingId) -> Result<Option<(BindingRow, PolicyRow)>> {
        let select = sql(format!("SELECT {BINDING} FROM bindings WHERE id = $1 AND is_disabled = 0"));
        let Some(row) = self.db.row(select.bind(id.as_str())).await? else { return Ok(None) };
        let binding = BindingRow::of(&row)?;
        let policy = self.policy(binding.account, &binding.policy).await?;
        Ok(policy.map(|policy| (binding, policy)))
    }
}

/// Keeps a policy as it was read until the transaction ends; false when it is no longer so.
async fn lock(tx: &mut Tx, policy: &PolicyRow) -> Result<bool> {
    let lock: Statement = sql(
        "UPDATE policies SET updated_at = updated_at WHERE id = $1 AND account_id = $2 AND updated_at = $3",
    );
    let lock = lock.bind(policy.id.as_str()).bind(policy.account.number()).bind(policy.updated);
    Ok(tx.change(lock).await? == 1)
}

fn place(after: Option<&Cursor>) -> (i64, &str) {
    after.map_or((i64::MIN, ""), |cursor| (cursor.created.0, &cursor.id))
}

impl PolicyRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            name: row.text("name")?,
            description: row.text("description")?,
            rules: row.json("rules")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
            bindings: row.count("bindings")?,
        })
    }
}

impl BindingRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            policy: row.parsed("policy_id")?,
            source_type: row.text("source_type")?,
            data_source: row.text("data_source_id")?,
            client: row.parsed("client_id")?,
            description: row.text("description")?,
            source: row.text("source")?,
            spec: row.json("spec")?,
            is_disabled: row.flag("is_disabled")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
        })
    }
}
