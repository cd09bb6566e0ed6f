//! Access keys and the nonces used with them.

use std::collections::HashSet;

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

/// How old the note of a key's last use may be before it is written anew.
pub const USE_NOTED_EVERY_MILLIS: i64 = 60_000;

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

/// A nonce that came with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonceUse {
    pub access_key_id: String,
    /// Of a few hundred characters at most.
    pub nonce: String,
    pub expires: Millis,
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

    /// Notes that nonces were used with keys, whose signatures were found right; tells of each whether it is new.
    ///
    /// All of them are written at once. Of many that note the same one exactly one is told true.
    pub async fn burn_nonces(&self, uses: &[NonceUse]) -> Result<Vec<bool>> {
        if uses.is_empty() {
            return Ok(Vec::new());
        }
        // In the same order everywhere: two servers never wait for each other in a circle.
        let mut sorted: Vec<&NonceUse> = uses.iter().collect();
        sorted.sort_unstable_by_key(|one| (&one.access_key_id, &one.nonce));
        let rows =
            (0..sorted.len()).map(|row| format!("(${}, ${}, ${})", 3 * row + 1, 3 * row + 2, 3 * row + 3));
        let rows = rows.collect::<Vec<_>>().join(", ");
        let mut insert = sql(format!(
            "INSERT INTO nonces (access_key_id, nonce, expires_at) VALUES {rows} \
             ON CONFLICT (access_key_id, nonce) DO NOTHING RETURNING access_key_id, nonce"
        ));
        for one in sorted {
            insert = insert.bind(one.access_key_id.as_str()).bind(one.nonce.as_str()).bind(one.expires);
        }
        let mut new = HashSet::new();
        for row in self.db.change_returning(insert).await? {
            new.insert((row.text("access_key_id")?, row.text("nonce")?));
        }
        Ok(uses.iter().map(|one| new.remove(&(one.access_key_id.clone(), one.nonce.clone()))).collect())
    }

    /// Notes that a key is used now; written once a minute at most.
    pub async fn note_use(&self, access_key_id: &str, now: Millis) -> Result<()> {
        let used = sql(
            "UPDATE access_keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $3)",
        );
        let before = now.plus(-USE_NOTED_EVERY_MILLIS);
        self.db.change(used.bind(now).bind(access_key_id).bind(before)).await.map(drop)
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
