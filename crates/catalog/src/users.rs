//! Users of accounts. A user goes together with his access keys and attached documents, in one transaction.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    pub account: AccountId,
    pub name: String,
    /// Whether he can log in with a password.
    pub has_password: bool,
    pub created: Millis,
}

const COLUMNS: &str = "account_id, name, created_at, CAST(CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS BIGINT) AS has_password";

impl Catalog {
    /// Adds a user, with the hash of his password if he has one.
    pub async fn insert_user(
        &self,
        account: AccountId,
        name: &str,
        password_hash: Option<&str>,
        now: Millis,
    ) -> Result<()> {
        let insert =
            sql("INSERT INTO users (account_id, name, password_hash, created_at) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(account.number()).bind(name).bind(password_hash).bind(now);
        self.db.change(insert).await.map(drop)
    }

    pub async fn user(&self, account: AccountId, name: &str) -> Result<Option<UserRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM users WHERE account_id = $1 AND name = $2"));
        let row = self.db.row(select.bind(account.number()).bind(name)).await?;
        row.as_ref().map(UserRow::of).transpose()
    }

    /// Users of an account in the order of their names.
    pub async fn users(&self, account: AccountId) -> Result<Vec<UserRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM users WHERE account_id = $1 ORDER BY name"));
        self.db.rows(select.bind(account.number())).await?.iter().map(UserRow::of).collect()
    }

    /// Removes a user, his keys and his documents. [`CatalogErrorKind::Conflict`] when there is none.
    pub async fn delete_user(&self, account: AccountId, name: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for statement in [
            "DELETE FROM access_keys WHERE account_id = $1 AND user_name = $2",
            "DELETE FROM attached_documents WHERE account_id = $1 AND owner_kind = 'user' AND owner_name = $2",
        ] {
            tx.change(sql(statement).bind(account.number()).bind(name)).await?;
        }
        let delete = sql("DELETE FROM users WHERE account_id = $1 AND name = $2");
        if tx.change(delete.bind(account.number()).bind(name)).await? == 0 {
            return Err(CatalogError::new(CatalogErrorKind::Conflict, format!("there is no user {name}")));
        }
        tx.commit().await
    }
}

impl UserRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            account: account_id(row, "account_id")?,
            name: row.text("name")?,
            has_password: row.flag("has_password")?,
            created: Millis(row.number("created_at")?),
        })
    }
}
