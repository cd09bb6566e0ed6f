//! Where listings began that are asked for page by page. A row is only a help: whoever finds none begins anew.

use lifeboat_model::time::Millis;

use crate::jobs::JobPlace;
use crate::sql::sql;
use crate::{Catalog, Result};

/// A listing that somebody is turning the pages of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The newest job when it began; newer ones are not part of it.
    pub newest: JobPlace,
    pub expires: Millis,
}

impl Catalog {
    /// What is remembered of the listing that a key has asked for by this query.
    pub async fn listing(&self, access_key_id: &str, query: &str, now: Millis) -> Result<Option<Listing>> {
        let select = sql("SELECT created_at, job_id, expires_at FROM listings \
             WHERE access_key_id = $1 AND query = $2 AND expires_at > $3");
        let Some(row) = self.db.row(select.bind(access_key_id).bind(query).bind(now)).await? else {
            return Ok(None);
        };
        let newest = JobPlace { created: Millis(row.number("created_at")?), id: row.text("job_id")? };
        Ok(Some(Listing { newest, expires: Millis(row.number("expires_at")?) }))
    }

    pub async fn note_listing(&self, access_key_id: &str, query: &str, listing: &Listing) -> Result<()> {
        let insert = sql(
            "INSERT INTO listings (access_key_id, query, created_at, job_id, expires_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (access_key_id, query) DO UPDATE SET created_at = excluded.created_at, \
             job_id = excluded.job_id, expires_at = excluded.expires_at",
        );
        let insert = insert
            .bind(access_key_id)
            .bind(query)
            .bind(listing.newest.created)
            .bind(listing.newest.id.as_str())
            .bind(listing.expires);
        self.db.change(insert).await.map(drop)
    }

    pub async fn delete_expired_listings(&self, now: Millis) -> Result<u64> {
        self.db.change(sql("DELETE FROM listings WHERE expires_at <= $1").bind(now)).await
    }
}
