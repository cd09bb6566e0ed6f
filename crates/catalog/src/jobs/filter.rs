//! Listings of jobs: conditions become SQL on the rows, totals are counted by the database.
//!
//! Columns and operators come from types, never from a caller's text; values are always bound.

use lifeboat_model::filter::{
    Comparison, JobCondition, Order, Page, Paged, TextComparison, TextField, TimeField,
};
use lifeboat_model::id::AccountId;
use lifeboat_model::job::JobKind;

use super::row::{COLUMNS, JobRow};
use crate::sql::{Value, sql};
use crate::{Catalog, Result};

/// Which jobs to list.
#[derive(Clone, Debug)]
pub struct JobFilter {
    /// All kinds where none is named.
    pub kind: Option<JobKind>,
    /// Source types to list; empty for all.
    pub source_types: Vec<String>,
    pub edition: Option<String>,
    pub conditions: Vec<JobCondition>,
    pub order: Order,
}

impl Catalog {
    /// One page of the jobs of an account, and how many there are.
    pub async fn jobs(&self, account: AccountId, filter: &JobFilter, page: Page) -> Result<Paged<JobRow>> {
        let mut conditions = Conditions::default();
        let account = conditions.place(account.number());
        conditions.text = format!("j.account_id = {account}");
        if let Some(kind) = filter.kind {
            let place = conditions.place(kind.as_str());
            conditions.and(&format!("j.kind = {place}"));
        }
        if !filter.source_types.is_empty() {
            let places = conditions.places(filter.source_types.iter().map(|kind| kind.as_str().into()));
            conditions.and(&format!("j.source_type IN ({places})"));
        }
        if let Some(edition) = &filter.edition {
            let place = conditions.place(edition.as_str());
            conditions.and(&format!("j.edition = {place}"));
        }
        filter.conditions.iter().for_each(|condition| conditions.add(condition));
        let Conditions { text, values } = conditions;
        let count = sql(format!("SELECT COUNT(*) AS total FROM jobs j WHERE {text}"));
        let total = self.db.row(count.bind_all(values.clone())).await?;
        let total = total.map_or(Ok(0), |row| row.count("total"))?;
        let direction = match filter.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        let at = values.len();
        let select = sql(format!(
            "SELECT {COLUMNS} FROM jobs j WHERE {text} ORDER BY j.created_at {direction}, j.id {direction} \
             LIMIT ${} OFFSET ${}",
            at + 1,
            at + 2
        ));
        let rows = self.db.rows(select.bind_all(values).bind(page.size).bind(page.offset())).await?;
        Ok(Paged { rows: rows.iter().map(JobRow::of).collect::<Result<_>>()?, total })
    }
}

/// The text after WHERE, and the values for its places.
#[derive(Default)]
struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    fn places(&mut self, values: impl Iterator<Item = Value>) -> String {
        values.map(|value| self.place(value)).collect::<Vec<_>>().join(", ")
    }

    fn and(&mut self, condition: &str) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
    }

    fn add(&mut self, condition: &JobCondition) {
        match condition {
            JobCondition::Text { field, comparison, values } => {
                let Some(column) = text_column(*field) else {
                    // No row has a value: nothing equals one, and nothing is told from one.
                    return self.and("1 = 0");
                };
                let places = self.places(values.iter().map(|value| value.as_str().into()));
                self.and(&match comparison {
                    TextComparison::Equal => format!("{column} = {places}"),
                    TextComparison::NotEqual => format!("{column} <> {places}"),
                    TextComparison::In => format!("{column} IN ({places})"),
                });
            }
            JobCondition::Time { field, comparison, values } => {
                // Clients speak of whole seconds: a moment within one is that second.
                let column = match field {
                    TimeField::Created => "(j.created_at / 1000)",
                    TimeField::Completed => "(j.completed_at / 1000)",
                };
                let places: Vec<_> = values.iter().map(|value| self.place(value.seconds())).collect();
                let first = places.first().map_or("NULL", String::as_str);
                let second = places.get(1).map_or("NULL", String::as_str);
                self.and(&match comparison {
                    Comparison::Equal => format!("{column} = {first}"),
                    Comparison::NotEqual => format!("{column} <> {first}"),
                    Comparison::Greater => format!("{column} > {first}"),
                    Comparison::GreaterOrEqual => format!("{column} >= {first}"),
                    Comparison::Less => format!("{column} < {first}"),
                    Comparison::LessOrEqual => format!("{column} <= {first}"),
                    Comparison::Between => format!("{column} BETWEEN {first} AND {second}"),
                    Comparison::In => format!("{column} IN ({})", places.join(", ")),
                });
            }
        }
    }
}

/// `None` for what no job here has.
fn text_column(field: TextField) -> Option<&'static str> {
    Some(match field {
        TextField::Id => "j.id",
        TextField::PlanId => "j.plan_id",
        TextField::VaultId => "j.vault_id",
        TextField::Region => "j.region",
        TextField::InstanceId | TextField::TargetInstanceId => "j.instance_id",
        TextField::ParentId => "j.parent_id",
        TextField::State => "j.state",
        TextField::SourceType => "j.source_type",
        TextField::BackupType => "j.backup_type",
        TextField::SourceJobId => "j.source_job_id",
        TextField::Bucket | TextField::FileSystemId | TextField::InstanceName => return None,
    })
}
