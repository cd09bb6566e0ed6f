//! Listings of jobs: conditions become SQL on the rows, totals are counted by the database.
//!
//! Columns and operators come from types, never from a caller's text; values are always bound. What a row does not
//! have is never matched, by no operator. Times are compared as ranges of milliseconds, so that an index serves them.

use lifeboat_model::filter::{Comparison, JobCondition, Order, Page, TextComparison, TextField, TimeField};
use lifeboat_model::id::AccountId;
use lifeboat_model::job::JobKind;
use lifeboat_model::time::Millis;

use super::row::{COLUMNS, JobRow};
use crate::sql::{Value, sql};
use crate::{Catalog, Result};

/// Which jobs to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobFilter {
    /// All kinds where none is named.
    pub kind: Option<JobKind>,
    /// Source types to list; empty for all.
    pub source_types: Vec<String>,
    pub edition: Option<String>,
    /// Leaves out the jobs that are parts of another one.
    pub only_top_level: bool,
    pub conditions: Vec<JobCondition>,
    pub order: Order,
}

/// The place of a job in the order of listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPlace {
    pub created: Millis,
    pub id: String,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Listed {
    pub rows: Vec<JobRow>,
    pub total: u64,
    /// The newest job that could be part of it, when the total was counted.
    pub newest: Option<JobPlace>,
}

impl Catalog {
    /// One page of the jobs of an account, and how many there are. Jobs newer than `newest` are left out; without one the
    /// listing begins now.
    pub async fn jobs(
        &self,
        account: AccountId,
        filter: &JobFilter,
        newest: Option<&JobPlace>,
        page: Page,
    ) -> Result<Listed> {
        let conditions = Conditions::of(account, filter);
        let (total, newest) = match newest {
            Some(newest) => (self.count(conditions.up_to(newest)).await?, Some(newest.clone())),
            None => self.count_now(filter, &conditions).await?,
        };
        let Some(ceiling) = newest.as_ref().filter(|_| page.offset() < total) else {
            return Ok(Listed { rows: Vec::new(), total, newest });
        };
        let direction = match filter.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        let Conditions { text, values, .. } = conditions.up_to(ceiling);
        let (at, created) = (values.len(), conditions.order);
        // What is left out in front of a deep page is passed over in the index; only the page itself is read.
        let select = sql(format!(
            "SELECT {COLUMNS} FROM (SELECT j.id, j.created_at FROM jobs j WHERE {text} \
             ORDER BY {created} {direction}, j.id {direction} LIMIT ${} OFFSET ${}) p JOIN jobs j ON j.id = p.id \
             ORDER BY p.created_at {direction}, p.id {direction}",
            at + 1,
            at + 2
        ));
        let rows = self.db.rows(select.bind_all(values).bind(page.size).bind(page.offset())).await?;
        Ok(Listed { rows: rows.iter().map(JobRow::of).collect::<Result<_>>()?, total, newest })
    }

    /// How many jobs meet conditions, and which is the newest of the kind, at one moment.
    async fn count_now(
        &self,
        filter: &JobFilter,
        Conditions { text, values, .. }: &Conditions,
    ) -> Result<(u64, Option<JobPlace>)> {
        // The account is the first value, the kind the second.
        let of_kind = if filter.kind.is_some() { " AND kind = $2" } else { "" };
        let select = sql(format!(
            "SELECT c.total, n.created_at, n.id FROM (SELECT COUNT(*) AS total FROM jobs j WHERE {text}) c LEFT JOIN \
             (SELECT created_at, id FROM jobs WHERE account_id = $1{of_kind} ORDER BY created_at DESC, id DESC LIMIT 1) n \
             ON 1 = 1"
        ));
        let Some(row) = self.db.row(select.bind_all(values.clone())).await? else { return Ok((0, None)) };
        let newest = match row.maybe_number("created_at")? {
            Some(created) => Some(JobPlace { created: Millis(created), id: row.text("id")? }),
            None => None,
        };
        Ok((row.count("total")?, newest))
    }

    async fn count(&self, Conditions { text, values, .. }: Conditions) -> Result<u64> {
        let select = sql(format!("SELECT COUNT(*) AS total FROM jobs j WHERE {text}"));
        self.db.row(select.bind_all(values)).await?.map_or(Ok(0), |row| row.count("total"))
    }
}

/// The text after WHERE, and the values for its places.
#[derive(Clone)]
struct Conditions {
    text: String,
    values: Vec<Value>,
    /// How the time of creation is written where rows are put in order by it, and where newer ones are left out.
    order: &'static str,
    ceiling: &'static str,
}

