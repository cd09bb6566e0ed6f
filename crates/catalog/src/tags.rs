//! Tags and resource groups of vaults, plans and clients.
//!
//! Who writes on several things writes on all of them or on none: each call is one transaction, which begins by
//! looking whether they are there and the caller's. What is written on a thing that is gone later is never read again.

use std::collections::BTreeMap;

use lifeboat_model::id::AccountId;
use lifeboat_model::tag::{MOST_TAGS, ResourceKind, Tag};

use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Tx, Value, sql};
use crate::{Catalog, Result};

/// What is written on one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// In the order of their keys.
    pub tags: Vec<Tag>,
    pub group: Option<String>,
}

/// Which labels a listing wants: all of these tags, with any value where none is given, and this group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFilter {
    pub tags: Vec<(String, Option<String>)>,
    pub group: Option<String>,
}

/// The first thing that is not there, or is somebody else's.
pub type Unknown = Option<String>;

impl Catalog {
    /// Writes tags on things; a key that is there gets the new value. [`CatalogErrorKind::Conflict`] when one of them
    /// would have more than [`MOST_TAGS`].
    pub async fn tag(
        &self,
        (account, kind): (AccountId, ResourceKind),
        ids: &[String],
        tags: &[Tag],
    ) -> Result<Unknown> {
        let mut tx = self.db.begin().await?;
        for id in ids {
            if !exists(&mut tx, (account, kind), id).await? {
                return Ok(Some(id.clone()));
            }
            for tag in tags {
                let insert = sql(
                    "INSERT INTO tags (resource_id, account_id, tag_key, tag_value) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (resource_id, tag_key) DO UPDATE SET tag_value = excluded.tag_value",
                );
                let insert = insert.bind(id.as_str()).bind(account.number());
                tx.change(insert.bind(tag.key.as_str()).bind(tag.value.as_str())).await?;
            }
            let count = sql("SELECT COUNT(*) AS total FROM tags WHERE resource_id = $1").bind(id.as_str());
            let rows = tx.rows(count).await?;
            if rows.first().map_or(Ok(0), |row| row.count("total"))? > MOST_TAGS as u64 {
                let what = format!("{id} would have more than {MOST_TAGS} tags");
                return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
            }
        }
        tx.commit().await?;
        Ok(None)
    }

    /// Takes tags off things: those with these keys, or all where none is given.
    pub async fn untag(
        &self,
        (account, kind): (AccountId, ResourceKind),
        ids: &[String],
        keys: &[String],
    ) -> Result<Unknown> {
        let mut tx = self.db.begin().await?;
        for id in ids {
            if !exists(&mut tx, (account, kind), id).await? {
                return Ok(Some(id.clone()));
            }
            let which = if keys.is_empty() {
                String::new()
            } else {
                let places: Vec<_> = (2..keys.len() + 2).map(|at| format!("${at}")).collect();
                format!(" AND tag_key IN ({})", places.join(", "))
            };
            let delete = sql(format!("DELETE FROM tags WHERE resource_id = $1{which}")).bind(id.as_str());
            tx.change(delete.bind_all(keys.iter().map(|key| key.as_str().into()))).await?;
        }
        tx.commit().await?;
        Ok(None)
    }

    /// Moves a thing to a resource group.
    pub async fn set_resource_group(
        &self,
        (account, kind): (AccountId, ResourceKind),
        id: &str,
        group: &str,
    ) -> Result<Unknown> {
        let mut tx = self.db.begin().await?;
        if !exists(&mut tx, (account, kind), id).await? {
            return Ok(Some(id.to_owned()));
        }
        let insert =
            sql("INSERT INTO resource_groups (resource_id, account_id, group_id) VALUES ($1, $2, $3) \
             ON CONFLICT (resource_id) DO UPDATE SET group_id = excluded.group_id");
        tx.change(insert.bind(id).bind(account.number()).bind(group)).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// What is written on things, by their ids; those that nothing is written on are left out.
    pub async fn labels(&self, account: AccountId, ids: &[&str]) -> Result<BTreeMap<String, Labels>> {
        let mut found: BTreeMap<String, Labels> = BTreeMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let places: Vec<_> = (2..ids.len() + 2).map(|at| format!("${at}")).collect();
        let places = places.join(", ");
        let values = || ids.iter().map(|id| Value::from(*id));
        let select = sql(format!(
            "SELECT resource_id, tag_key, tag_value FROM tags WHERE account_id = $1 AND resource_id IN ({places}) \
             ORDER BY resource_id, tag_key"
        ));
        for row in self.db.rows(select.bind(account.number()).bind_all(values())).await? {
            let tag = Tag { key: row.text("tag_key")?, value: row.text("tag_value")? };
            found.entry(row.text("resource_id")?).or_default().tags.push(tag);
        }
        let select = sql(format!(
            "SELECT resource_id, group_id FROM resource_groups WHERE account_id = $1 AND resource_id IN ({places})"
        ));
        for row in self.db.rows(select.bind(account.number()).bind_all(values())).await? {
            found.entry(row.text("resource_id")?).or_default().group = Some(row.text("group_id")?);
        }
        Ok(found)
    }
}

impl LabelFilter {
    /// Adds conditions on the row whose id is `column`, and their values.
    pub(crate) fn add(&self, column: &str, text: &mut String, values: &mut Vec<Value>) {
        let mut place = |value: &str| {
            values.push(value.into());
            format!("${}", values.len())
        };
        for (key, value) in &self.tags {
            let key = place(key);
            let value = value.as_ref().map(|value| format!(" AND t.tag_value = {}", place(value)));
            text.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM tags t WHERE t.resource_id = {column} AND t.tag_key = {key}{})",
                value.unwrap_or_default()
            ));
        }
        if let Some(group) = &self.group {
            let group = place(group);
            text.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM resource_groups g WHERE g.resource_id = {column} AND g.group_id = {group})"
            ));
        }
    }
}

async fn exists(tx: &mut Tx, (account, kind): (AccountId, ResourceKind), id: &str) -> Result<bool> {
    let from = match kind {
        ResourceKind::Vault => "vaults WHERE account_id = $1 AND id = $2",
        ResourceKind::Plan => "plans WHERE account_id = $1 AND id = $2 AND is_deleted = 0",
        ResourceKind::Client => "clients WHERE account_id = $1 AND id = $2",
    };
    let select = sql(format!("SELECT id FROM {from}")).bind(account.number()).bind(id);
    Ok(!tx.rows(select).await?.is_empty())
}
