//! Work across accounts: one account, the managing one, backs up machines of another, the managed one, whose role
//! trusts it and allows the action.
//!
//! What is made belongs to the managing account; of the managed one only the machines are seen. The role is asked at
//! every request, and again when a job begins: trust that was taken back ends what a plan once was allowed.

use std::net::Ipv4Addr;

use lifeboat_catalog::{CrossAccountRow, DocumentOwner};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::AccountId;
use lifeboat_model::plan::CrossAccount;

use crate::access::{Circumstances, RequestContext, RoleTrust};
use crate::{Caller, ClientRow, Missing, Result, Service, ServiceError};

/// The proof that a role lets an account in: only [`Service::cross`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing(CrossAccount);

impl Crossing {
    /// The account whose machines are meant.
    pub fn managed(&self) -> AccountId {
        self.0.account
    }

    pub(crate) fn into_inner(self) -> CrossAccount {
        self.0
    }
}

impl Service {
    /// Asks a role of another account whether the caller may do `action` in it.
    pub async fn cross(
        &self,
        caller: &Caller,
        to: CrossAccount,
        action: &str,
        context: &RequestContext,
    ) -> Result<Crossing> {
        self.assume(caller.account, &to, action, context).await?;
        Ok(Crossing(to))
    }

    /// Refused unless the role is there, trusts `managing` and allows `action`.
    pub(crate) async fn assume(
        &self,
        managing: AccountId,
        to: &CrossAccount,
        action: &str,
        context: &RequestContext,
    ) -> Result<()> {
        let role = self.catalog.role(to.account, &to.role).await?;
        let role = role.ok_or_else(|| ServiceError::Missing(Missing::Role, to.role.clone()))?;
        let circumstances =
            Circumstances { source_ip: context.source_ip, is_secure: context.is_secure, now: self.now() };
        if !RoleTrust::parse(&role.trust)?.trusts(managing, to.account, &circumstances) {
            return Err(ServiceError::NotTrusted { role: to.role.clone(), account: to.account });
        }
        match self.denial((to.account, DocumentOwner::Role(&to.role)), action, context).await? {
            Some(denial) => Err(ServiceError::Denied(denial)),
            None => Ok(()),
        }
    }

    /// Asks once more, when a job of another account's machine begins.
    pub(crate) async fn may_still_cross(
        &self,
        managing: AccountId,
        to: Option<&CrossAccount>,
        action: &str,
    ) -> Result<()> {
        let Some(to) = to else { return Ok(()) };
        // The server itself asks, on nobody's network.
        let here = RequestContext { source_ip: Ipv4Addr::LOCALHOST.into(), is_secure: true, resource: None };
        self.assume(managing, to, action, &here).await
    }

    /// The machines of the account on the other side.
    pub async fn clients_across(&self, crossing: &Crossing) -> Result<Vec<ClientRow>> {
        Ok(self.catalog.clients(crossing.managed()).await?)
    }

    /// Notes an account whose machines the caller's account backs up.
    pub async fn add_cross_account(
        &self,
        caller: &Caller,
        crossing: &Crossing,
        alias: Option<&str>,
    ) -> Result<()> {
        let CrossAccount { account, role } = &crossing.0;
        Ok(self.catalog.upsert_cross_account(caller.account, (*account, role), alias, self.now()).await?)
    }

    pub async fn cross_accounts(&self, caller: &Caller, page: Page) -> Result<Paged<CrossAccountRow>> {
        Ok(self.catalog.cross_accounts(caller.account, page).await?)
    }

    pub async fn delete_cross_account(&self, caller: &Caller, which: &CrossAccount) -> Result<()> {
        if self.catalog.delete_cross_account(caller.account, (which.account, &which.role)).await? {
            return Ok(());
        }
        Err(ServiceError::Missing(Missing::CrossAccount, format!("{} {}", which.account, which.role)))
    }
}