impl Conditions {
    fn of(account: AccountId, filter: &JobFilter) -> Self {
        // No index serves a column under a sign. SQLite keeps no statistics here, so it has to be told which index leads
        // to few rows: that of a plan rather than its account's, of a time asked for rather than of the order. And
        // PostgreSQL would begin at the newest job, and pass over all down to the time asked for.
        let conditions = &filter.conditions;
        let owner = if conditions.iter().any(is_narrow) { "+j.account_id" } else { "j.account_id" };
        let is_of = |time| conditions.iter().any(|condition| is_about(condition, time));
        let (by_creation, by_completion) = (is_of(TimeField::Created), is_of(TimeField::Completed));
        let created = |is_served| if is_served { "j.created_at" } else { "+j.created_at" };
        let mut all = Self {
            text: String::new(),
            values: Vec::new(),
            order: created(by_creation || !by_completion),
            ceiling: created(!by_creation && !by_completion),
        };
        let account = all.place(account.number());
        all.text = format!("{owner} = {account}");
        if let Some(kind) = filter.kind {
            let place = all.place(kind.as_str());
            all.and(&format!("j.kind = {place}"));
        }
        if !filter.source_types.is_empty() {
            let places = all.places(filter.source_types.iter().map(|kind| kind.as_str().into()));
            all.and(&format!("j.source_type IN ({places})"));
        }
        if let Some(edition) = &filter.edition {
            let place = all.place(edition.as_str());
            all.and(&format!("j.edition = {place}"));
        }
        if filter.only_top_level {
            all.and("j.parent_id IS NULL");
        }
        filter.conditions.iter().for_each(|condition| all.add(condition));
        all
    }

    /// The same without the jobs that are newer.
    fn up_to(&self, newest: &JobPlace) -> Self {
        let mut all = self.clone();
        let (created, id) = (all.place(newest.created), all.place(newest.id.as_str()));
        all.and(&format!("({}, j.id) <= ({created}, {id})", self.ceiling));
        all
    }

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
                // No row has a value: nothing equals one, and nothing is told from one.
                let Some(column) = text_column(*field) else { return self.and("1 = 0") };
                // No row can hold a NUL, and PostgreSQL takes none as a value.
                let values: Vec<_> = values.iter().filter(|value| !value.contains('\0')).collect();
                if values.is_empty() {
                    let is_other = *comparison == TextComparison::NotEqual;
                    return self.and(&if is_other {
                        format!("{column} IS NOT NULL")
                    } else {
                        "1 = 0".to_owned()
                    });
                }
                let places = self.places(values.into_iter().map(|value| value.as_str().into()));
                self.and(&match comparison {
                    TextComparison::Equal => format!("{column} = {places}"),
                    TextComparison::NotEqual => format!("{column} <> {places}"),
                    TextComparison::In => format!("{column} IN ({places})"),
                });
            }
            JobCondition::Time { field, comparison, values } => {
                let column = match field {
                    TimeField::Created => "j.created_at",
                    TimeField::Completed => "j.completed_at",
                };
                let text = self.time(column, *comparison, values);
                self.and(&text);
            }
        }
    }

    /// Clients speak of whole seconds: a moment within one is that second.
    fn time(&mut self, column: &str, comparison: Comparison, values: &[Millis]) -> String {
        let Some(first) = values.first().copied() else { return "1 = 0".to_owned() };
        let last = values.get(1).copied().unwrap_or(first);
        let (begin, end) = (begin_of_second(first), end_of_second(first));
        match comparison {
            Comparison::Equal => format!("{column} BETWEEN {} AND {}", self.place(begin), self.place(end)),
            Comparison::NotEqual => {
                format!("({column} < {} OR {column} > {})", self.place(begin), self.place(end))
            }
            Comparison::Greater => format!("{column} > {}", self.place(end)),
            Comparison::GreaterOrEqual => format!("{column} >= {}", self.place(begin)),
            Comparison::Less => format!("{column} < {}", self.place(begin)),
            Comparison::LessOrEqual => format!("{column} <= {}", self.place(end)),
            Comparison::Between => {
                format!("{column} BETWEEN {} AND {}", self.place(begin), self.place(end_of_second(last)))
            }
            Comparison::In => {
                let seconds = self.places(values.iter().map(|value| value.seconds().into()));
                // Bounds for the index; the rest is looked at row by row.
                let least = values.iter().copied().min().map_or(begin, begin_of_second);
                let most = values.iter().copied().max().map_or(end, end_of_second);
                let (least, most) = (self.place(least), self.place(most));
                format!("{column} BETWEEN {least} AND {most} AND {column} / 1000 IN ({seconds})")
            }
        }
    }
}

/// Whether few jobs of an account meet it, and an index leads to them.
fn is_narrow(condition: &JobCondition) -> bool {
    let JobCondition::Text { field, comparison, .. } = condition else { return false };
    let is_id =
        matches!(field, TextField::Id | TextField::PlanId | TextField::ParentId | TextField::SourceJobId);
    is_id && *comparison != TextComparison::NotEqual
}

/// Whether it bounds a time.
fn is_about(condition: &JobCondition, time: TimeField) -> bool {
    matches!(condition, JobCondition::Time { field, comparison, .. } if *field == time && *comparison != Comparison::NotEqual)
}

fn begin_of_second(time: Millis) -> Millis {
    Millis::from_seconds(time.seconds())
}

fn end_of_second(time: Millis) -> Millis {
    begin_of_second(time).plus(999)
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
