//! Listings compared with a plain model over the same rows: every key with every operator, alone and together, pages of
//! every depth, totals.

use std::fmt::Write;

use lifeboat_catalog::{Catalog, JobFilter, JobPlace, Listed, Listing, NewJob, Place};
use lifeboat_model::filter::{Comparison, JobCondition, Order, Page, TextComparison, TextField, TimeField};
use lifeboat_model::id::AccountId;
use lifeboat_model::job::{JobKind, JobState};
use lifeboat_model::time::Millis;
use lifeboat_testkit::random::Random;

use crate::databases::{execute, on_both_databases, open};
use crate::rows::{NOW, World, job};

on_both_databases! {
    every_key_and_operator_lists_what_a_model_lists
    a_listing_is_remembered_until_it_expires
}

const ROWS: usize = 240;
const TEXT_FIELDS: [TextField; 14] = [
    TextField::Id,
    TextField::PlanId,
    TextField::VaultId,
    TextField::Region,
    TextField::InstanceId,
    TextField::ParentId,
    TextField::State,
    TextField::SourceType,
    TextField::BackupType,
    TextField::SourceJobId,
    TextField::TargetInstanceId,
    TextField::Bucket,
    TextField::FileSystemId,
    TextField::InstanceName,
];
const TEXT_COMPARISONS: [TextComparison; 3] =
    [TextComparison::Equal, TextComparison::NotEqual, TextComparison::In];
const TIME_FIELDS: [TimeField; 2] = [TimeField::Created, TimeField::Completed];
const COMPARISONS: [Comparison; 8] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Between,
    Comparison::In,
];

/// What the model knows of a job.
struct Row {
    new: NewJob,
    state: JobState,
    created: Millis,
    completed: Option<Millis>,
}

impl Row {
    fn text(&self, field: TextField) -> Option<&str> {
        match field {
            TextField::Id => Some(&self.new.id),
            TextField::PlanId => self.new.plan.as_deref(),
            TextField::VaultId => Some(&self.new.vault),
            TextField::Region => Some(&self.new.region),
            TextField::InstanceId | TextField::TargetInstanceId => self.new.instance.as_deref(),
            TextField::ParentId => self.new.parent.as_deref(),
            TextField::State => Some(self.state.as_str()),
            TextField::SourceType => Some(&self.new.source_type),
            TextField::BackupType => Some(&self.new.backup_type),
            TextField::SourceJobId => self.new.source_job.as_deref(),
            TextField::Bucket | TextField::FileSystemId | TextField::InstanceName => None,
        }
    }

    fn time(&self, field: TimeField) -> Option<i64> {
        let time = match field {
            TimeField::Created => Some(self.created),
            TimeField::Completed => self.completed,
        };
        time.map(|time| time.0.div_euclid(1000))
    }

    fn is(&self, condition: &JobCondition) -> bool {
        match condition {
            JobCondition::Text { field, comparison, values } => {
                let Some(mine) = self.text(*field) else { return false };
                let is_in = values.iter().any(|value| value == mine);
                if *comparison == TextComparison::NotEqual { !is_in } else { is_in }
            }
            JobCondition::Time { field, comparison, values } => {
                let Some(mine) = self.time(*field) else { return false };
                let values: Vec<_> = values.iter().map(|value| value.0.div_euclid(1000)).collect();
                match comparison {
                    Comparison::Equal => mine == values[0],
                    Comparison::NotEqual => mine != values[0],
                    Comparison::Greater => mine > values[0],
                    Comparison::GreaterOrEqual => mine >= values[0],
                    Comparison::Less => mine < values[0],
                    Comparison::LessOrEqual => mine <= values[0],
                    Comparison::Between => (values[0]..=values[1]).contains(&mine),
                    Comparison::In => values.contains(&mine),
                }
            }
        }
    }

    fn is_listed(&self, account: AccountId, filter: &JobFilter, newest: Option<&JobPlace>) -> bool {
        self.new.account == account
            && filter.kind.is_none_or(|kind| kind == self.new.kind)
            && (filter.source_types.is_empty() || filter.source_types.contains(&self.new.source_type))
            && filter.edition.as_ref().is_none_or(|edition| *edition == self.new.edition)
            && !(filter.only_top_level && self.new.parent.is_some())
            && newest.is_none_or(|newest| (self.created, &self.new.id) <= (newest.created, &newest.id))
            && filter.conditions.iter().all(|condition| self.is(condition))
    }
}

