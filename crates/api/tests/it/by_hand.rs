//! Databases that nobody asks anything, and backups of them that a test takes from phase to phase, as a worker would.

use std::time::Duration;

use lifeboat_catalog::{FinishedJob, JobNumbers, NewJob, NewSnapshot};
use lifeboat_model::database::{Phase, SetDetail};
use lifeboat_model::id::{JobId, SnapshotId};
use lifeboat_model::job::{JobCounters, JobKind, Outcome, Trigger};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::resource::{Engine, ResourceState};
use lifeboat_model::time::Millis;
use lifeboat_service::{NewResourceRequest, Secret};

use crate::world::World;

/// What backups in tests begin with.
const BYTES: u64 = 1000;

/// A job that this test is the worker of.
pub(crate) struct Claimed {
    id: String,
    fence: i64,
}

impl World {
    /// Adds a resource, a second after the last one. On the host `two` it is a cluster where it can be one.
    pub(crate) async fn resource(&self, id: &str, engine: Engine, host: &str, state: ResourceState) {
        self.clock.pass(Duration::from_secs(1));
        let port = engine.default_port() + u16::from(host == "two");
        let url = match host.strip_prefix('/') {
            Some(_) => format!("{engine}://localhost/?socket={host}"),
            None => format!("{engine}://{host}:{port}"),
        };
        let new = NewResourceRequest {
            id: id.parse().unwrap(),
            engine,
            url: Secret::new(url),
            is_cluster: engine == Engine::Redis && host == "two",
            vault: None,
            account: None,
        };
        let row = self.service.add_resource(&self.caller(), new).await.unwrap();
        self.catalog.set_resource_state(&row.id, state, self.service.now()).await.unwrap();
    }

    /// Adds the jobs of a backup, as the scheduler does.
    pub(crate) async fn scheduled(&self, id: &str, engine: Engine, nodes: &[&str]) -> i64 {
        self.jobs(id, engine, (nodes, Trigger::Schedule)).await
    }

    /// The jobs of a backup: one, or one for each of the nodes behind a parent.
    pub(crate) async fn jobs(&self, id: &str, engine: Engine, (nodes, trigger): (&[&str], Trigger)) -> i64 {
        self.clock.pass(Duration::from_secs(1));
        let first = self.catalog.next_numbers(nodes.len() as u64 + 2, self.service.now()).await.unwrap();
        let job = |at: usize, node: Option<&str>, parent: Option<&String>| NewJob {
            id: JobId::new(u128::try_from(first).unwrap() * 100 + at as u128).to_string(),
            kind: JobKind::DatabaseBackup,
            account: self.caller().account,
            vault: "v-databases".to_owned(),
            region: "cn-hangzhou".to_owned(),
            plan: None,
            parent: parent.cloned(),
            series: Some(format!("{id}/{}", node.unwrap_or_default())),
            policy: None,
            rule: None,
            client: None,
            instance: Some(id.to_owned()),
            source_type: engine.as_str().to_owned(),
            edition: "STANDARD".to_owned(),
            name: id.to_owned(),
            backup_type: if engine == Engine::Redis { "Physical" } else { "Logical" }.to_owned(),
            trigger,
            spec: serde_json::to_string(&BackupSpec::default()).unwrap(),
            snapshot: None,
            source_job: None,
            source_instance: None,
            numbers: Some(JobNumbers {
                number: first,
                set: first + 1 + i64::try_from(at).unwrap(),
                node: node.map(str::to_owned),
            }),
            expires: self.service.now().plus(1_000_000_000),
        };
        let parent = job(0, None, None);
        let children = (1..).zip(nodes).map(|(at, node)| job(at, Some(*node), Some(&parent.id)));
        let jobs: Vec<_> = [parent.clone()].into_iter().chain(children).collect();
        let resource = id.parse().unwrap();
        assert!(self.catalog.insert_resource_jobs(&resource, &jobs, None, self.service.now()).await.unwrap());
        first
    }

    /// Takes the oldest job that waits.
    pub(crate) async fn claim(&self) -> Claimed {
        self.clock.pass(Duration::from_secs(1));
        let now = self.service.now();
        let claimed = self.catalog.claim_job("test", now.plus(100_000_000), now).await.unwrap().unwrap();
        Claimed { id: claimed.job.id, fence: claimed.fence }
    }

    pub(crate) async fn enter(&self, job: &Claimed, phase: Phase) {
        let now = self.service.now();
        assert!(self.catalog.note_phase((&job.id, job.fence), phase, now).await.unwrap());
    }

    /// Says how many percent have come.
    pub(crate) async fn came(&self, job: &Claimed, percent: u64) {
        let now = self.service.now();
        let (lease, counters) = (now.plus(100_000_000), counters(&job.id, percent));
        let renewed = self.catalog.renew_job((&job.id, job.fence), (&counters, 1000), lease, now).await;
        assert_eq!(renewed.unwrap(), Some(false));
    }

    /// Ends a job; well with what is known of its set.
    pub(crate) async fn end(&self, job: Claimed, detail: Option<SetDetail>, retention_days: Option<u32>) {
        self.clock.pass(Duration::from_secs(1));
        let now = self.service.now();
        let is_good = detail.is_some();
        let snapshot = detail.map(|detail| NewSnapshot {
            id: SnapshotId::of_job(&job.id),
            hash: format!("{:064x}", now.0),
            parent_hash: None,
            completed: Millis(now.0),
            retention_days,
            keep_latest: false,
            detail: Some(detail),
        });
        let done = FinishedJob {
            outcome: if is_good { Outcome::Complete } else { Outcome::Failed },
            counters: counters(&job.id, if is_good { 100 } else { 40 }),
            error_code: (!is_good).then(|| "SOURCE_UNAVAILABLE".to_owned()),
            error_message: None,
            error_file: None,
            snapshot,
            made: None,
        };
        assert!(self.catalog.finish_job((&job.id, job.fence), (&done, 1000), now).await.unwrap());
    }
}

fn counters(job: &str, percent: u64) -> JobCounters {
    // No two backups are equally large.
    let bytes = BYTES + job.bytes().map(u64::from).sum::<u64>();
    JobCounters {
        bytes_total: Some(bytes),
        bytes_done: bytes * percent / 100,
        bytes_handled: (bytes * percent).div_ceil(100),
        ..JobCounters::default()
    }
}

/// What an engine has told of a set.
pub(crate) fn detail(version: &str) -> SetDetail {
    SetDetail {
        engine_version: version.to_owned(),
        consistent_at: Some(1_700_000_000 + version.len() as i64),
        checksum: version.len().to_string(),
        ..SetDetail::default()
    }
}
