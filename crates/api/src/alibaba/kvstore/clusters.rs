//! DescribeClusterBackupList: the backups of a cluster as one each, with the sets of its data nodes.

use lifeboat_model::filter::Page;
use lifeboat_model::resource::ResourceId;
use lifeboat_model::time::Millis;
use lifeboat_service::{DatabaseJobFilter, JobRow, SetFilter, SetRow};
use serde_json::{Value, json};

use super::sets::within;
use super::{instance, node, refuse};
use crate::alibaba::backups::{mode, utc_minute};
use crate::alibaba::{Answer, Call, WireError, present, utc};

const PREFIX: &str = "cb-";
/// So many rows are read at once.
const CHUNK: u32 = 300;

/// What all data nodes say of one backup.
struct Family {
    number: i64,
    trigger: String,
    nodes: Vec<Node>,
}

/// The backup of one data node.
struct Node {
    name: String,
    /// Absent while it is made.
    set: Option<i64>,
    state: State,
    started: Option<Millis>,
    ended: Option<Millis>,
    expires: Option<Millis>,
    bytes: Option<u64>,
    version: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    Failed,
    /// Parts of ten thousand.
    Running(u64),
}

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.one_of("PageSize", &["30", "50", "100", "200", "300"])?;
    let page = call.page_of(300)?;
    let mut filter = within(&call)?;
    if let Some(text) = call.params.text("ClusterBackupId") {
        let number = text.strip_prefix(PREFIX).and_then(|number| number.parse().ok());
        let accepted = format!("It must be {PREFIX} and a number.");
        filter.number = Some(number.ok_or_else(|| WireError::invalid("ClusterBackupId", text, accepted))?);
    }
    let without_nodes = call.params.boolean("NoShardBackup")?.unwrap_or(false);
    let row = call.service.resource(&call.caller, &id).await.map_err(|error| refuse(&error))?;
    let families = if row.is_cluster { families(&call, &id, &filter, page).await? } else { Vec::new() };
    let skipped = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let shown = families.iter().skip(skipped).take(page.size as usize);
    let rows: Vec<Value> = shown.map(|family| view(family, without_nodes)).collect();
    Ok(json!({ "PageNumber": page.number, "PageSize": page.size, "ClusterBackups": rows }))
}

/// The newest families, as many as the page needs. The nodes of one backup begin together, and nothing of the same
/// cluster begins between them.
async fn families(
    call: &Call<'_>,
    id: &ResourceId,
    filter: &SetFilter,
    page: Page,
) -> Result<Vec<Family>, WireError> {
    let mut families: Vec<Family> = Vec::new();
    let tasks = DatabaseJobFilter { number: filter.number, ..DatabaseJobFilter::default() };
    let tasks = call.service.database_tasks(&call.caller, id, tasks).await.map_err(|error| refuse(&error))?;
    for job in tasks.iter().filter(|job| !job.state.is_final() && is_within(job, filter)) {
        add(&mut families, job.number, &job.trigger, Node::of_job(job, State::Running(job.progress)));
    }
    let wanted = page.offset().saturating_add(u64::from(page.size));
    for number in 1.. {
        let chunk = Page { number, size: CHUNK };
        let found = call.service.backup_sets(&call.caller, id, filter, chunk).await;
        let found = found.map_err(|error| refuse(&error))?;
        for row in &found.rows {
            match row {
                SetRow::Good(row) => {
                    let Some(set) = &row.set else { continue };
                    let version =
                        Some(set.detail.engine_version.clone()).filter(|version| !version.is_empty());
                    let node = Node {
                        name: node(&set.resource, set.node.as_deref()),
                        set: Some(set.set_number),
                        state: State::Good,
                        started: Some(row.started),
                        ended: Some(row.completed),
                        expires: row.expires,
                        bytes: row.bytes_total,
                        version,
                    };
                    add(&mut families, Some(set.number), &set.trigger, node);
                }
                SetRow::Failed(job) => {
                    add(&mut families, job.number, &job.trigger, Node::of_job(job, State::Failed));
                }
            }
        }
        // One more than is needed: the last may go on in the next chunk.
        let is_last = chunk.offset() + found.rows.len() as u64 >= found.total || found.rows.is_empty();
        if is_last || families.len() as u64 > wanted {
            break;
        }
    }
    Ok(families)
}