fn maybe<T>(random: &mut Random, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
    (!random.one_in(3)).then(|| value(random))
}

/// One of a few, so that rows have them in common.
fn few(random: &mut Random, prefix: &str) -> String {
    format!("{prefix}-{}", random.below(4))
}

fn moment(random: &mut Random) -> Millis {
    // Some seconds hold several moments, their first and last milliseconds among them.
    let millis = *random.pick(&[0, 1, 500, 999]);
    NOW.plus(i64::try_from(random.below(12) * 1000 + millis).unwrap())
}

fn row(number: u128, world: &World, random: &mut Random) -> Row {
    let account = *random.pick(&[world.account, world.account, world.other]);
    let kind = *random.pick(&[JobKind::Backup, JobKind::Backup, JobKind::Restore]);
    let state = *random.pick(&JobState::ALL);
    let new = NewJob {
        kind,
        plan: maybe(random, |random| few(random, "plan")),
        parent: random.one_in(4).then(|| few(random, "job")),
        vault: few(random, "v"),
        region: (*random.pick(&["cn-hangzhou", "cn-beijing"])).to_owned(),
        instance: maybe(random, |random| few(random, "i")),
        source_type: (*random.pick(&["ECS_FILE", "File"])).to_owned(),
        edition: (*random.pick(&["STANDARD", "STANDARD", "BASIC"])).to_owned(),
        backup_type: (*random.pick(&["COMPLETE", "INCREMENTAL"])).to_owned(),
        source_job: random.one_in(2).then(|| few(random, "job")),
        ..job(number, account, &world.vault)
    };
    let created = moment(random);
    Row { new, state, created, completed: state.is_final().then(|| moment(random)) }
}

async fn fill(catalog: &Catalog, place: &Place, world: &World, random: &mut Random) -> Vec<Row> {
    let mut script = String::new();
    let mut rows = Vec::new();
    for number in 0..ROWS {
        let row = row(1000 + number as u128, world, random);
        catalog.insert_job(&row.new, row.created).await.unwrap();
        let completed = row.completed.map_or("NULL".to_owned(), |time| time.0.to_string());
        let (state, id) = (row.state.as_str(), &row.new.id);
        writeln!(script, "UPDATE jobs SET state = '{state}', completed_at = {completed} WHERE id = '{id}';")
            .unwrap();
        rows.push(row);
    }
    execute(place, script).await;
    rows
}

/// A value that some row has, or one that none has.
fn text_value(field: TextField, rows: &[Row], random: &mut Random) -> String {
    let strange = ["", "nonsense", "a'b", "\0", "ä\u{1f680}", "complete"];
    match random.pick(rows).text(field) {
        Some(value) if !random.one_in(6) => value.to_owned(),
        _ => (*random.pick(&strange)).to_owned(),
    }
}

fn text_condition(
    field: TextField,
    comparison: TextComparison,
    rows: &[Row],
    random: &mut Random,
) -> JobCondition {
    let count = if comparison == TextComparison::In { random.below(4) } else { 1 };
    let values = (0..count).map(|_| text_value(field, rows, random)).collect();
    JobCondition::Text { field, comparison, values }
}

fn time_condition(field: TimeField, comparison: Comparison, random: &mut Random) -> JobCondition {
    let count = match comparison {
        Comparison::Between => 2,
        Comparison::In => 1 + random.below(3),
        _ => 1,
    };
    let far = [i64::MIN, -1, 0, i64::MAX / 1000, i64::MAX];
    let values = (0..count).map(|_| {
        let seconds = if random.one_in(10) { *random.pick(&far) } else { moment(random).seconds() };
        Millis::from_seconds(seconds)
    });
    JobCondition::Time { field, comparison, values: values.collect() }
}

fn any_condition(rows: &[Row], random: &mut Random) -> JobCondition {
    if random.one_in(2) {
        time_condition(*random.pick(&TIME_FIELDS), *random.pick(&COMPARISONS), random)
    } else {
        text_condition(*random.pick(&TEXT_FIELDS), *random.pick(&TEXT_COMPARISONS), rows, random)
    }
}

fn filter(conditions: Vec<JobCondition>, random: &mut Random) -> JobFilter {
    JobFilter {
        kind: *random.pick(&[Some(JobKind::Backup), Some(JobKind::Restore), None]),
        source_types: random.one_in(4).then(|| "File".to_owned()).into_iter().collect(),
        edition: random.one_in(2).then(|| "STANDARD".to_owned()),
        only_top_level: random.one_in(3),
        conditions,
        order: *random.pick(&[Order::NewestFirst, Order::OldestFirst]),
    }
}

