//! Tasks: what an asynchronous operation that is no job is told by.

use lifeboat_model::id::{AccountId, TaskId, VaultId};
use lifeboat_model::time::Millis;

use crate::sql::sql;
use crate::{Catalog, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRow {
    pub id: TaskId,
    pub name: String,
    /// `created`, `completed`, `cancelled` or `expired`.
    pub state: String,
    /// 0 to 100; −1 after a failure.
    pub progress: i64,
    pub created: Millis,
    pub updated: Millis,
    pub completed: Option<Millis>,
}

impl Catalog {
    /// Adds a task that makes a vault, or does something else.
    pub async fn insert_task(
        &self,
        account: AccountId,
        id: &TaskId,
        (name, vault): (&str, Option<&VaultId>),
        now: Millis,
    ) -> Result<()> {
        let insert = sql(
            "INSERT INTO tasks (id, account_id, name, vault_id, state, progress, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, 'created', 0, $5, $5)",
        );
        let insert = insert.bind(id.as_str()).bind(account.number()).bind(name);
        let insert = insert.bind(vault.map(VaultId::as_str)).bind(now);
        self.db.change(insert).await.map(drop)
    }

    /// The task that makes a vault, if it has not ended.
    pub async fn task_of_vault(&self, vault: &VaultId) -> Result<Option<TaskId>> {
        let select = sql("SELECT id FROM tasks WHERE vault_id = $1 AND state = 'created'");
        let row = self.db.row(select.bind(vault.as_str())).await?;
        row.map(|row| row.parsed("id")).transpose()
    }

    pub async fn finish_task(&self, id: &TaskId, progress: i64, now: Millis) -> Result<()> {
        let update =
            sql("UPDATE tasks SET state = 'completed', progress = $1, updated_at = $2, completed_at = $2 \
             WHERE id = $3 AND state = 'created'");
        let update = update.bind(progress).bind(now).bind(id.as_str());
        self.db.change(update).await.map(drop)
    }

    pub async fn task(&self, account: AccountId, id: &TaskId) -> Result<Option<TaskRow>> {
        let select =
            sql("SELECT id, name, state, progress, created_at, updated_at, completed_at FROM tasks \
             WHERE account_id = $1 AND id = $2");
        let Some(row) = self.db.row(select.bind(account.number()).bind(id.as_str())).await? else {
            return Ok(None);
        };
        Ok(Some(TaskRow {
            id: row.parsed("id")?,
            name: row.text("name")?,
            state: row.text("state")?,
            progress: row.number("progress")?,
            created: Millis(row.number("created_at")?),
            updated: Millis(row.number("updated_at")?),
            completed: row.maybe_number("completed_at")?.map(Millis),
        }))
    }
}
