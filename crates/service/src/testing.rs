//! A service of a test: its own catalog, a clock that moves when told, numbers that are never the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::tz::TimeZone;
use lifeboat_catalog::{Catalog, FinishedJob, JobRow, NewVault, Place};
use lifeboat_model::files::FilesSpec;
use lifeboat_model::filter::{JobCondition, Order, Page, TextField};
use lifeboat_model::id::{AccountId, ClientId, InstanceId, VaultId};
use lifeboat_model::job::{JobCounters, JobKind, Outcome};
use lifeboat_model::plan::BackupSpec;
use lifeboat_model::time::Millis;
use tempfile::TempDir;

use crate::{Caller, Clock, JobFilter, Limits, Random, Root, Sealer, Service, Start};

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
struct Counter(AtomicU64);

impl Random for Counter {
    fn number(&self) -> u128 {
        self.0.fetch_add(1, Ordering::SeqCst).into()
    }
}

pub(crate) struct Bench {
    pub(crate) service: Service,
    pub(crate) caller: Caller,
    pub(crate) client: ClientId,
    pub(crate) instance: InstanceId,
    clock: Arc<TestClock>,
    folder: TempDir,
}

impl Bench {
    /// A service at `now`, on a machine whose clock goes by `zone`.
    pub(crate) async fn new(now: Millis, zone: TimeZone) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(now.0)));
        let random = Arc::new(Counter::default());
        let root = Root {
            account: AccountId::new(1),
            access_key_id: "key".to_owned(),
            access_key_secret: crate::Secret::new("secret".to_owned()),
            client: ClientId::new(random.number()),
            instance: InstanceId::new(random.number()),
            version: "1".to_owned(),
        };
        let start = Start {
            catalog: Catalog::open(&Place::Sqlite(folder.path().join("catalog"))).await.unwrap(),
            sealer: Sealer::new(&[7; 32]),
            clock: Arc::<TestClock>::clone(&clock),
            random,
            time: lifeboat_worker::Time { zone, clock: Arc::<lifeboat_testkit::time::FakeTime>::default() },
            vault_root: folder.path().to_owned(),
            region: "cn-hangzhou".to_owned(),
            hostname: "host".to_owned(),
            server: "server".to_owned(),
            spool_folder: folder.path().to_owned(),
            temp_folder: folder.path().join("temp"),
            data_folder: folder.path().to_owned(),
            instance_root: folder.path().join("instances"),
            limits: Limits::default(),
        };
        let service = start.run(&root).await.unwrap();
        let caller = Caller { account: root.account, user: None, access_key_id: "key".to_owned() };
        Self { service, caller, client: root.client, instance: root.instance, clock, folder }
    }

    pub(crate) fn set_clock(&self, now: Millis) {
        self.clock.0.store(now.0, Ordering::SeqCst);
    }

    /// Another server on the same catalog, with the same clock.
    pub(crate) async fn second_server(&self) -> Service {
        let catalog = Catalog::open(&Place::Sqlite(self.folder.path().join("catalog"))).await.unwrap();
        let random = Arc::new(Counter(AtomicU64::new(1 << 40)));
        Service { catalog, random, ..self.service.clone() }
    }

    /// A row of a vault that nobody opens.
    pub(crate) async fn vault(&self) -> VaultId {
        let id = VaultId::new(self.service.random.number());
        let new = NewVault {
            id: id.clone(),
            account: self.caller.account,
            name: "vault".to_owned(),
            description: String::new(),
            region: self.service.region.clone(),
            redundancy: "LRS".to_owned(),
            is_worm: false,
            password: String::new(),
        };
        let now = self.service.now();
        self.service.catalog.insert_vault(new, 100, now).await.unwrap();
        self.service.catalog.set_vault_state(&id, "CREATED", now).await.unwrap();
        id
    }

    /// Claims the oldest job that may run; its id and fence.
    pub(crate) async fn claim(&self) -> Option<(String, i64)> {
        let now = self.service.now();
        let claimed = self.service.catalog.claim_job("worker", now.plus(15_000), now).await.unwrap()?;
        Some((claimed.job.id, claimed.fence))
    }

    pub(crate) async fn finish(&self, (id, fence): (String, i64), outcome: Outcome, counters: JobCounters) {
        let done = FinishedJob {
            outcome,
            counters,
            error_code: (outcome != Outcome::Complete).then(|| "INTERNAL_ERROR".to_owned()),
            error_message: None,
            error_file: None,
            snapshot: None,
            made: None,
        };
        let now = self.service.now();
        assert!(self.service.catalog.finish_job((&id, fence), (&done, 1000), now).await.unwrap());
    }

    /// Runs all jobs that wait, as a worker with nothing to do would.
    pub(crate) async fn finish_all(&self) {
        while let Some(claimed) = self.claim().await {
            self.finish(claimed, Outcome::Complete, JobCounters::default()).await;
        }
    }

    /// The backup jobs that a listing without filters shows, the oldest first.
    pub(crate) async fn jobs(&self, conditions: Vec<JobCondition>) -> Vec<JobRow> {
        let is_of_parent = |condition: &JobCondition| {
            matches!(condition, JobCondition::Text { field: TextField::ParentId, .. })
        };
        let filter = JobFilter {
            kind: Some(JobKind::Backup),
            source_types: Vec::new(),
            edition: None,
            only_top_level: !conditions.iter().any(is_of_parent),
            conditions,
            order: Order::OldestFirst,
        };
        let page = Page { number: 1, size: 10_000 };
        self.service.jobs(&self.caller, &filter, page).await.unwrap().rows
    }

    /// What a backup of the folder `path` does.
    pub(crate) fn spec(path: &str) -> BackupSpec {
        BackupSpec {
            files: FilesSpec { paths: vec![path.to_owned()], ..FilesSpec::default() },
            retention_days: Some(7),
            ..BackupSpec::default()
        }
    }
}