async fn compare(
    catalog: &Catalog,
    rows: &[Row],
    account: AccountId,
    filter: &JobFilter,
    random: &mut Random,
) {
    let newest = random.one_in(4).then(|| {
        let row = random.pick(rows);
        JobPlace { created: row.created, id: row.new.id.clone() }
    });
    let size = *random.pick(&[1, 3, 10, 99]);
    let page = Page { number: u32::try_from(1 + random.below(8)).unwrap(), size };
    let mut expected: Vec<_> =
        rows.iter().filter(|row| row.is_listed(account, filter, newest.as_ref())).collect();
    expected.sort_by_key(|row| (row.created, &row.new.id));
    if filter.order == Order::NewestFirst {
        expected.reverse();
    }
    let total = expected.len() as u64;
    let skip = usize::try_from(page.offset()).unwrap();
    let expected: Vec<_> =
        expected.iter().skip(skip).take(size as usize).map(|row| row.new.id.as_str()).collect();
    let found = catalog.jobs(account, filter, newest.as_ref(), page).await.unwrap();
    let ids: Vec<_> = found.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!((found.total, ids), (total, expected), "{filter:?} {newest:?} {page:?}");
}

async fn everything(catalog: &Catalog, account: AccountId, kind: Option<JobKind>) -> Listed {
    let filter = JobFilter {
        kind,
        source_types: Vec::new(),
        edition: None,
        only_top_level: false,
        conditions: Vec::new(),
        order: Order::NewestFirst,
    };
    catalog.jobs(account, &filter, None, Page { number: 1, size: 1 }).await.unwrap()
}

async fn every_key_and_operator_lists_what_a_model_lists(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    let mut random = Random::new(6);
    let rows = fill(&catalog, &place, &world, &mut random).await;
    let mut filters = Vec::new();
    for _ in 0..3 {
        for (field, comparison) in
            TEXT_FIELDS.iter().flat_map(|field| TEXT_COMPARISONS.map(|one| (*field, one)))
        {
            filters.push(vec![text_condition(field, comparison, &rows, &mut random)]);
        }
        for (field, comparison) in TIME_FIELDS.iter().flat_map(|field| COMPARISONS.map(|one| (*field, one))) {
            filters.push(vec![time_condition(field, comparison, &mut random)]);
        }
    }
    for _ in 0..200 {
        let count = random.below(4);
        filters.push((0..count).map(|_| any_condition(&rows, &mut random)).collect());
    }
    for conditions in filters {
        let filter = filter(conditions, &mut random);
        let account = *random.pick(&[world.account, world.other]);
        compare(&catalog, &rows, account, &filter, &mut random).await;
    }
    for kind in [Some(JobKind::Backup), Some(JobKind::Restore), None] {
        let newest = everything(&catalog, world.account, kind).await.newest.unwrap();
        let mine = rows
            .iter()
            .filter(|row| row.new.account == world.account && kind.is_none_or(|kind| kind == row.new.kind));
        let expected = mine.map(|row| (row.created, row.new.id.clone())).max();
        assert_eq!(Some((newest.created, newest.id)), expected);
    }
}

async fn a_listing_is_remembered_until_it_expires(place: Place) {
    let catalog = open(&place).await;
    let world = World::make(&catalog).await;
    assert_eq!(everything(&catalog, world.account, Some(JobKind::Backup)).await.newest, None);
    let listing = |number: i64| Listing {
        newest: JobPlace { created: NOW.plus(number), id: format!("job-{number}") },
        expires: NOW.plus(1000 * number),
    };
    for number in 1..=2 {
        catalog.note_listing("key", "query", &listing(number)).await.unwrap();
        catalog.note_listing("other", "query", &listing(1)).await.unwrap();
    }
    assert_eq!(catalog.listing("key", "query", NOW.plus(1999)).await.unwrap(), Some(listing(2)));
    assert_eq!(catalog.listing("key", "query", NOW.plus(2000)).await.unwrap(), None);
    assert_eq!(catalog.listing("key", "another", NOW).await.unwrap(), None);
    assert_eq!(catalog.delete_expired_listings(NOW.plus(1000)).await.unwrap(), 1);
    assert_eq!(catalog.listing("key", "query", NOW).await.unwrap(), Some(listing(2)));
}
