//! Nonces, written in groups: requests that come at the same time share one write to the catalog.
//!
//! A request is let through only after its nonce has been written, so none can be used twice: not after a crash of the
//! server or of the machine, and not on another server. While one group is being written the next one gathers; so the
//! busier the server, the fewer writes each request costs. A caller that goes away leaves its group to be written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use lifeboat_catalog::{CatalogError, NonceUse, USE_NOTED_EVERY_MILLIS};
use lifeboat_model::time::Millis;
use tokio::sync::oneshot;

use crate::{Result, Service, bridge};

/// Longer ones are kept as their digests.
const MOST_BYTES: usize = 128;
/// A statement of the catalog takes so many with ease.
const MOST_IN_GROUP: usize = 500;

type Told = std::result::Result<bool, CatalogError>;

/// Nonces that wait to be written.
#[derive(Default)]
pub(crate) struct Nonces {
    waiting: Mutex<Vec<(NonceUse, oneshot::Sender<Told>)>>,
    /// Held by whoever writes a group.
    turn: tokio::sync::Mutex<()>,
    /// When the last use of each key was written, as far as this server has done so.
    noted: Mutex<HashMap<String, Millis>>,
}

impl Service {
    /// Uses up a nonce of a request whose signature was found right; false when it was used before.
    pub async fn burn_nonce(&self, key_id: &str, nonce: &str, expires: Millis) -> Result<bool> {
        let nonce = if nonce.len() > MOST_BYTES {
            STANDARD_NO_PAD.encode(digest(&SHA256, nonce.as_bytes()))
        } else {
            nonce.to_owned()
        };
        let one = NonceUse { access_key_id: key_id.to_owned(), nonce, expires };
        let (tell, told) = oneshot::channel();
        self.nonces.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((one, tell));
        let service = self.clone();
        bridge::spawn_task(async move { service.write_nonces().await });
        let is_new = told.await.unwrap_or_else(|_| Err(CatalogError::no_answer()))?;
        if is_new {
            self.note_use(key_id).await?;
        }
        Ok(is_new)
    }

    /// Writes what waits, unless somebody else has.
    async fn write_nonces(&self) {
        let nonces = Arc::clone(&self.nonces);
        let turn = nonces.turn.lock().await;
        let group: Vec<_> = {
            let mut waiting = nonces.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(MOST_IN_GROUP);
            waiting.drain(..count).collect()
        };
        let (uses, tells): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let burnt = self.catalog.burn_nonces(&uses).await;
        drop(turn);
        let mut burnt = burnt.map(Vec::into_iter);
        for tell in tells {
            let told = match &mut burnt {
                Ok(all) => all.next().ok_or_else(CatalogError::no_answer),
                Err(error) => Err(error.clone()),
            };
            // Nobody listens any more where a caller has gone.
            tell.send(told).ok();
        }
    }

    /// Notes that a key is used, once in a while.
    async fn note_use(&self, key_id: &str) -> Result<()> {
        let now = self.now();
        {
            let mut noted = self.nonces.noted.lock().unwrap_or_else(PoisonError::into_inner);
            let before = noted.get(key_id).copied().unwrap_or(Millis(i64::MIN));
            if before.0 <= now.0 && now.plus(-USE_NOTED_EVERY_MILLIS) < before {
                return Ok(());
            }
            noted.insert(key_id.to_owned(), now);
        }
        Ok(self.catalog.note_use(key_id, now).await?)
    }
}
