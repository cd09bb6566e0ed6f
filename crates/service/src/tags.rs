//! Tags and resource groups, as callers write and read them.

use std::collections::BTreeMap;

use lifeboat_catalog::{Labels, Unknown};
use lifeboat_model::tag::{ResourceKind, Tag};

use crate::{Caller, Missing, Result, Service, ServiceError};

impl Service {
    pub async fn tag(&self, caller: &Caller, kind: ResourceKind, ids: &[String], tags: &[Tag]) -> Result<()> {
        known(kind, self.catalog.tag((caller.account, kind), ids, tags).await?)
    }

    /// Takes tags off: those with these keys, or all where none is given.
    pub async fn untag(
        &self,
        caller: &Caller,
        kind: ResourceKind,
        ids: &[String],
        keys: &[String],
    ) -> Result<()> {
        known(kind, self.catalog.untag((caller.account, kind), ids, keys).await?)
    }

    pub async fn change_resource_group(
        &self,
        caller: &Caller,
        (kind, id): (ResourceKind, &str),
        group: &str,
    ) -> Result<()> {
        known(kind, self.catalog.set_resource_group((caller.account, kind), id, group).await?)
    }

    /// What is written on things, by their ids; those that nothing is written on are left out.
    pub async fn labels(&self, caller: &Caller, ids: &[&str]) -> Result<BTreeMap<String, Labels>> {
        Ok(self.catalog.labels(caller.account, ids).await?)
    }
}

fn known(kind: ResourceKind, unknown: Unknown) -> Result<()> {
    let missing = match kind {
        ResourceKind::Vault => Missing::Vault,
        ResourceKind::Plan => Missing::Plan,
        ResourceKind::Client => Missing::Client,
    };
    unknown.map_or(Ok(()), |id| Err(ServiceError::Missing(missing, id)))
}
