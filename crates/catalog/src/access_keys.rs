//! Access keys and the nonces used with them.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

/// How old the note of a key's last use may be before it is written anew.
const USE_NOTED_EVERY_MILLIS: i64 = 60_000;

#[derive(Clone, Debug)]
pub struct AccessKeyRow {
    pub id: String,
    pub account: AccountId,
    /// Absent for the account's own keys.
    pub user: Option<String>,
    /// Sealed.
    pub secret: String,
    pub is_active: bool,
    pub created: Millis,
    /// To a minute.
    pub last_used: Option<Millis>,
}

#[derive(Clone, Debug)]
pub struct NewAccessKey {
    pub id: String,
    pub account: AccountId,
    /// Absent for the account's own keys.
    pub user: Option<String>,
    /// Sealed.
    pub secret: String,
}

const COLUMNS: &str = "id, account_id, user_name, secret, is_active, created_at, last_used_at";

impl Catalog {
    /// Adds a key that works at once. [`CatalogErrorKind::Conflict`] when its user is not there.
    pub async fn insert_access_key(&self, new: NewAccessKey, now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO access_keys (id, account_id, user_name, secret, is_active, created_at) \
             SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT), 1, CAST($5 AS BIGINT) \
             WHERE CAST($3 AS TEXT) IS NULL OR EXISTS (SELECT 1 FROM users WHERE account_id = $2 AND name = $3)",
        );
        let insert = insert.bind(new.id).bind(new.account.number()).bind(new.user.as_deref());
        if self.db.change(insert.bind(new.secret).bind(now)).await? == 0 {
            let what = format!("there is no user {}", new.user.unwrap_or_default());
            return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
        }
        Ok(())
    }

    /// The key of that id, whoever's it is: what a signature is verified by.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKeyRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM access_keys WHERE id = $1"));
        self.db.row(select.bind(id)).await?.as_ref().map(AccessKeyRow::of).transpose()
    }

    /// Keys of an account, oldest first: its own and its users'.
    pub async fn access_keys(&self, account: AccountId) -> Result<Vec<AccessKeyRow>> {
        let select =
            sql(format!("SELECT {COLUMNS} FROM access_keys WHERE account_id = $1 ORDER BY created_at, id"));
        self.db.rows(select.bind(account.number())).await?.iter().map(AccessKeyRow::of).collect()
    }

    /// False when the account has no such key.
    pub async fn set_access_key_active(&self, account: AccountId, id: &str, is_active: bool) -> Result<bool> {
        let update = sql("UPDATE access_keys SET is_active = $1 WHERE account_id = $2 AND id = $3");
        Ok(self.db.change(update.bind(is_active).bind(account.number()).bind(id)).await? == 1)
    }

    /// False when the account has no such key.
    pub async fn delete_access_key(&self, account: AccountId, id: &str) -> Result<bool> {
        let delete = sql("DELETE FROM access_keys WHERE account_id = $1 AND id = $2");
        Ok(self.db.change(delete.bind(account.number()).bind(id)).await? == 1)
    }

    /// Notes that a nonce was used with a key, whose signature was found right. False when it had been used before.
    ///
    /// Of many that note the same at once exactly one is told true. The key's last use is written once a minute at most.
    pub async fn burn_nonce(
        &self,
        access_key_id: &str,
        nonce: &str,
        expires: Millis,
        now: Millis,
    ) -> Result<bool> {
        let insert = sql("INSERT INTO nonces (access_key_id, nonce, expires_at) VALUES ($1, $2, $3) \
             ON CONFLICT (access_key_id, nonce) DO NOTHING");
        let insert = insert.bind(access_key_id).bind(nonce).bind(expires);
        let is_new = self.db.change(insert).await? == 1;
        if is_new {
            let used = sql(
                "UPDATE access_keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
            );
            let before = now.plus(-USE_NOTED_EVERY_MILLIS);
            self.db.change(used.bind(now).bind(access_key_id).bind(before)).await?;
        }
        Ok(is_new)
    }

    /// Forgets nonces that no clock could make valid again.
    pub async fn delete_expired_nonces(&self, now: Millis) -> Result<u64> {
        self.db.change(sql("DELETE FROM nonces WHERE expires_at < $1").bind(now)).await
    }
}

impl AccessKeyRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.text("id")?,
            account: account_id(row, "account_id")?,
            user: row.maybe_text("user_name")?,
            secret: row.text("secret")?,
            is_active: row.flag("is_active")?,
            created: Millis(row.number("created_at")?),
            last_used: row.maybe_number("last_used_at")?.map(Millis),
        })
    }
}
