//! Whole backups of real databases: their phases, their counters, and what restic says of the vault.

use std::fs;
use std::sync::{Arc, Mutex};

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_model::database::{
    BackupMethod, DatabaseBackup, DatabaseRestore, DatabaseRestoreTarget, Phase, RestoredDatabase,
    RestoredTable,
};
use lifeboat_model::resource::Engine;
use lifeboat_testkit::mariadb::{MariaDb, query_at};
use lifeboat_testkit::postgres::{Postgres, run as run_program};
use lifeboat_testkit::redis::{Redis, RedisCluster};
use lifeboat_worker::{
    Ctx, DatabaseBackupOrder, DatabaseRestoreOrder, Done, JobError, Progress, Reach, Slots, back_up_database,
    data_nodes, restore_database, stop_server,
};

use crate::scene::Scene;

/// The phases of a backup, and what came of it.
struct Ran {
    phases: Vec<Phase>,
    progress: Arc<Progress>,
    done: Result<Done, JobError>,
}

pub(crate) fn order(scene: &Scene, engine: Engine, url: &str) -> DatabaseBackupOrder {
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
        reach: Reach::Files { closed: Vec::new(), own: None },
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

#[test]
fn a_node_of_a_cluster_whose_slots_have_moved_leaves_no_set() {
    let (scene, cluster) = (Scene::new(), RedisCluster::start(2, &[]));
    let url = cluster.nodes[0].url();
    let plan = data_nodes(&url, &Ctx::default()).unwrap();
    let of = |node: usize| {
        let mut order = order(&scene, Engine::Redis, &url);
        (order.backup.node, order.backup.nodes) = (Some(plan[node].clone()), 2);
        run(&order)
    };
    assert!(of(0).done.unwrap().snapshot.is_some());
    cluster.move_slot(0, &cluster.nodes[0], &cluster.nodes[1]);
    // The node that was backed up before the slot was moved does not know; the other one does.
    let ran = of(1);
    assert_eq!(ran.done.unwrap_err().code(), "SOURCE_UNREADY");
    assert_ne!(ran.phases.last(), Some(&Phase::Streaming));
    assert_eq!(scene.restic().snapshots().matches("\"short_id\"").count(), 1);
}

/// A restore of the only snapshot of the scene.
fn restore_order(
    backup: &DatabaseBackupOrder,
    done: &Done,
    (target, folder): (DatabaseRestoreTarget, &str),
    scene: &Scene,
) -> DatabaseRestoreOrder {
    DatabaseRestoreOrder {
        vault: scene.access(),
        snapshots: vec![done.snapshot.clone().unwrap()],
        restore: DatabaseRestore {
            resource: backup.backup.resource.clone(),
            engine: backup.backup.engine,
            method: backup.backup.method,
            target,
        },
        detail: done.detail.clone().unwrap_or_default(),
        endpoint: backup.endpoint.clone(),
        folder: scene.path(folder),
        notes: scene.path(&format!("{folder}.notes")),
        workers: 2,
    }
}

fn instance() -> DatabaseRestoreTarget {
    DatabaseRestoreTarget::Instance("rm-2".parse().unwrap())
}

#[test]
fn a_redis_is_overwritten_by_its_set() {
    let (scene, redis) = (Scene::new(), Redis::start(&[]));
    redis.client().run(&["SET", "a", "1"]);
    let order = order(&scene, Engine::Redis, &redis.url());
    let done = run(&order).done.unwrap();
    redis.client().run(&["SET", "a", "2"]);
    redis.client().run(&["SET", "b", "2"]);
    let target = DatabaseRestoreTarget::Keys { filter: None };
    let restore = restore_order(&order, &done, (target, "unused"), &scene);
    let progress = Arc::new(Progress::default());
    restore_database(&restore, &progress, &Ctx::default()).unwrap();
    assert_eq!(redis.cli(&["GET", "a"]).trim(), "1");
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "1");
    let counters = progress.read();
    assert_eq!(counters.bytes_total, Some(counters.bytes_done));
    let nonsense = DatabaseRestoreTarget::Keys { filter: Some("(".to_owned()) };
    let refused = restore_order(&order, &done, (nonsense, "unused"), &scene);
    let refused = restore_database(&refused, &progress, &Ctx::default()).unwrap_err();
    assert_eq!(refused.code(), "INVALID_REQUEST");
    assert_eq!(redis.cli(&["DBSIZE"]).trim(), "1");
}

