//! Vaults.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, VaultId};
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
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
    /// Sealed.
    pub password: String,
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
    pub snapshots: u64,
    pub bytes_done: u64,
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
    v.updated_at, (SELECT COUNT(*) FROM snapshots s WHERE s.vault_id = v.id) AS snapshots, \
    (SELECT CAST(COALESCE(SUM(s.bytes_done), 0) AS BIGINT) FROM snapshots s WHERE s.vault_id = v.id) AS bytes_done";

impl Catalog {
    /// Adds a vault that is being made. Refused when the account has `most` already.
    pub async fn insert_vault(&self, new: NewVault, most: u64, now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO vaults (id, account_id, name, description, region, redundancy, state, password, created_at, updated_at) \
             SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
             CAST($6 AS TEXT), 'INITIALIZING', CAST($7 AS TEXT), CAST($8 AS BIGINT), CAST($9 AS BIGINT) \
             WHERE (SELECT COUNT(*) FROM vaults WHERE account_id = $2) < $10",
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
            .bind(most);
        match self.db.change(insert).await? {
            1 => Ok(()),
            _ => Err(CatalogError::new(CatalogErrorKind::Conflict, format!("the account has {most} vaults"))),
        }
    }

    /// Says what became of a vault that was being made.
    pub async fn set_vault_state(&self, id: &VaultId, state: &str, now: Millis) -> Result<()> {
        let update = sql("UPDATE vaults SET state = $1, updated_at = $2 WHERE id = $3");
        self.db.change(update.bind(state).bind(now).bind(id.as_str())).await.map(drop)
    }

    pub async fn vault(&self, account: AccountId, id: &VaultId) -> Result<Option<VaultRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM vaults v WHERE v.account_id = $1 AND v.id = $2"));
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
        let mut condition = "v.account_id = $1".to_owned();
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

    /// Vaults that were being made when the server ended.
    pub async fn unfinished_vaults(&self) -> Result<Vec<VaultRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM vaults v WHERE v.state = 'INITIALIZING'"));
        self.db.rows(select).await?.iter().map(VaultRow::of).collect()
    }
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
            snapshots: row.count("snapshots")?,
            bytes_done: row.count("bytes_done")?,
        })
    }
}
