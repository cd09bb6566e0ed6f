//! Listings of jobs whose pages stay where they are while jobs are added.
//!
//! Clients ask for pages by their numbers, the newest jobs first. So the first page of a listing notes which job was the
//! newest, in the catalog, where every server finds it; the other pages of the same query by the same key leave out what
//! is newer, and so do their totals. The note lasts for ten minutes after the last page. One that is lost or too old
//! costs no more than that: the listing begins anew at the page asked for.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lifeboat_catalog::{JobFilter, JobPlace, JobRow, Listing};
use lifeboat_model::filter::{JobCondition, Page, Paged, TextComparison, TextField};
use lifeboat_model::time::Millis;

use crate::{Caller, Result, Service};

const REMEMBERED_MILLIS: i64 = 10 * 60 * 1000;
/// A note that is as good as the new one is written anew only when it is that old.
const RENEWED_AFTER_MILLIS: i64 = 60 * 1000;

impl Service {
    /// One page of the caller's jobs, and how many there are.
    pub async fn jobs(&self, caller: &Caller, filter: &JobFilter, page: Page) -> Result<Paged<JobRow>> {
        let filter = &self.without_region(filter);
        let (key, now) = (caller.access_key_id.as_str(), self.now());
        let query = digest_of(caller, filter, page.size);
        let noted = match page.number {
            1 => None,
            _ => self.catalog.listing(key, &query, now).await?,
        };
        let begun = noted.as_ref().map(|listing| &listing.newest);
        let found = self.catalog.jobs(caller.account, filter, begun, page).await?;
        let has_next = page.offset() + u64::from(page.size) < found.total;
        if let Some(newest) = found.newest.filter(|_| has_next) {
            let noted = if page.number == 1 { self.catalog.listing(key, &query, now).await? } else { noted };
            if !is_noted(noted.as_ref(), &newest, now) {
                let listing = Listing { newest, expires: now.plus(REMEMBERED_MILLIS) };
                self.catalog.note_listing(key, &query, &listing).await?;
            }
        }
        Ok(Paged { rows: found.rows, total: found.total })
    }

    /// All jobs here are of one region: a condition on it holds for all of them or for none, and none has to be looked at.
    fn without_region(&self, filter: &JobFilter) -> JobFilter {
        let mut filter = filter.clone();
        filter.conditions.retain_mut(|condition| {
            let JobCondition::Text { field: TextField::Region, comparison, values } = condition else {
                return true;
            };
            let is_named = values.contains(&self.region);
            let is_met = is_named != (*comparison == TextComparison::NotEqual);
            if !is_met {
                // One of no values is met by nothing.
                *comparison = TextComparison::In;
                values.clear();
            }
            !is_met
        });
        filter
    }
}

fn is_noted(noted: Option<&Listing>, newest: &JobPlace, now: Millis) -> bool {
    let fresh = now.plus(REMEMBERED_MILLIS - RENEWED_AFTER_MILLIS);
    noted.is_some_and(|noted| noted.newest == *newest && noted.expires > fresh)
}

/// Names a query: whatever makes two listings differ is part of it.
fn digest_of(caller: &Caller, filter: &JobFilter, page_size: u32) -> String {
    let text = format!("{} {page_size} {filter:?}", caller.account);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}
