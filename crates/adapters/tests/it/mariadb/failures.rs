//! What goes wrong in the middle, and what is left behind: nothing.

use std::time::Duration;

use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::mariadb::{Facts, Physical};
use lifeboat_repository::Ctx;
use lifeboat_testkit::mariadb::{MariaDb, client};
use lifeboat_testkit::repository::take_in;

use super::{TIME, back_up, endpoint, vault};

/// Enough to be in the middle of it when the first bytes have come.
fn filled() -> MariaDb {
    let mariadb = MariaDb::start();
    mariadb.execute(
        "CREATE DATABASE a; USE a; CREATE TABLE a.t (x BLOB); INSERT INTO a.t SELECT REPEAT(RANDOM_BYTES(1000), 4) FROM seq_1_to_16000",
    );
    mariadb
}

/// Whether somebody but us is connected, or holds the lock of a backup.
fn is_quiet(mariadb: &MariaDb) -> bool {
    let others = mariadb.query(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND command <> 'Daemon'",
    );
    if others.trim() != "0" {
        return false;
    }
    mariadb.execute("SET lock_wait_timeout = 5; BACKUP STAGE START; BACKUP STAGE END");
    true
}

fn becomes_quiet(mariadb: &MariaDb) {
    while !is_quiet(mariadb) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_is_gone_and_nothing_is_kept() {
    let (mut mariadb, vault) = (filled(), vault());
    let ctx = Ctx::default();
    let endpoint = endpoint(&mariadb);
    let facts = Facts::read(&endpoint, &ctx).unwrap();
    let physical = Physical::begin(&endpoint, &facts, &ctx).unwrap();
    mariadb.kill();
    let failed = take_in(&vault, |intake| physical.stream_into(intake, TIME, &ctx), &ctx).unwrap_err();
    assert_eq!(failed.kind, SqlErrorKind::SourceGone, "{failed:?}");
}

#[test]
fn a_backup_that_is_dropped_leaves_no_lock_and_no_connection_and_the_next_one_works() {
    let (mariadb, vault) = (filled(), vault());
    let ctx = Ctx::default();
    let endpoint = endpoint(&mariadb);
    let facts = Facts::read(&endpoint, &ctx).unwrap();
    drop(Physical::begin(&endpoint, &facts, &ctx).unwrap());
    becomes_quiet(&mariadb);
    back_up(&mariadb, &vault).unwrap();
    becomes_quiet(&mariadb);
}

#[test]
fn a_cancel_is_heard_while_another_session_holds_the_lock() {
    let mariadb = MariaDb::start();
    let ctx = Ctx::default();
    let endpoint = endpoint(&mariadb);
    let facts = Facts::read(&endpoint, &ctx).unwrap();
    let mut holder = client(&mariadb.socket(), "BACKUP STAGE START; SELECT SLEEP(1000)").spawn().unwrap();
    let state = "SELECT COUNT(*) FROM information_schema.processlist WHERE ";
    while mariadb.query(&format!("{state} info LIKE 'SELECT SLEEP%'")).trim() != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::scope(|scope| {
        let beginning = scope.spawn(|| Physical::begin(&endpoint, &facts, &ctx).map(drop));
        while mariadb.query(&format!("{state} state LIKE 'Waiting for backup%'")).trim() != "1" {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!beginning.is_finished());
        ctx.cancel.cancel();
        let failed = beginning.join().unwrap().unwrap_err();
        assert_eq!(failed.kind, SqlErrorKind::Cancelled, "{failed:?}");
    });
    holder.kill().unwrap();
    holder.wait().unwrap();
    let id = mariadb.query("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%'");
    if !id.trim().is_empty() {
        mariadb.execute(&format!("KILL {}", id.trim()));
    }
    becomes_quiet(&mariadb);
}

#[test]
fn a_cancel_in_the_middle_ends_it_and_leaves_nothing() {
    let (mariadb, vault) = (filled(), vault());
    let ctx = Ctx::default();
    let endpoint = endpoint(&mariadb);
    let facts = Facts::read(&endpoint, &ctx).unwrap();
    let physical = Physical::begin(&endpoint, &facts, &ctx).unwrap();
    ctx.cancel.cancel();
    let failed = take_in(&vault, |intake| physical.stream_into(intake, TIME, &ctx), &ctx).unwrap_err();
    assert_eq!(failed.kind, SqlErrorKind::Cancelled, "{failed:?}");
    becomes_quiet(&mariadb);
}

/// What `kill -9` does to us, done to the thread that began: the system kills its programs.
#[test]
fn a_thread_that_is_gone_leaves_no_lock_and_no_connection() {
    let mariadb = filled();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let ctx = Ctx::default();
            let endpoint = endpoint(&mariadb);
            let facts = Facts::read(&endpoint, &ctx).unwrap();
            std::mem::forget(Physical::begin(&endpoint, &facts, &ctx).unwrap());
        });
    });
    becomes_quiet(&mariadb);
}
