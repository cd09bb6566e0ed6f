//! Access keys and the nonces used with them.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::sql;
use crate::{Catalog, Result};

#[derive(Clone, Debug)]
pub struct AccessKeyRow {
    pub id: String,
    pub account: AccountId,
    /// Sealed.
    pub secret: String,
    pub is_active: bool,
}

#[derive(Clone, Debug)]
pub struct NewAccessKey {
    pub id: String,
    pub account: AccountId,
    /// Sealed.
    pub secret: String,
}

impl Catalog {
    pub async fn insert_access_key(&self, new: NewAccessKey, now: Millis) -> Result<()> {
        let insert = sql(
            "INSERT INTO access_keys (id, account_id, secret, is_active, created_at) VALUES ($1, $2, $3, 1, $4)",
        );
        let insert = insert.bind(new.id).bind(new.account.number()).bind(new.secret).bind(now);
        self.db.change(insert).await.map(drop)
    }

    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKeyRow>> {
        let select = sql("SELECT id, account_id, secret, is_active FROM access_keys WHERE id = $1");
        let Some(row) = self.db.row(select.bind(id)).await? else { return Ok(None) };
        Ok(Some(AccessKeyRow {
            id: row.text("id")?,
            account: account_id(&row, "account_id")?,
            secret: row.text("secret")?,
            is_active: row.flag("is_active")?,
        }))
    }

    /// Notes that a nonce was used with a key, whose signature was found right. False when it had been used before.
    ///
    /// Of many that note the same at once exactly one is told true.
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
            self.db.change(used.bind(now).bind(access_key_id).bind(now.plus(-60_000))).await?;
        }
        Ok(is_new)
    }

    /// Forgets nonces that no clock could make valid again.
    pub async fn delete_expired_nonces(&self, now: Millis) -> Result<u64> {
        self.db.change(sql("DELETE FROM nonces WHERE expires_at < $1").bind(now)).await
    }
}
