//! Physical backups: whole, checked, and cheap when little has changed.

use std::fs;
use std::path::Path;

use lifeboat_adapters::endpoint::{Endpoint, Password};
use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::postgres::{Access, BaseSummary, Instance, InstanceOptions, Server};
use lifeboat_repository::Ctx;
use lifeboat_testkit::postgres::{Postgres, run};

use super::world::{Running, back_up, back_up_at, content, execute, is_left_alone, restore, until, vault};

const PRIVATE: InstanceOptions = InstanceOptions { access: Access::Private, shared_preload_libraries: None };

/// Another cluster that follows the log of `server`, which it archives, and stops where the backup ends.
fn witness(server: &Postgres, base: &Path, archive: &Path, summary: &BaseSummary) -> Running {
    execute(server, "postgres", &["SELECT pg_switch_wal()"]);
    let last = format!(
        "SELECT pg_walfile_name('{}') <= last_archived_wal AND length(last_archived_wal) = 24 FROM pg_stat_archiver",
        summary.end_lsn
    );
    until("the log is archived", || server.query("postgres", &last).trim() == "t");
    let instance = Instance::prepare(base, &PRIVATE, &Ctx::default()).unwrap();
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\nrecovery_target_lsn = '{}'\nrecovery_target_inclusive = off\n\
         recovery_target_action = promote\nhot_standby = off\n",
        archive.display(),
        summary.end_lsn
    );
    fs::write(base.join("data/postgresql.auto.conf"), settings).unwrap();
    fs::write(base.join("data/recovery.signal"), "").unwrap();
    Running::start(instance)
}

/// What pgbench promises of each moment: all sums are the same. Gives the number of its transactions.
fn sums_match(server: &Postgres, socket: &Path) -> u64 {
    let ask = |sql: &str| {
        let mut psql = server.program("psql");
        run(psql.env("PGHOST", socket).args(["-XAtd", "postgres", "-c", sql])).trim().to_owned()
    };
    let sums = "SELECT count(DISTINCT s) FROM (SELECT sum(abalance) s FROM pgbench_accounts UNION ALL \
                SELECT sum(bbalance) FROM pgbench_branches UNION ALL SELECT sum(tbalance) FROM pgbench_tellers \
                UNION ALL SELECT sum(delta) FROM pgbench_history) x";
    assert_eq!(ask(sums), "1");
    ask("SELECT count(*) FROM pgbench_history").parse().unwrap()
}

