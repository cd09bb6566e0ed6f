//! Roles, and the policy documents attached to users and roles. Every document is checked before it is kept.

use lifeboat_catalog::{AttachedDocument, DocumentOwner, RoleRow};

use crate::access::{RoleTrust, check_document};
use crate::users::check_name;
use crate::{Caller, Missing, Result, Service, ServiceError};

/// More documents than these cannot be attached to one user or role.
const MOST_DOCUMENTS: u64 = 20;

impl Service {
    /// Makes a role. `trust` is the document that says who may act in it.
    pub async fn create_role(&self, caller: &Caller, name: &str, trust: &str) -> Result<()> {
        check_name("role name", name, ".-_")?;
        RoleTrust::parse(trust)?;
        Ok(self.catalog.insert_role(caller.account, name, trust, self.now()).await?)
    }

    pub async fn roles(&self, caller: &Caller) -> Result<Vec<RoleRow>> {
        Ok(self.catalog.roles(caller.account).await?)
    }

    pub async fn delete_role(&self, caller: &Caller, name: &str) -> Result<()> {
        self.must_have(caller, DocumentOwner::Role(name)).await?;
        Ok(self.catalog.delete_role(caller.account, name).await?)
    }

    /// Attaches a document to a user or role: a written one under any name, or without one, the built-in one of that
    /// name. It takes the place of one of the same name.
    pub async fn attach_document(
        &self,
        caller: &Caller,
        owner: DocumentOwner<'_>,
        (name, document): (&str, Option<&str>),
    ) -> Result<()> {
        check_name("document name", name, ".-_")?;
        check_document(name, document)?;
        self.must_have(caller, owner).await?;
        let (owner, new) = ((caller.account, owner), (name, document));
        Ok(self.catalog.attach_document(owner, new, MOST_DOCUMENTS, self.now()).await?)
    }

    pub async fn detach_document(&self, caller: &Caller, owner: DocumentOwner<'_>, name: &str) -> Result<()> {
        if self.catalog.detach_document((caller.account, owner), name).await? {
            return Ok(());
        }
        Err(ServiceError::Missing(Missing::Document, name.to_owned()))
    }

    /// What is attached to a user or role.
    pub async fn attached_documents(
        &self,
        caller: &Caller,
        owner: DocumentOwner<'_>,
    ) -> Result<Vec<AttachedDocument>> {
        self.must_have(caller, owner).await?;
        Ok(self.catalog.attached_documents(caller.account, owner).await?)
    }

    async fn must_have(&self, caller: &Caller, owner: DocumentOwner<'_>) -> Result<()> {
        match owner {
            DocumentOwner::User(name) => self.user(caller, name).await.map(drop),
            DocumentOwner::Role(name) => {
                let found = self.catalog.role(caller.account, name).await?;
                found.map(drop).ok_or_else(|| ServiceError::Missing(Missing::Role, name.to_owned()))
            }
        }
    }
}