#[test]
fn a_backup_of_postgresql_becomes_a_server_again() {
    let (scene, postgres) = (Scene::new(), Postgres::start());
    let url = postgres.database("shop");
    drop(postgres.query("shop", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n"));
    drop(postgres.query("shop", "CREATE ROLE ada LOGIN SUPERUSER PASSWORD 'pw'"));
    let order = order(&scene, Engine::Postgresql, &url);
    let ran = run(&order);
    let done = ran.done.unwrap();
    assert_eq!(ran.phases, PHASES);
    assert!(done.detail.as_ref().unwrap().engine_version.starts_with(|first: char| first.is_ascii_digit()));
    scene.restic().check();
    let restore = restore_order(&order, &done, (instance(), "pg"), &scene);
    // A second attempt takes the place of the first, whose server runs.
    let mut port = 0;
    for _ in 0..2 {
        let made = restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default()).unwrap();
        port = made.server.unwrap().port;
    }
    let clone = scene.path("pg");
    let mut psql = postgres.program("psql");
    psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", "SELECT sum(n) FROM t"]);
    let sum = run_program(psql.arg(format!("postgresql://ada:pw@127.0.0.1:{port}/shop")));
    assert_eq!(sum.trim(), "500500");
    stop_server(Engine::Postgresql, &clone, &Ctx::default()).unwrap();
}

#[test]
fn a_backup_of_mariadb_becomes_a_server_again() {
    let (scene, mariadb) = (Scene::new(), MariaDb::start());
    mariadb.execute("CREATE DATABASE shop");
    mariadb.execute("CREATE TABLE shop.t (n INT PRIMARY KEY) ENGINE=InnoDB");
    mariadb.execute("INSERT INTO shop.t VALUES (1), (2), (3)");
    let order = order(&scene, Engine::Mariadb, &mariadb.url());
    let ran = run(&order);
    let done = ran.done.unwrap();
    assert_eq!(ran.phases, PHASES);
    scene.restic().check();
    let restore = restore_order(&order, &done, (instance(), "my"), &scene);
    let made = restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default()).unwrap();
    assert!(made.server.unwrap().port > 0);
    let clone = scene.path("my");
    let socket = lifeboat_adapters::sql::mariadb::instance::socket(&clone);
    assert_eq!(query_at(&socket, "SELECT SUM(n) FROM shop.t").trim(), "6");
    stop_server(Engine::Mariadb, &clone, &Ctx::default()).unwrap();
}

#[test]
fn databases_are_dumped_one_by_one() {
    let (scene, postgres) = (Scene::new(), Postgres::start());
    let url = postgres.database("shop");
    drop(postgres.query("shop", "CREATE TABLE t AS SELECT 1 AS n"));
    let mut order = order(&scene, Engine::Postgresql, &url);
    order.backup.method = BackupMethod::Logical;
    order.backup.databases = vec!["shop".to_owned()];
    let ran = run(&order);
    let done = ran.done.unwrap();
    assert_eq!(ran.phases, PHASES);
    assert_eq!(done.detail.unwrap().databases, ["shop"]);
    scene.restic().restore(&done.snapshot.unwrap(), &scene.path("restored"));
    assert!(fs::read(scene.path("restored/rm-1/shop.dump")).unwrap().starts_with(b"PGDMP"));
    order.backup.databases = vec!["nothing".to_owned()];
    assert_eq!(run(&order).done.unwrap_err().code(), "DATABASE_NOT_EXIST");
}

/// The table `t` of `shop` as `t_was`, and all of it as `was`.
fn tables() -> Vec<DatabaseRestoreTarget> {
    let table = RestoredTable { name: "t".to_owned(), new_name: Some("t_was".to_owned()) };
    let shop = |new_name: Option<&str>, tables| RestoredDatabase {
        name: "shop".to_owned(),
        new_name: new_name.map(str::to_owned),
        tables,
    };
    [shop(None, vec![table]), shop(Some("was"), Vec::new())]
        .map(|database| DatabaseRestoreTarget::Tables(vec![database]))
        .to_vec()
}

/// A restore that has died before its end was known goes on; another one overwrites nothing.
fn assert_comes_once(mut restore: DatabaseRestoreOrder) {
    let again = || restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default());
    assert!(again().is_ok());
    restore.notes.set_extension("other");
    let another = restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default());
    assert_eq!(another.unwrap_err().code(), "TARGET_EXISTS");
}

const METHODS: [BackupMethod; 2] = [BackupMethod::Logical, BackupMethod::Physical];

#[test]
fn a_table_of_postgresql_comes_back_under_another_name_from_either_kind_of_set() {
    for method in METHODS {
        let (scene, postgres) = (Scene::new(), Postgres::start());
        let url = postgres.database("shop");
        drop(postgres.query("shop", "CREATE TABLE t AS SELECT 1 AS n"));
        let mut order = order(&scene, Engine::Postgresql, &url);
        order.backup.method = method;
        let done = run(&order).done.unwrap();
        drop(postgres.query("shop", "UPDATE t SET n = 2"));
        for target in tables() {
            let restore = restore_order(&order, &done, (target, "pg"), &scene);
            let restored = restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default());
            assert!(!restored.unwrap().is_partial);
            assert_comes_once(restore);
        }
        assert_eq!(postgres.query("shop", "SELECT t.n, t_was.n FROM t, t_was").trim(), "2|1");
        assert_eq!(postgres.query("was", "SELECT n FROM t").trim(), "1");
        assert!(!scene.path("pg").exists(), "{method:?}");
    }
}

#[test]
fn a_table_of_mariadb_comes_back_under_another_name_from_either_kind_of_set() {
    for method in METHODS {
        let (scene, mariadb) = (Scene::new(), MariaDb::start());
        mariadb.execute("CREATE DATABASE shop");
        mariadb.execute("CREATE TABLE shop.t (n INT PRIMARY KEY) ENGINE=InnoDB");
        mariadb.execute("INSERT INTO shop.t VALUES (1)");
        let mut order = order(&scene, Engine::Mariadb, &mariadb.url());
        order.backup.method = method;
        let done = run(&order).done.unwrap();
        mariadb.execute("UPDATE shop.t SET n = 2");
        for target in tables() {
            let restore = restore_order(&order, &done, (target, "my"), &scene);
            let restored = restore_database(&restore, &Arc::new(Progress::default()), &Ctx::default());
            assert!(!restored.unwrap().is_partial);
            assert_comes_once(restore);
        }
        let rows = mariadb.query("SELECT t.n, w.n, a.n FROM shop.t t, shop.t_was w, was.t a");
        assert_eq!(rows.split_whitespace().collect::<Vec<_>>(), ["2", "1", "1"]);
        assert!(!scene.path("my").exists(), "{method:?}");
    }
}
