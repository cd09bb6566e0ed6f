//! What fails says why, makes no backup, and leaves nothing behind in the server.

use std::fs;
use std::thread;

use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::postgres::{BaseBackup, Server};
use lifeboat_repository::Ctx;
use lifeboat_testkit::postgres::{Postgres, run};

use super::proxy::{Harm, through};
use super::world::{back_up, back_up_at, backups, endpoint, execute, is_left_alone, receive, until, vault};

#[test]
fn a_byte_that_changes_on_the_way_is_found_wherever_it_is() {
    let server = Postgres::start();
    execute(&server, "postgres", &["CREATE TABLE t AS SELECT generate_series(1, 100000) AS n"]);
    let (vault, mut found) = (vault(), 0);
    // Without the log, which is another stream.
    let whole = usize::try_from(back_up(&server, &vault).unwrap().1.bytes).unwrap() - (16 << 20);
    for at in (1..10).map(|tenth| whole / 10 * tenth + 1234) {
        let error = through(&server, Harm::Flip(at), |endpoint| back_up_at(endpoint, &vault)).unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::Damaged, "{at}: {error}");
        found += 1;
    }
    assert_eq!(found, 9);
    assert_eq!(backups(&vault), 1);
}

#[test]
fn a_stream_that_is_cut_short_is_never_a_backup() {
    let server = Postgres::start();
    let vault = vault();
    for at in [20_000_000, 1_000_000, 100_000] {
        let error = through(&server, Harm::Cut(at), |endpoint| back_up_at(endpoint, &vault)).unwrap_err();
        assert_eq!(error.kind, SqlErrorKind::SourceGone, "{error}");
    }
    assert_eq!(backups(&vault), 0);
    until("the server is left alone", || is_left_alone(&server));
}

#[test]
fn a_server_that_is_killed_is_gone_and_the_next_backup_works() {
    let mut server = Postgres::start();
    let vault = vault();
    let base = BaseBackup::begin(&endpoint(&server, "postgres"), "test", &Ctx::default()).unwrap();
    server.kill();
    let error = receive(&vault, |intake| base.stream_into(intake, &Ctx::default())).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::SourceGone, "{error}");
    assert_eq!(back_up(&server, &vault).unwrap_err().kind, SqlErrorKind::Unreachable);
    server.restart();
    back_up(&server, &vault).unwrap();
    assert!(
        is_left_alone(&server) || {
            until("it is left alone", || is_left_alone(&server));
            true
        }
    );
}

#[test]
fn a_backup_that_is_given_up_leaves_nothing_in_the_server() {
    let server = Postgres::start();
    let base = BaseBackup::begin(&endpoint(&server, "postgres"), "test", &Ctx::default()).unwrap();
    assert!(!is_left_alone(&server));
    drop(base);
    until("the server is left alone", || is_left_alone(&server));
}

#[test]
fn a_cancel_is_heard_while_the_checkpoint_is_held() {
    let server = Postgres::start();
    let (ctx, endpoint) = (Ctx::default(), endpoint(&server, "postgres"));
    server.hold_checkpoints();
    thread::scope(|scope| {
        let backup = scope.spawn(|| BaseBackup::begin(&endpoint, "test", &ctx).map(drop));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event LIKE 'Checkpoint%' \
                     AND backend_type = 'walsender'";
        until("the backup waits", || server.query("postgres", waits).trim() == "1");
        ctx.cancel.cancel();
        assert_eq!(backup.join().unwrap().unwrap_err().kind, SqlErrorKind::Cancelled);
    });
    until("the server is left alone", || is_left_alone(&server));
    server.release_checkpoints();
}

#[test]
fn a_damaged_page_in_the_source_makes_no_backup() {
    let mut server = Postgres::start();
    execute(&server, "postgres", &["CREATE TABLE t AS SELECT generate_series(1, 100000) AS n", "CHECKPOINT"]);
    let path = server.query("postgres", "SELECT pg_relation_filepath('t')");
    server.kill();
    let data = server.folder().join("data");
    fs::remove_file(data.join("postmaster.pid")).unwrap();
    run(server.program("pg_resetwal").arg("-f").arg(&data));
    run(server.program("pg_checksums").arg("--enable").arg(&data));
    let file = data.join(path.trim());
    let mut bytes = fs::read(&file).unwrap();
    bytes[3 * 8192 + 5000] ^= 1;
    fs::write(&file, bytes).unwrap();
    server.restart();
    let vault = vault();
    let error = back_up(&server, &vault).unwrap_err();
    assert_eq!(error.kind, SqlErrorKind::Damaged, "{error}");
    assert_eq!(backups(&vault), 0);
}

