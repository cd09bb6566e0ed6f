//! Accounts whose machines an account backs up, each with the role that lets it.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossAccountRow {
    pub account: AccountId,
    pub managed: AccountId,
    pub role: String,
    pub alias: Option<String>,
    pub created: Millis,
    pub updated: Millis,
}

impl Catalog {
    /// Adds a managed account, or gives it another alias.
    pub async fn upsert_cross_account(
        &self,
        account: AccountId,
        (managed, role): (AccountId, &str),
        alias: Option<&str>,
        now: Millis,
    ) -> Result<()> {
        let insert = sql(
            "INSERT INTO cross_accounts (account_id, managed_account_id, role_name, alias, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, managed_account_id, role_name) \
             DO UPDATE SET alias = excluded.alias, updated_at = excluded.updated_at",
        );
        let insert = insert.bind(account.number()).bind(managed.number()).bind(role);
        self.db.change(insert.bind(alias).bind(now).bind(now)).await.map(drop)
    }

    /// The accounts that `account` manages, oldest first.
    pub async fn cross_accounts(&self, account: AccountId, page: Page) -> Result<Paged<CrossAccountRow>> {
        let count = sql("SELECT COUNT(*) AS total FROM cross_accounts WHERE account_id = $1");
        let total = self.db.row(count.bind(account.number())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let select = sql(
            "SELECT account_id, managed_account_id, role_name, alias, created_at, updated_at FROM cross_accounts \
             WHERE account_id = $1 ORDER BY created_at, managed_account_id, role_name LIMIT $2 OFFSET $3",
        );
        let rows = self.db.rows(select.bind(account.number()).bind(page.size).bind(page.offset())).await?;
        Ok(Paged { rows: rows.iter().map(CrossAccountRow::of).collect::<Result<_>>()?, total })
    }

    /// False when there was none such.
    pub async fn delete_cross_account(
        &self,
        account: AccountId,
        (managed, role): (AccountId, &str),
    ) -> Result<bool> {
        let delete = sql(
            "DELETE FROM cross_accounts WHERE account_id = $1 AND managed_account_id = $2 AND role_name = $3",
        );
        let delete = delete.bind(account.number()).bind(managed.number()).bind(role);
        Ok(self.db.change(delete).await? == 1)
    }
}

impl CrossAccountRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            account: account_id(row, "account_id")?,
            managed: account_id(row, "managed_account_id")?,
            role: row.text("role_name")?,
            alias: row.maybe_text("alias")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
        })
    }
}
