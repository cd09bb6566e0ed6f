//! Each phase of a backup held in the real server shows as itself, and what is damaged before it was read back never
//! becomes a set.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};

use lifeboat_model::database::Phase;
use lifeboat_model::resource::Engine;
use lifeboat_testkit::mariadb::{MariaDb, client};
use lifeboat_testkit::postgres::Postgres;
use lifeboat_testkit::redis::Redis;
use lifeboat_worker::{Ctx, DatabaseBackupOrder, Done, JobError, Progress, back_up_database};

use crate::databases::order;
use crate::scene::Scene;

/// The phases of a backup as they come.
#[derive(Clone, Default)]
struct Seen(Arc<(Mutex<Vec<Phase>>, Condvar)>);

impl Seen {
    fn progress(&self) -> Arc<Progress> {
        let seen = self.clone();
        Arc::new(Progress::with_phases(move |phase| {
            seen.0.0.lock().unwrap().push(phase);
            seen.0.1.notify_all();
        }))
    }

    fn wait_for(&self, phase: Phase) {
        let seen = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(seen, |seen| !seen.contains(&phase)).unwrap());
    }

    fn all(&self) -> Vec<Phase> {
        self.0.0.lock().unwrap().clone()
    }
}

fn run(order: &DatabaseBackupOrder, seen: &Seen) -> Result<Done, JobError> {
    back_up_database(order, &seen.progress(), &Ctx::default())
}

#[test]
fn who_finds_every_place_taken_waits_and_then_goes_on() {
    let (scene, slow, quick) = (Scene::new(), Redis::start(&[]), Redis::start(&[]));
    let (first, second) = (Seen::default(), Seen::default());
    let holding = order(&scene, Engine::Redis, &slow.url());
    let waiting = DatabaseBackupOrder {
        uploads: Arc::clone(&holding.uploads),
        ..order(&scene, Engine::Redis, &quick.url())
    };
    std::thread::scope(|scope| {
        // Its fork is told to wait before the transfer: the place is held meanwhile.
        slow.cli(&["CONFIG", "SET", "repl-diskless-sync-delay", "3600"]);
        let holder = scope.spawn(|| run(&holding, &first));
        slow.wait_for_info("connected_slaves:1");
        let waiter = scope.spawn(|| run(&waiting, &second));
        second.wait_for(Phase::Waiting);
        assert_eq!(first.all(), [Phase::Checking, Phase::Preparing]);
        assert_eq!(second.all(), [Phase::Checking, Phase::Waiting]);
        slow.kill();
        assert_eq!(holder.join().unwrap().unwrap_err().code(), "SOURCE_GONE");
        waiter.join().unwrap().unwrap();
    });
    assert_eq!(first.all(), [Phase::Checking, Phase::Preparing]);
    let rest = [Phase::Preparing, Phase::Streaming, Phase::ReadingBack];
    assert_eq!(second.all(), [&[Phase::Checking, Phase::Waiting][..], &rest].concat());
}

#[test]
fn a_checkpoint_that_is_held_shows_as_preparing() {
    let (scene, postgres) = (Scene::new(), Postgres::start());
    let order = order(&scene, Engine::Postgresql, &postgres.database("shop"));
    postgres.hold_checkpoints();
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| run(&order, &seen));
        let is_held = || {
            let phases = postgres.query("shop", "SELECT phase FROM pg_stat_progress_basebackup");
            phases.contains("waiting for checkpoint to finish")
        };
        while !is_held() {
            assert!(!backup.is_finished());
        }
        assert_eq!(seen.all(), [Phase::Checking, Phase::Preparing]);
        postgres.release_checkpoints();
        backup.join().unwrap().unwrap();
    });
    assert_eq!(seen.all().last(), Some(&Phase::ReadingBack));
    assert_eq!(postgres.query("shop", "SELECT count(*) FROM pg_replication_slots").trim(), "0");
}

#[test]
fn a_lock_of_mariadb_that_somebody_holds_shows_as_preparing() {
    let (scene, mariadb) = (Scene::new(), MariaDb::start());
    let order = order(&scene, Engine::Mariadb, &mariadb.url());
    let sessions = |which: &str| {
        mariadb
            .query(&format!("SELECT id FROM information_schema.processlist WHERE {which}"))
            .trim()
            .to_owned()
    };
    let seen = Seen::default();
    let mut holder = client(&mariadb.socket(), "BACKUP STAGE START; SELECT SLEEP(1000)").spawn().unwrap();
    let held_by = loop {
        let session = sessions("info LIKE 'SELECT SLEEP%' AND state = 'User sleep'");
        if !session.is_empty() {
            break session;
        }
    };
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| run(&order, &seen));
        while sessions("state LIKE 'Waiting for backup%'").is_empty() {
            assert!(!backup.is_finished());
        }
        assert_eq!(seen.all(), [Phase::Checking, Phase::Preparing]);
        mariadb.execute(&format!("KILL {held_by}"));
        backup.join().unwrap().unwrap();
    });
    holder.wait().unwrap();
    let rest = [Phase::Preparing, Phase::Streaming, Phase::ReadingBack];
    assert_eq!(seen.all(), [&[Phase::Checking][..], &rest].concat());
}

#[test]
fn a_pack_damaged_before_it_is_read_back_leaves_no_set() {
    let (scene, redis) = (Scene::new(), Redis::start(&[]));
    redis.client().run(&["SET", "a", "1"]);
    let order = order(&scene, Engine::Redis, &redis.url());
    let vault = scene.path("vault/data");
    let progress = Arc::new(Progress::with_phases(move |phase| {
        if phase == Phase::ReadingBack {
            damage(&vault);
        }
    }));
    let failed = back_up_database(&order, &progress, &Ctx::default()).unwrap_err();
    assert_eq!(failed.code(), "ACCESS_VAULT_FAIL");
    assert_eq!(scene.restic().snapshots().trim(), "[]");
}

/// Changes a bit in the middle of every pack.
fn damage(data: &std::path::Path) {
    for folder in fs::read_dir(data).unwrap() {
        for pack in fs::read_dir(folder.unwrap().path()).unwrap() {
            let pack = pack.unwrap().path();
            let mut content = fs::read(&pack).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs::remove_file(&pack).unwrap();
            fs::write(&pack, content).unwrap();
        }
    }
}