#[test]
fn what_is_missing_is_said_in_plain_words() {
    let rules = "local all jo scram-sha-256\nlocal all all trust\nlocal replication all trust\n";
    let server = Postgres::start_with(&["wal_level=minimal", "max_wal_senders=0"], Some(rules));
    execute(&server, "postgres", &["CREATE ROLE jo LOGIN PASSWORD 'right'", "CREATE TABLE secret (n int)"]);
    let ctx = Ctx::default();
    let url = |user: &str| server.url("postgres").replace("lifeboat@", user).parse().unwrap();
    let refused = |user: &str| Server::connect(&url(user), &ctx).map(drop).unwrap_err();
    assert_eq!(refused("jo:wrong@").kind, SqlErrorKind::Authentication);
    assert_eq!(refused("nobody@").kind, SqlErrorKind::Authentication);
    let none = refused("jo@");
    assert!(none.to_string().ends_with("asks for a password, and the URL has none"), "{none}");

    let mut jo = Server::connect(&url("jo:right@"), &ctx).unwrap();
    let said: Vec<_> =
        jo.lacks_for_physical(&ctx).unwrap().into_iter().map(|lack| (lack.kind, lack.what)).collect();
    assert_eq!(
        said,
        [
            (
                SqlErrorKind::Unsupported,
                "wal_level is minimal, which leaves out what a backup needs".to_owned()
            ),
            (SqlErrorKind::Rights, "the user jo has no right to replicate".to_owned()),
        ]
    );
    let lacks = jo.lacks_for_logical(&["postgres".into(), "none".into()], &ctx).unwrap();
    let said: Vec<_> = lacks.iter().map(|lack| lack.what.as_str()).collect();
    assert_eq!(
        said,
        [
            "there is no database none",
            "the user jo may not read 1 tables of the database postgres, such as secret",
        ]
    );
    assert_eq!(lacks[1].remedy, "GRANT pg_read_all_data TO \"jo\"");
}

#[test]
fn a_server_that_can_be_backed_up_lacks_nothing_until_its_sessions_are_taken() {
    let server = Postgres::start_with(&["max_wal_senders=2"], None);
    let ctx = Ctx::default();
    let mut checked = Server::connect(&endpoint(&server, "postgres"), &ctx).unwrap();
    assert_eq!(checked.lacks_for_physical(&ctx).unwrap(), []);
    assert_eq!(checked.lacks_for_logical(&[], &ctx).unwrap(), []);
    let facts = checked.facts().unwrap();
    assert_eq!((facts.version_number / 10000, facts.block_bytes, facts.is_standby), (15, 8192, false));
    assert_eq!(facts.databases.len(), 1);
    assert!(facts.bytes > 1 << 20 && facts.system_identifier.is_some() && facts.settings.len() == 6);
    until("the server is left alone", || is_left_alone(&server));
    // A user who may replicate and nothing else is enough.
    execute(&server, "postgres", &["CREATE ROLE copier LOGIN REPLICATION"]);
    let copier = server.url("postgres").replace("lifeboat@", "copier@").parse().unwrap();
    assert_eq!(Server::connect(&copier, &ctx).unwrap().lacks_for_physical(&ctx).unwrap(), []);
    until("the server is left alone", || is_left_alone(&server));
    back_up_at(&copier, &vault()).unwrap();
    until("the server is left alone", || is_left_alone(&server));

    let _taken = BaseBackup::begin(&endpoint(&server, "postgres"), "test", &ctx).unwrap();
    let lacks = checked.lacks_for_physical(&ctx).unwrap();
    assert!(lacks[0].remedy.contains("raise max_wal_senders"), "{lacks:?}");
}
