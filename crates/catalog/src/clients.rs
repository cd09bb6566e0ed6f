//! Clients: machines whose files are backed up.

use lifeboat_model::id::{AccountId, ClientId, InstanceId};
use lifeboat_model::time::Millis;

use crate::accounts::account_id;
use crate::sql::{Row, sql};
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    pub id: ClientId,
    pub account: AccountId,
    pub instance: InstanceId,
    pub hostname: String,
    pub version: String,
    pub created: Millis,
    pub heard_of: Millis,
    /// A plan backs it up. Not written: the plans say so.
    pub is_protected: bool,
}

const COLUMNS: &str = "id, account_id, instance_id, hostname, version, created_at, heard_of_at, (SELECT COUNT(*) \
     FROM plans p WHERE p.client_id = clients.id AND p.is_deleted = 0) AS plans";

impl Catalog {
    /// Adds a client, or notes that one is there and what it has become.
    pub async fn upsert_client(&self, client: &ClientRow) -> Result<()> {
        let insert = sql(
            "INSERT INTO clients (id, account_id, instance_id, hostname, version, created_at, heard_of_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, \
             version = excluded.version, heard_of_at = excluded.heard_of_at",
        );
        let insert = insert
            .bind(client.id.as_str())
            .bind(client.account.number())
            .bind(client.instance.as_str())
            .bind(client.hostname.as_str())
            .bind(client.version.as_str())
            .bind(client.created)
            .bind(client.heard_of);
        self.db.change(insert).await.map(drop)
    }

    /// Notes that a client is alive.
    pub async fn hear_of_client(&self, id: &ClientId, now: Millis) -> Result<()> {
        let update = sql("UPDATE clients SET heard_of_at = $1 WHERE id = $2").bind(now).bind(id.as_str());
        self.db.change(update).await.map(drop)
    }

    pub async fn clients(&self, account: AccountId) -> Result<Vec<ClientRow>> {
        let select =
            sql(format!("SELECT {COLUMNS} FROM clients WHERE account_id = $1 ORDER BY created_at, id"));
        self.db.rows(select.bind(account.number())).await?.iter().map(ClientRow::of).collect()
    }

    pub async fn client(&self, account: AccountId, id: &ClientId) -> Result<Option<ClientRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM clients WHERE account_id = $1 AND id = $2"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(ClientRow::of).transpose()
    }

    pub async fn client_of_instance(&self, account: AccountId, id: &InstanceId) -> Result<Option<ClientRow>> {
        let select = sql(format!("SELECT {COLUMNS} FROM clients WHERE account_id = $1 AND instance_id = $2"));
        let row = self.db.row(select.bind(account.number()).bind(id.as_str())).await?;
        row.as_ref().map(ClientRow::of).transpose()
    }
}

impl ClientRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.parsed("id")?,
            account: account_id(row, "account_id")?,
            instance: row.parsed("instance_id")?,
            hostname: row.text("hostname")?,
            version: row.text("version")?,
            created: Millis(row.number("created_at")?),
            heard_of: Millis(row.number("heard_of_at")?),
            is_protected: row.count("plans")? > 0,
        })
    }
}
