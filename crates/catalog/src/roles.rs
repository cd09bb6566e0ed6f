//! Roles of accounts, and the policy documents attached to users and roles.

use lifeboat_model::id::AccountId;
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::error::{CatalogError, CatalogErrorKind};
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRow {
    pub account: AccountId,
    pub name: String,
    /// The document that says who may act in this role.
    pub trust: String,
    pub created: Millis,
}

/// Whom a document is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentOwner<'a> {
    User(&'a str),
    Role(&'a str),
}

impl<'a> DocumentOwner<'a> {
    fn kind_and_name(self) -> (&'static str, &'a str) {
        match self {
            Self::User(name) => ("user", name),
            Self::Role(name) => ("role", name),
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::User(_) => "users",
            Self::Role(_) => "roles",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedDocument {
    pub name: String,
    /// Absent where the name is that of a built-in document.
    pub document: Option<String>,
    pub attached: Millis,
}

const COLUMNS: &str = "account_id, name, trust, created_at";

impl Catalog {
    pub async fn insert_role(&self, account: AccountId, name: &str, trust: &str, now: Millis) -> Result<()> {
        let insert = sql("INSERT INTO roles (account_id, name, trust, created_at) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(account.number()).bind(name).bind(trust).bind(now);
        self.db.change(insert).await.map(drop)
    }

    pub async fn role(&self, account: AccountId, name: &str) -> Result<Option<RoleRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM roles WHERE account_id = $1 AND name = $2"));
        let row = self.db.row(select.bind(account.number()).bind(name)).await?;
        row.as_ref().map(RoleRow::of).transpose()
    }

    /// Roles of an account in the order of their names.
    pub async fn roles(&self, account: AccountId) -> Result<Vec<RoleRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM roles WHERE account_id = $1 ORDER BY name"));
        self.db.rows(select.bind(account.number())).await?.iter().map(RoleRow::of).collect()
    }

    /// Removes a role and its documents. [`CatalogErrorKind::Conflict`] when there is none.
    pub async fn delete_role(&self, account: AccountId, name: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let documents = sql(
            "DELETE FROM attached_documents WHERE account_id = $1 AND owner_kind = 'role' AND owner_name = $2",
        );
        tx.change(documents.bind(account.number()).bind(name)).await?;
        let delete = sql("DELETE FROM roles WHERE account_id = $1 AND name = $2");
        if tx.change(delete.bind(account.number()).bind(name)).await? == 0 {
            return Err(CatalogError::new(CatalogErrorKind::Conflict, format!("there is no role {name}")));
        }
        tx.commit().await
    }

    /// Attaches a document, in the place of one of that name. [`CatalogErrorKind::Conflict`] when the owner is not
    /// there or has `most` already.
    pub async fn attach_document(
        &self,
        (account, owner): (AccountId, DocumentOwner<'_>),
        (name, document): (&str, Option<&str>),
        most: u64,
        now: Millis,
    ) -> Result<()> {
        let (kind, owner_name) = owner.kind_and_name();
        // The row of the owner is touched first, so that two who attach at once take turns.
        let mut tx = self.db.begin().await?;
        let touch =
            sql(format!("UPDATE {} SET name = name WHERE account_id = $1 AND name = $2", owner.table()));
        if tx.change(touch.bind(account.number()).bind(owner_name)).await? == 0 {
            let what = format!("there is no {kind} {owner_name}");
            return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
        }
        let insert = sql(
            "INSERT INTO attached_documents (account_id, owner_kind, owner_name, name, document, attached_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, owner_kind, owner_name, name) \
             DO UPDATE SET document = excluded.document, attached_at = excluded.attached_at",
        );
        let insert = insert.bind(account.number()).bind(kind).bind(owner_name);
        tx.change(insert.bind(name).bind(document).bind(now)).await?;
        let count = sql("SELECT COUNT(*) AS documents FROM attached_documents \
             WHERE account_id = $1 AND owner_kind = $2 AND owner_name = $3");
        let rows = tx.rows(count.bind(account.number()).bind(kind).bind(owner_name)).await?;
        if rows.first().map_or(Ok(0), |row| row.count("documents"))? > most {
            let what = format!("the {kind} {owner_name} has {most} documents attached, which is the most");
            return Err(CatalogError::new(CatalogErrorKind::Conflict, what));
        }
        tx.commit().await
    }

    /// Takes a document away; false when none of that name was attached.
    pub async fn detach_document(
        &self,
        (account, owner): (AccountId, DocumentOwner<'_>),
        name: &str,
    ) -> Result<bool> {
        let (kind, owner_name) = owner.kind_and_name();
        let delete = sql("DELETE FROM attached_documents \
             WHERE account_id = $1 AND owner_kind = $2 AND owner_name = $3 AND name = $4");
        let delete = delete.bind(account.number()).bind(kind).bind(owner_name).bind(name);
        Ok(self.db.change(delete).await? == 1)
    }

    /// The documents attached to somebody, in the order of their names.
    pub async fn attached_documents(
        &self,
        account: AccountId,
        owner: DocumentOwner<'_>,
    ) -> Result<Vec<AttachedDocument>> {
        let (kind, owner_name) = owner.kind_and_name();
        let select = sql("SELECT name, document, attached_at FROM attached_documents \
             WHERE account_id = $1 AND owner_kind = $2 AND owner_name = $3 ORDER BY name");
        let rows = self.db.rows(select.bind(account.number()).bind(kind).bind(owner_name)).await?;
        let document = |row: &Row| {
            Ok(AttachedDocument {
                name: row.text("name")?,
                document: row.maybe_text("document")?,
                attached: Millis(row.number("attached_at")?),
            })
        };
        rows.iter().map(document).collect()
    }
}

impl RoleRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            account: account_id(row, "account_id")?,
            name: row.text("name")?,
            trust: row.text("trust")?,
            created: Millis(row.number("created_at")?),
        })
    }
}
