//! Whole backups of real databases: their phases, their counters, and what restic says of the vault.

use std::fs;
use std::sync::{Arc, Mutex};

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_model::database::{BackupMethod, DatabaseBackup, Phase};
use lifeboat_model::resource::Engine;
use lifeboat_testkit::redis::Redis;
use lifeboat_worker::{Ctx, DatabaseBackupOrder, Done, JobError, Progress, Slots, back_up_database};

use crate::scene::Scene;

/// The phases of a backup, and what came of it.
struct Ran {
    phases: Vec<Phase>,
    progress: Arc<Progress>,
    done: Result<Done, JobError>,
}

fn order(scene: &Scene, engine: Engine, url: &str) -> DatabaseBackupOrder {
    let resource = if engine == Engine::Redis { "r-1" } else { "rm-1" };
    DatabaseBackupOrder {
        vault: scene.access(),
        backup: DatabaseBackup {
            resource: resource.parse().unwrap(),
            engine,
            method: BackupMethod::Physical,
            databases: Vec::new(),
            node: None,
            nodes: 0,
        },
        endpoint: url.parse::<Endpoint>().unwrap(),
        tags: vec!["job=job-1".to_owned()],
        about: serde_json::Value::Null,
        uploads: Slots::new(1),
        workers: 2,
    }
}

fn run(order: &DatabaseBackupOrder) -> Ran {
    let phases = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&phases);
    let progress = Arc::new(Progress::with_phases(move |phase| told.lock().unwrap().push(phase)));
    let done = back_up_database(order, &progress, &Ctx::default());
    let phases = phases.lock().unwrap().clone();
    Ran { phases, progress, done }
}

const PHASES: [Phase; 4] = [Phase::Checking, Phase::Preparing, Phase::Streaming, Phase::ReadingBack];

#[test]
fn a_backup_of_redis_goes_through_its_phases_and_restic_reads_it() {
    let (scene, redis) = (Scene::new(), Redis::start(&[]));
    redis.client().run(&["SET", "a", "1"]);
    let ran = run(&order(&scene, Engine::Redis, &redis.url()));
    let done = ran.done.unwrap();
    assert_eq!(ran.phases, PHASES);
    let detail = done.detail.unwrap();
    assert_eq!((detail.keys, detail.engine_version.starts_with("7.")), (Some(1), true));
    let counters = ran.progress.read();
    assert_eq!((counters.files_done, counters.bytes_total), (1, Some(counters.bytes_done)));
    let restic = scene.restic();
    restic.check();
    restic.restore(&done.snapshot.unwrap(), &scene.path("restored"));
    let rdb = fs::read(scene.path("restored/r-1/dump.rdb")).unwrap();
    assert_eq!(rdb.len() as u64, counters.bytes_done);
    assert!(rdb.starts_with(b"REDIS"));
}

#[test]
fn a_server_that_is_not_there_leaves_no_set() {
    let scene = Scene::new();
    let ran = run(&order(&scene, Engine::Redis, "redis://127.0.0.1:1/"));
    assert_eq!(ran.done.unwrap_err().code(), "SOURCE_UNREACHABLE");
    assert_eq!(ran.phases, [Phase::Checking]);
    assert_eq!(scene.restic().snapshots().trim(), "[]");
}
