//! Who may do what: every operation of every dialect asks [`Service::authorize`] before it reads its parameters.
//!
//! An account's own keys may do everything in it; a user may do what the documents attached to him allow. What changes
//! something has a row in the audit log before it begins, and a refusal one in its place: if that row cannot be
//! written, nothing is done. A crash leaves the row of an action saying that it was started.

mod builtin;
mod condition;
mod document;
mod pattern;
mod trust;

use std::net::IpAddr;

use lifeboat_catalog::{AUDIT_STARTED, AuditRow, DocumentOwner};
use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, random_characters};

pub use self::builtin::BUILTIN_NAMES;
pub use self::condition::Circumstances;
pub use self::document::{Decision, MOST_DOCUMENT_BYTES, PolicyDocument, PolicyError, Question, decide};
pub use self::trust::RoleTrust;
use crate::{Caller, Result, Service, ServiceError};

/// The outcome of what was done as it was asked.
const OK: &str = "OK";
/// The outcome of what was refused.
const REFUSED: &str = "NoPermission";
/// Codes that are noted of what only looks, too.
const REFUSALS: [&str; 2] = [REFUSED, "AssumeRoleFail"];
/// Ids in the audit log are cut off here.
const MOST_SUBJECT_CHARACTERS: usize = 512;

/// What a request is about, beside its action, and how it came.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub source_ip: IpAddr,
    /// Whether it came through TLS.
    pub is_secure: bool,
    /// The one thing the action is about, such as `vault/v-1`; without one it is about all.
    pub resource: Option<String>,
}

/// Why somebody may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{principal} is not allowed to do {action}")]
pub struct Denial {
    pub action: String,
    /// The user, as people know him.
    pub principal: String,
    pub account: AccountId,
    /// Whether a statement denies it; else none allows it.
    pub is_explicit: bool,
}

/// The right to go on, and what is to be noted after. Give it to [`Service::conclude`].
#[derive(Debug)]
#[must_use = "what came of an action belongs into the audit log"]
pub struct Permit {
    /// The row in the audit log: there already for what changes something, else to be.
    row: AuditRow,
    is_noted: bool,
}

impl Service {
    /// Decides whether `caller` may do `action`, such as `hbr:CreateVault`.
    pub async fn authorize(&self, caller: &Caller, action: &str, context: &RequestContext) -> Result<Permit> {
        let denial = match &caller.user {
            None => None,
            Some(user) => self.denial((caller.account, DocumentOwner::User(user)), action, context).await?,
        };
        let now = self.now();
        let row = AuditRow {
            id: format!("audit-{}", random_characters(self.random.number())),
            account: caller.account,
            user: caller.user.clone(),
            access_key_id: caller.access_key_id.clone(),
            action: action.to_owned(),
            source_ip: context.source_ip.to_canonical().to_string(),
            subject: None,
            outcome: if denial.is_some() { REFUSED } else { AUDIT_STARTED }.to_owned(),
            started: now,
            ended: denial.is_some().then_some(now),
        };
        let is_noted = denial.is_some() || !is_reading(action);
        if is_noted {
            self.catalog.insert_audit(&row).await?;
        }
        match denial {
            Some(denial) => Err(ServiceError::Denied(denial)),
            None => Ok(Permit { row, is_noted }),
        }
    }

    /// Notes what came of what was permitted: the ids it was about, and the code of the refusal if it was one.
    pub async fn conclude(&self, permit: Permit, subject: &str, refusal: Option<&str>) -> Result<()> {
        let subject: String = subject.chars().take(MOST_SUBJECT_CHARACTERS).collect();
        let subject = Some(subject).filter(|subject| !subject.is_empty());
        let (outcome, now) = (refusal.unwrap_or(OK), self.now());
        if permit.is_noted {
            return Ok(self.catalog.end_audit(&permit.row.id, outcome, subject.as_deref(), now).await?);
        }
        if !REFUSALS.contains(&outcome) {
            return Ok(());
        }
        let row = AuditRow { outcome: outcome.to_owned(), subject, ended: Some(now), ..permit.row };
        Ok(self.catalog.insert_audit(&row).await?)
    }

    /// What was done in the caller's account, newest first.
    pub async fn audit(&self, caller: &Caller, page: Page) -> Result<Paged<AuditRow>> {
        Ok(self.catalog.audit(caller.account, page).await?)
    }

    /// Why the documents of somebody do not let him do `action`; `None` when they do.
    pub(crate) async fn denial(
        &self,
        (account, owner): (AccountId, DocumentOwner<'_>),
        action: &str,
        context: &RequestContext,
    ) -> Result<Option<Denial>> {
        let attached = self.catalog.attached_documents(account, owner).await?;
        let mut documents = Vec::with_capacity(attached.len());
        let (DocumentOwner::User(name) | DocumentOwner::Role(name)) = owner;
        let denial = |is_explicit| {
            Some(Denial { action: action.to_owned(), principal: name.to_owned(), account, is_explicit })
        };
        for attached in &attached {
            match builtin::read(&attached.name, attached.document.as_deref()) {
                Ok(document) => documents.push(document),
                Err(error) => {
                    // It may hold the statement that denies.
                    tracing::error!(document.name = attached.name, error = %error, "cannot read an attached document");
                    return Ok(denial(true));
                }
            }
        }
        let product = action.split_once(':').map_or(action, |(product, _)| product);
        let thing = context.resource.as_deref().unwrap_or("*");
        let resource = format!("acs:{product}:{}:{account}:{thing}", self.region);
        let circumstances =
            Circumstances { source_ip: context.source_ip, is_secure: context.is_secure, now: self.now() };
        let question = Question { action, resource: &resource, circumstances };
        Ok(match decide(&documents, &question) {
            Decision::Allowed => None,
            Decision::Denied => denial(true),
            Decision::NotAllowed => denial(false),
        })
    }
}

/// Refuses a document that cannot be attached under that name.
pub(crate) fn check_document(name: &str, document: Option<&str>) -> std::result::Result<(), PolicyError> {
    if document.is_some() && BUILTIN_NAMES.contains(&name) {
        return Err(PolicyError(format!("{name} is the name of a built-in document; give it another")));
    }
    builtin::read(name, document).map(drop)
}

/// Whether an action only looks, by the first word of its name.
fn is_reading(action: &str) -> bool {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    builtin::READING.iter().any(|word| name.starts_with(word))
}
