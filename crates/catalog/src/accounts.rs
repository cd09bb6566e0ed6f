//! Accounts.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::sql::{Row, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub id: AccountId,
    pub name: String,
}

impl Catalog {
    pub async fn insert_account(&self, id: AccountId, name: &str, now: Millis) -> Result<()> {
        let insert = sql("INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, $3)");
        self.db.change(insert.bind(id.number()).bind(name).bind(now)).await.map(drop)
    }

    pub async fn account(&self, id: AccountId) -> Result<Option<AccountRow>> {
        let select = sql("SELECT id, name FROM accounts WHERE id = $1").bind(id.number());
        self.db.row(select).await?.map(|row| AccountRow::of(&row)).transpose()
    }

    /// All accounts in the order of their names.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>> {
        let select = sql("SELECT id, name FROM accounts ORDER BY name");
        self.db.rows(select).await?.iter().map(AccountRow::of).collect()
    }
}

impl AccountRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self { id: account_id(row, "id")?, name: row.text("name")? })
    }
}

pub(crate) fn account_id(row: &Row, column: &'static str) -> Result<AccountId> {
    let number = row.number(column)?;
    AccountId::from_number(number).ok_or_else(|| crate::CatalogError::strange(column, &number.to_string()))
}
