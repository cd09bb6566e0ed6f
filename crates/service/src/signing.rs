//! Keys that requests are signed with.

use lifeboat_model::id::AccountId;

use crate::{Result, Secret, Service};

/// An access key with its secret, to verify a signature by.
#[derive(Clone, Debug)]
pub struct SigningKey {
    pub id: String,
    pub account: AccountId,
    /// Absent for a key of the account itself.
    pub user: Option<String>,
    pub secret: Secret,
    pub is_active: bool,
}

impl Service {
    pub async fn signing_key(&self, id: &str) -> Result<Option<SigningKey>> {
        let Some(row) = self.catalog.access_key(id).await? else { return Ok(None) };
        let secret = Secret::new(self.sealer.open(&owner(id), &row.secret)?);
        Ok(Some(SigningKey {
            id: row.id,
            account: row.account,
            user: row.user,
            secret,
            is_active: row.is_active,
        }))
    }
}

pub(crate) fn owner(key_id: &str) -> String {
    format!("access key {key_id}")
}
