//! Backup sets of a resource: the snapshots that its backups made, and the backups that made none.

use lifeboat_model::filter::{Page, Paged};
use lifeboat_model::id::{AccountId, SnapshotId};
use lifeboat_model::job::{JobKind, JobState, Trigger};
use lifeboat_model::resource::ResourceId;
use lifeboat_model::time::Millis;

use crate::jobs::{JobRow, states};
use crate::snapshots::{COLUMNS, SnapshotRow};
use crate::sql::{Row, Value, sql};
use crate::{Catalog, Result};

/// Which sets to list; what is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct SetFilter {
    pub set_number: Option<i64>,
    /// Of the job that made it.
    pub number: Option<i64>,
    pub trigger: Option<Trigger>,
    pub is_good: Option<bool>,
    /// When its backup began: both ends belong to it.
    pub from: Option<Millis>,
    pub to: Option<Millis>,
}

/// One row of a list of sets.
#[derive(Clone, Debug)]
pub enum SetRow {
    Good(Box<SnapshotRow>),
    /// The job that should have made it.
    Failed(Box<JobRow>),
}

/// What the two tables call the same.
struct Names {
    begin: &'static str,
    rest: String,
}

impl Catalog {
    /// Sets of a resource, newest first, and how many there are.
    pub async fn backup_sets(
        &self,
        (account, resource): (AccountId, &ResourceId),
        filter: &SetFilter,
        page: Page,
    ) -> Result<Paged<SetRow>> {
        let mut values = vec![Value::from(account.number()), Value::from(resource.as_str())];
        let good =
            Names { begin: "started_at", rest: "resource_id = $2 AND condemned_at IS NULL".to_owned() };
        let ends = [JobState::Failed, JobState::Canceled, JobState::Expired, JobState::Unavailable];
        let failed = Names {
            begin: "COALESCE(started_at, created_at)",
            rest: format!(
                "instance_id = $2 AND kind = '{}' AND child_count = 0 AND state IN ({})",
                JobKind::DatabaseBackup.as_str(),
                states(ends.into_iter())
            ),
        };
        let mut parts = Vec::new();
        for (table, names, is_good) in [("snapshots", &good, 1), ("jobs", &failed, 0)] {
            if filter.is_good.is_none_or(|wanted| wanted == (is_good == 1)) {
                let text = conditions(filter, names, &mut values);
                let begin = names.begin;
                parts.push(format!(
                    "SELECT CAST({is_good} AS BIGINT) AS is_good, id, {begin} AS began FROM {table} WHERE account_id = $1 AND {} {text}",
                    names.rest
                ));
            }
        }
        let union = parts.join(" UNION ALL ");
        let count = sql(format!("SELECT COUNT(*) AS total FROM ({union}) u"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let at = values.len();
        let select = sql(format!(
            "SELECT is_good, id FROM ({union}) u ORDER BY began DESC, id DESC LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let found = self.db.rows(select.bind_all(values).bind(page.size).bind(page.offset())).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.extend(self.set_row(account, row).await?);
        }
        Ok(Paged { rows, total })
    }

    async fn set_row(&self, account: AccountId, row: &Row) -> Result<Option<SetRow>> {
        if row.flag("is_good")? {
            let id: SnapshotId = row.parsed("id")?;
            return Ok(self.snapshot(account, &id).await?.map(|set| SetRow::Good(Box::new(set))));
        }
        Ok(self.job(account, &row.text("id")?).await?.map(|job| SetRow::Failed(Box::new(job))))
    }

    /// The sets of these numbers that a resource has.
    pub async fn sets_of_numbers(
        &self,
        (account, resource): (AccountId, &ResourceId),
        numbers: &[i64],
    ) -> Result<Vec<SnapshotRow>> {
        let places: Vec<_> = (3..numbers.len() + 3).map(|place| format!("${place}")).collect();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND resource_id = $2 AND condemned_at IS NULL \
             AND set_number IN ({}) ORDER BY completed_at DESC, id DESC",
            places.join(", ")
        ));
        let select = select.bind(account.number()).bind(resource.as_str());
        let select = select.bind_all(numbers.iter().map(|number| Value::from(*number)));
        self.db.rows(select).await?.iter().map(SnapshotRow::of).collect()
    }

    /// The set of a number, whichever resource of the account it was taken of.
    pub async fn set_of_number(&self, account: AccountId, number: i64) -> Result<Option<SnapshotRow>> {
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND set_number = $2 AND condemned_at IS NULL \
             AND resource_id IS NOT NULL"
        ));
        let row = self.db.row(select.bind(account.number()).bind(number)).await?;
        row.as_ref().map(SnapshotRow::of).transpose()
    }

    /// The sets that one job has made, or the nodes of one cluster: in the order of their numbers.
    pub async fn sets_of_job(&self, account: AccountId, number: i64) -> Result<Vec<SnapshotRow>> {
        let select = sql(format!(
            "SELECT {COLUMNS} FROM snapshots WHERE account_id = $1 AND number = $2 AND condemned_at IS NULL \
             AND resource_id IS NOT NULL ORDER BY set_number"
        ));
        let rows = self.db.rows(select.bind(account.number()).bind(number)).await?;
        rows.iter().map(SnapshotRow::of).collect()
    }

    /// Lets a set live longer, and with it those of the other nodes of its cluster. False when it would live shorter, or is
    /// not there.
    pub async fn extend_set(&self, account: AccountId, id: &SnapshotId, until: Millis) -> Result<bool> {
        let update = sql(
            "UPDATE snapshots SET expires_at = $1 WHERE account_id = $2 AND condemned_at IS NULL \
             AND expires_at <= $1 AND number = (SELECT o.number FROM snapshots o WHERE o.account_id = $2 AND o.id = $3 \
             AND o.condemned_at IS NULL AND o.expires_at <= $1)",
        );
        Ok(self.db.change(update.bind(until).bind(account.number()).bind(id.as_str())).await? > 0)
    }

    /// No number that a found set has is given away again.
    pub async fn pass_over_numbers(&self, highest: i64) -> Result<()> {
        let update = sql("UPDATE numbers SET last = $1 WHERE id = 1 AND last < $1");
        self.db.change(update.bind(highest)).await.map(drop)
    }
}

fn conditions(filter: &SetFilter, names: &Names, values: &mut Vec<Value>) -> String {
    let mut text = String::new();
    let wanted = [
        ("set_number =", filter.set_number.map(Value::from)),
        ("number =", filter.number.map(Value::from)),
        ("trigger_mode =", filter.trigger.map(|trigger| Value::from(trigger.as_str()))),
    ];
    let times = [(">=", filter.from), ("<=", filter.to)];
    let times = times.map(|(sign, time)| (format!("{} {sign}", names.begin), time.map(Value::from)));
    let wanted = wanted.map(|(column, value)| (column.to_owned(), value));
    for (condition, value) in wanted.into_iter().chain(times) {
        if let Some(value) = value {
            values.push(value);
            text.push_str(&format!(" AND {condition} ${}", values.len()));
        }
    }
    text
}