fn is_within(job: &JobRow, filter: &SetFilter) -> bool {
    let began = job.started.unwrap_or(job.created);
    filter.from.is_none_or(|from| began >= from) && filter.to.is_none_or(|to| began <= to)
}

fn add(families: &mut Vec<Family>, number: Option<i64>, trigger: &str, node: Node) {
    let Some(number) = number else { return };
    match families.iter_mut().find(|family| family.number == number) {
        Some(family) => family.nodes.push(node),
        None => families.push(Family { number, trigger: trigger.to_owned(), nodes: vec![node] }),
    }
}

impl Node {
    fn of_job(job: &JobRow, state: State) -> Self {
        Self {
            name: node(job.instance.as_deref().unwrap_or_default(), job.node.as_deref()),
            set: job.set_number.filter(|_| state == State::Failed),
            state,
            started: job.started.or_else(|| (state == State::Failed).then_some(job.created)),
            ended: job.completed,
            expires: None,
            bytes: None,
            version: None,
        }
    }

    fn view(&self) -> Value {
        let (status, is_available) = match self.state {
            State::Good => ("OK", "1"),
            State::Failed => ("ERROR", "0"),
            State::Running(_) => return Value::Null,
        };
        present(json!({
            "BackupId": self.set.map(|set| set.to_string()),
            "InstanceName": self.name,
            "BackupStatus": status,
            "IsAvail": is_available,
            "BackupStartTime": self.started.map(utc),
            "BackupEndTime": self.ended.map(utc),
            "BackupSize": self.bytes.map(|bytes| bytes.to_string()),
            "Engine": "redis",
            "ExtraInfo": self.version.as_ref().map(|version| json!({ "CustinsDbVersion": version })),
        }))
    }
}

fn view(family: &Family, without_nodes: bool) -> Value {
    let nodes = &family.nodes;
    let running: Vec<u64> = nodes
        .iter()
        .filter_map(|node| match node.state {
            State::Running(parts) => Some(parts),
            _ => None,
        })
        .collect();
    let is_good = nodes.iter().all(|node| node.state == State::Good);
    let status = match (running.is_empty(), is_good) {
        (false, _) => "RUNNING",
        (true, true) => "OK",
        (true, false) => "Failed",
    };
    // Nodes that are done count as whole; all of them verified is not running any more.
    let done = 10_000 * (nodes.len() - running.len()) as u64 + running.iter().sum::<u64>();
    let percent = (done / (100 * nodes.len().max(1) as u64)).min(99);
    let ends = nodes.iter().map(|node| node.ended).collect::<Option<Vec<_>>>();
    let bytes = nodes.iter().map(|node| node.bytes).sum::<Option<u64>>();
    let sets: Vec<Value> = nodes.iter().map(Node::view).filter(|set| !set.is_null()).collect();
    present(json!({
        "ClusterBackupId": format!("{PREFIX}{}", family.number),
        "ClusterBackupStatus": status,
        "ClusterBackupMode": mode(&family.trigger),
        "ClusterBackupStartTime": nodes.iter().filter_map(|node| node.started).min().map(utc),
        "ClusterBackupEndTime": ends.and_then(|ends| ends.into_iter().max()).map(utc),
        "ClusterBackupSize": bytes.map(|bytes| bytes.to_string()),
        "ExpectExpireTime": nodes.iter().filter_map(|node| node.expires).min().map(utc_minute),
        "IsAvail": u8::from(is_good),
        "Progress": (!running.is_empty()).then(|| format!("{percent}%")),
        "Backups": (!without_nodes).then_some(sets),
    }))
}