/// What a server that was made of a backup has said.
fn log_of(folder: &Path) -> String {
    let files = fs::read_dir(folder.join("log")).unwrap();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn a_restored_server_is_the_source_at_the_backups_own_position_while_it_was_written_to() {
    let archive = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(archive.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let command = format!("archive_command=cp %p {}/%f", archive.path().display());
    let server = Postgres::start_with(&["archive_mode=on", &command], None);
    let place = server.new_folder("elsewhere");
    let create = format!("CREATE TABLESPACE elsewhere LOCATION '{}'", place.display());
    execute(&server, "postgres", &[&create, "CREATE DATABASE second TABLESPACE elsewhere"]);
    execute(
        &server,
        "second",
        &["SELECT lo_from_bytea(0, repeat(n::text, 5000)::bytea) FROM generate_series(1, 9) n"],
    );
    execute(&server, "postgres", &["CREATE UNLOGGED TABLE u AS SELECT 1 AS n"]);
    run(server.program("pgbench").args(["-i", "-s", "3", "-q", "--index-tablespace=elsewhere", "postgres"]));
    let base = server.new_folder("base");
    let oid = server.query("postgres", "SELECT oid FROM pg_tablespace WHERE spcname = 'elsewhere'");
    let mapping = format!("{}={}/tablespaces/{}", place.display(), base.display(), oid.trim());
    run(server.program("pg_basebackup").args(["-c", "fast", "-T", &mapping, "-D"]).arg(base.join("data")));

    let mut bench = server.program("pgbench");
    let mut bench = bench.args(["-c", "4", "-T", "300", "-n", "postgres"]).spawn().unwrap();
    let count = "SELECT count(*) FROM pgbench_history";
    let counted = |text: String| text.trim().parse::<u64>().unwrap();
    until("the load is on", || counted(server.query("postgres", count)) > 100);
    let vault = vault();
    let before = counted(server.query("postgres", count));
    let (report, summary) = back_up(&server, &vault).unwrap();
    until("more is written", || counted(server.query("postgres", count)) > before + 1000);
    bench.kill().unwrap();
    bench.wait().unwrap();
    until("the server is left alone", || is_left_alone(&server));
    assert!(summary.start_lsn < summary.end_lsn && summary.tablespaces.len() == 1);

    let folder = tempfile::tempdir_in("/tmp").unwrap();
    restore(&vault, &report, folder.path()).unwrap();
    let restored = Instance::prepare(folder.path(), &PRIVATE, &Ctx::default()).unwrap();
    let _restored = Running::start(restored);
    // Nothing comes after the backup's own position, and all before it is there.
    let log = log_of(folder.path());
    let end = format!("invalid record length at {}: wanted 24, got 0", summary.end_lsn);
    assert!(log.contains(&end), "{end} is not in {log}");
    let _witness = witness(&server, &base, archive.path(), &summary);
    for database in ["postgres", "second"] {
        let (ours, theirs) = (content(&server, folder.path(), database), content(&server, &base, database));
        let differs = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        let logs = || format!("{database} {summary:?}\n{log}\n{}", log_of(&base));
        assert_eq!((differs, ours.len()), (None, theirs.len()), "{}", logs());
    }
    let (after, end) = (sums_match(&server, folder.path()), counted(server.query("postgres", count)));
    assert!(before < after && after < end, "{before} {after} {end}");
    let mut check = server.program("pg_amcheck");
    run(check.env("PGHOST", folder.path()).args([
        "--all",
        "--install-missing",
        "--heapallindexed",
        "--parent-check",
    ]));
}

#[test]
fn a_restored_server_takes_the_passwords_of_the_source_and_starts_again() {
    let server = Postgres::start();
    execute(&server, "postgres", &["CREATE ROLE jo LOGIN PASSWORD 'right'"]);
    execute(&server, "postgres", &["SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'right'"]);
    let vault = vault();
    let (report, _) = back_up(&server, &vault).unwrap();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    restore(&vault, &report, folder.path()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = InstanceOptions { access: Access::Password { port }, shared_preload_libraries: None };
    let ctx = Ctx::default();
    let instance = Instance::prepare(folder.path(), &options, &ctx).unwrap();
    assert!(!instance.is_running());
    let running = Running::start(instance.clone());
    let log_in = |user: &str, password: &str| {
        let endpoint: Endpoint = format!("postgresql://{user}@127.0.0.1:{port}/postgres").parse().unwrap();
        let endpoint = Endpoint { password: Some(Password::new(password)), ..endpoint };
        Server::connect(&endpoint, &ctx).map(drop)
    };
    log_in("jo", "right").unwrap();
    log_in("old", "right").unwrap();
    assert_eq!(log_in("jo", "wrong").unwrap_err().kind, SqlErrorKind::Authentication);
    instance.start(&ctx).unwrap();
    instance.stop(&ctx).unwrap();
    assert!(!instance.is_running() && log_in("jo", "right").is_err());
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let refused = instance.start(&ctx).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Program);
    assert!(refused.to_string().contains("Address already in use") && !instance.is_running(), "{refused}");
    drop(taken);
    let again = Instance::open(folder.path()).unwrap();
    again.start(&ctx).unwrap();
    assert!(running.0.is_running() && again.port() == port);
    log_in("jo", "right").unwrap();
}

#[test]
fn a_standby_can_be_backed_up_too() {
    let server = Postgres::start();
    let folder = server.new_folder("standby");
    run(server.program("pg_basebackup").args(["-R", "-c", "fast", "-D"]).arg(folder.join("data")));
    let mut standby = server.program("postgres");
    let standby = standby.arg("-D").arg(folder.join("data")).arg("-k").arg(&folder).args([
        "-h",
        "",
        "-F",
        "-c",
        "max_connections=200",
    ]);
    let mut standby = standby.spawn().unwrap();
    execute(&server, "postgres", &["CREATE TABLE t AS SELECT generate_series(1, 100000) AS n"]);
    let state = folder.join("data/postmaster.pid");
    until("the standby is open", || {
        fs::read_to_string(&state).is_ok_and(|text| text.trim_end().ends_with("ready"))
    });
    let ask = |socket: &Path| {
        let mut psql = server.program("psql");
        run(psql.env("PGHOST", socket).args([
            "-XAtd",
            "postgres",
            "-c",
            "SELECT count(*) FROM pg_class WHERE relname = 't'",
        ]))
    };
    until("the standby has the table", || ask(&folder).trim() == "1");
    let at: Endpoint =
        format!("postgresql://lifeboat@localhost/postgres?host={}", folder.display()).parse().unwrap();
    let ctx = Ctx::default();
    let mut checked = Server::connect(&at, &ctx).unwrap();
    assert!(checked.facts().unwrap().is_standby && checked.lacks_for_physical(&ctx).unwrap().is_empty());
    let vault = vault();
    let (report, _) = back_up_at(&at, &vault).unwrap();
    let restored = tempfile::tempdir_in("/tmp").unwrap();
    restore(&vault, &report, restored.path()).unwrap();
    let _running = Running::start(Instance::prepare(restored.path(), &PRIVATE, &ctx).unwrap());
    assert_eq!(content(&server, restored.path(), "postgres"), content(&server, server.folder(), "postgres"));
    standby.kill().unwrap();
    standby.wait().unwrap();
}

#[test]
fn a_second_backup_of_a_cluster_with_one_page_in_a_hundred_changed_adds_six_hundredths_at_most() {
    let server = Postgres::start();
    // Rows of random bytes that nothing compresses, with room in each page for one row to change.
    let sql = "CREATE EXTENSION pgcrypto; CREATE TABLE t WITH (fillfactor = 80) AS \
               SELECT n, gen_random_bytes(960) AS x FROM generate_series(1, 96000) n";
    execute(&server, "postgres", &[sql, "VACUUM FREEZE t", "CHECKPOINT"]);
    let vault = vault();
    let (_, first) = back_up(&server, &vault).unwrap();
    let pages = "(pg_relation_size('t') / 8192)";
    let change = format!(
        "UPDATE t SET x = gen_random_bytes(960) WHERE ctid IN (SELECT format('(%s,1)', page)::tid FROM \
         generate_series(0, {pages} - 1) page ORDER BY random() LIMIT {pages} / 100)"
    );
    execute(&server, "postgres", &[&change]);
    let (second, summary) = back_up(&server, &vault).unwrap();
    let share = second.bytes_stored as f64 / summary.bytes as f64;
    println!("{} of {} bytes: {share}", second.bytes_stored, summary.bytes);
    assert!(first.bytes > 100 << 20, "{}", first.bytes);
    assert!(share <= 0.06, "{share}");
}
