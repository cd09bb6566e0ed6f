//! Logical backups: databases and single tables come back as they were, under whatever name, and never over others.

use std::fs::{self, File};
use std::path::PathBuf;

use lifeboat_adapters::sql::postgres::{
    Access, Dump, Globals, Instance, InstanceOptions, LogicalSummary, TableChoice, dump_into, is_restored,
    restore_database, restore_tables,
};
use lifeboat_adapters::sql::{Journal, SqlError, SqlErrorKind};
use lifeboat_repository::Ctx;
use lifeboat_testkit::postgres::Postgres;
use tempfile::TempDir;

use super::world::{Running, back_up, backups, content, endpoint, execute, receive, restore, until, vault};

const SHOP: [&str; 10] = [
    "CREATE TYPE mood AS ENUM ('sad', 'happy')",
    "CREATE SCHEMA \"Stock.Room\"",
    "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood DEFAULT 'happy')",
    "CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customers, \
     total numeric CHECK (total > 0))",
    "CREATE INDEX strange ON orders (total) WHERE total > 5",
    "INSERT INTO customers (name) SELECT 'n' || n FROM generate_series(1, 2000) n",
    "INSERT INTO orders (customer, total) SELECT n, n FROM generate_series(1, 1000) n",
    "CREATE TABLE \"Stock.Room\".\"Odd 'Name\" AS SELECT 7 AS n",
    "COMMENT ON TABLE orders IS 'what was bought'",
    "SELECT lo_from_bytea(4711, repeat('large', 10000)::bytea)",
];

fn shop() -> Postgres {
    let server = Postgres::start();
    let _url = server.database("My Shop=x");
    execute(&server, "My Shop=x", &SHOP);
    let _url = server.database("empty");
    server
}

/// Backs up and restores the files.
fn files(server: &Postgres, databases: &[String]) -> (LogicalSummary, TempDir) {
    let (vault, ctx) = (vault(), Ctx::default());
    let at = endpoint(server, "postgres");
    let (report, summary) = receive(&vault, |intake| dump_into(&at, databases, intake, &ctx)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    restore(&vault, &report, folder.path()).unwrap();
    (summary, folder)
}

fn tables(
    server: &Postgres,
    file: PathBuf,
    to: &str,
    names: &[(&str, Option<&str>)],
) -> Result<Vec<String>, SqlError> {
    let choice = |(name, new): &(&str, Option<&str>)| TableChoice {
        name: (*name).to_owned(),
        new_name: new.map(str::to_owned),
    };
    let choices: Vec<_> = names.iter().map(choice).collect();
    let at = endpoint(server, "postgres");
    let file = File::open(file).unwrap();
    restore_tables((&at, &Journal::default()), file, to, &choices, &Ctx::default())
}

fn databases(server: &Postgres) -> String {
    server.query(
        "postgres",
        "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
    )
}

#[test]
fn databases_come_back_under_their_own_and_under_new_names() {
    let server = shop();
    execute(&server, "postgres", &["CREATE ROLE jo", "ALTER DATABASE \"My Shop=x\" OWNER TO jo"]);
    execute(&server, "postgres", &["ALTER DATABASE \"My Shop=x\" SET search_path TO 'Stock.Room', public"]);
    let (summary, folder) = files(&server, &[]);
    let names: Vec<_> = summary.databases.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(names, ["My Shop=x.dump", "empty.dump", "postgres.dump"]);
    assert_eq!(summary.globals, Globals::Whole);
    assert!(fs::read_to_string(folder.path().join("globals.sql")).unwrap().contains("CREATE ROLE jo;"));

    let (ctx, at) = (Ctx::default(), endpoint(&server, "postgres"));
    let dump = || File::open(folder.path().join("My Shop=x.dump")).unwrap();
    let taken = restore_database((&at, &Journal::default()), dump(), "My Shop=x", &ctx).unwrap_err();
    assert_eq!(taken.kind, SqlErrorKind::Exists, "{taken}");
    restore_database((&at, &Journal::default()), dump(), "It's \"new\"", &ctx).unwrap();
    let (was, is) = (content(&server, server.folder(), "My Shop=x"), server.folder());
    assert!(was.len() > 3000 && content(&server, is, "It's \"new\"") == was);
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'It%'";
    assert_eq!(server.query("postgres", owner).trim(), "jo");
    assert_eq!(server.query("It's \"new\"", "SHOW search_path").trim(), "\"Stock.Room\", public");
    execute(&server, "postgres", &["DROP DATABASE \"My Shop=x\""]);
    restore_database((&at, &Journal::default()), dump(), "My Shop=x", &ctx).unwrap();
    assert_eq!(content(&server, is, "My Shop=x"), was);
    assert_eq!(databases(&server).trim(), "It's \"new\",My Shop=x,empty,postgres");
}

#[test]
fn a_table_comes_back_beside_or_instead_of_itself_and_over_nothing() {
    let server = shop();
    let (_, folder) = files(&server, &["My Shop=x".to_owned()]);
    let dump = || folder.path().join("My Shop=x.dump");
    let refused =
        tables(&server, dump(), "My Shop=x", &[("customers", Some("c2")), ("orders", None)]).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Exists);
    assert_eq!(refused.to_string(), "public.orders exists already in the database My Shop=x");
    let names = [
        ("customers", Some("clients")),
        ("public.orders", Some("Old Orders")),
        ("Odd 'Name", Some("public.odd")),
    ];
    let restored = tables(&server, dump(), "My Shop=x", &names).unwrap();
    assert_eq!(restored, ["public.clients", "public.Old Orders", "public.odd"]);
    let ask = |sql: &str| server.query("My Shop=x", sql).trim().to_owned();
    let both = |a: &str, b: &str| {
        ask(&format!(
            "SELECT count(*) FROM ((TABLE {a} EXCEPT TABLE {b}) UNION ALL (TABLE {b} EXCEPT TABLE {a})) x"
        ))
    };
    assert_eq!(both("customers", "clients"), "0");
    assert_eq!(both("orders", "\"Old Orders\""), "0");
    assert_eq!(ask("SELECT n FROM odd"), "7");
    let things = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class \
                  WHERE relname LIKE 'clients%' OR relname LIKE 'Old Orders%'";
    assert_eq!(
        ask(things),
        "Old Orders,Old Orders_id_seq,Old Orders_pkey,Old Orders_strange,clients,clients_id_seq,clients_name_key,\
         clients_pkey"
    );
    // Both go on where they were, each on its own.
    assert_eq!(ask("INSERT INTO clients (name) VALUES ('new') RETURNING id, mood"), "2001|happy");
    assert_eq!(ask("INSERT INTO customers (name) VALUES ('other') RETURNING id"), "2001");
    assert_eq!(ask("INSERT INTO \"Old Orders\" (customer, total) VALUES (2001, 1) RETURNING id"), "1001");
    let keys = "SELECT string_agg(confrelid::regclass::text, ',') FROM pg_constraint WHERE contype = 'f' \
                AND conrelid = '\"Old Orders\"'::regclass";
    assert_eq!(ask(keys), "clients");
    assert_eq!(ask("SELECT obj_description('\"Old Orders\"'::regclass)"), "what was bought");

    execute(&server, "My Shop=x", &["DROP TABLE orders"]);
    tables(&server, dump(), "My Shop=x", &[("orders", None)]).unwrap();
    assert_eq!(ask("SELECT count(*), max(id) FROM orders"), "1000|1000");
    let missing = tables(&server, dump(), "My Shop=x", &[("nothing", None)]).unwrap_err();
    assert_eq!(
        (missing.kind, missing.to_string().as_str()),
        (SqlErrorKind::NotFound, "there is no table nothing in the backup")
    );
    assert_eq!(
        tables(&server, dump(), "gone", &[("orders", None)]).unwrap_err().kind,
        SqlErrorKind::NotFound
    );
    assert_eq!(databases(&server).trim(), "My Shop=x,empty,postgres");
}

#[test]
fn a_partitioned_table_comes_back_with_its_partitions() {
    let server = Postgres::start();
    let url = server.database("parts");
    assert!(url.contains("parts"));
    execute(
        &server,
        "parts",
        &[
            "CREATE TABLE log (day int, text text) PARTITION BY RANGE (day)",
            "CREATE INDEX ON log (day)",
            "CREATE TABLE log1 PARTITION OF log FOR VALUES FROM (0) TO (10)",
            "CREATE TABLE log2 PARTITION OF log FOR VALUES FROM (10) TO (20)",
            "INSERT INTO log SELECT n, 'x' FROM generate_series(0, 19) n",
        ],
    );
    let was = content(&server, server.folder(), "parts");
    let (_, folder) = files(&server, &["parts".to_owned()]);
    execute(&server, "parts", &["DROP TABLE log"]);
    let restored = tables(&server, folder.path().join("parts.dump"), "parts", &[("log", None)]).unwrap();
    assert_eq!(restored, ["public.log", "public.log1", "public.log2"]);
    assert_eq!(content(&server, server.folder(), "parts"), was);
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_what_a_crash_has_left_goes_with_the_next() {
    let server = shop();
    let (_, folder) = files(&server, &["My Shop=x".to_owned()]);
    let file = folder.path().join("My Shop=x.dump");
    let bytes = fs::read(&file).unwrap();
    let (ctx, at) = (Ctx::default(), endpoint(&server, "postgres"));
    for len in [3, 100, 5_000, bytes.len() / 2, bytes.len() - 1] {
        let failed = restore_database((&at, &Journal::default()), &bytes[..len], "new", &ctx).unwrap_err();
        assert!(matches!(failed.kind, SqlErrorKind::Damaged | SqlErrorKind::Program), "{len}: {failed}");
        assert_eq!(databases(&server).trim(), "My Shop=x,empty,postgres", "{len}");
    }
    execute(&server, "postgres", &["CREATE DATABASE lifeboat_scratch_00000000000000ff"]);
    restore_database((&at, &Journal::default()), bytes.as_slice(), "new", &ctx).unwrap();
    assert_eq!(databases(&server).trim(), "My Shop=x,empty,new,postgres");
}

#[test]
fn a_dump_that_fails_or_is_cancelled_is_no_backup() {
    let server = shop();
    execute(&server, "My Shop=x", &["CREATE ROLE jo LOGIN", "REVOKE ALL ON customers FROM public"]);
    let (vault, ctx) = (vault(), Ctx::default());
    let jo = server.url("postgres").replace("lifeboat@", "jo@").parse().unwrap();
    let refused = receive(&vault, |intake| dump_into(&jo, &[], intake, &ctx)).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Rights, "{refused}");
    let missing = receive(&vault, |intake| dump_into(&jo, &["none".into()], intake, &ctx)).unwrap_err();
    assert_eq!(missing.kind, SqlErrorKind::NotFound);
    // A table that somebody has locked: the dump waits, and hears a cancel.
    std::thread::scope(|scope| {
        let lock = "BEGIN; LOCK customers; SELECT pg_sleep(600)";
        let mut psql = server.program("psql");
        let mut psql = psql.env("PGDATABASE", "My Shop=x").args(["-Xqc", lock]).spawn().unwrap();
        let waits = |count: &str, event: &str| {
            let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE wait_event = '{event}'");
            until("somebody waits", || server.query("postgres", &sql).trim() == count);
        };
        waits("1", "PgSleep");
        let backup = scope
            .spawn(|| receive(&vault, |intake| dump_into(&endpoint(&server, "postgres"), &[], intake, &ctx)));
        waits("1", "relation");
        ctx.cancel.cancel();
        let cancelled = backup.join().unwrap().unwrap_err();
        assert_eq!(cancelled.kind, SqlErrorKind::Cancelled, "{cancelled}");
        // The server notices by itself that nobody waits any more.
        waits("0", "relation");
        psql.kill().unwrap();
        psql.wait().unwrap();
    });
    assert_eq!(backups(&vault), 0);
}

#[test]
fn a_table_comes_back_out_of_a_physical_backup() {
    let server = shop();
    let vault = vault();
    let (report, _) = back_up(&server, &vault).unwrap();
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    restore(&vault, &report, folder.path()).unwrap();
    let (options, ctx) =
        (InstanceOptions { access: Access::Private, shared_preload_libraries: None }, Ctx::default());
    let running = Running::start(Instance::prepare(folder.path(), &options, &ctx).unwrap());
    let private = running.0.private_endpoint("lifeboat", &ctx).unwrap();
    let mut dump = Dump::of(&private, "My Shop=x", &ctx).unwrap();
    let choice = TableChoice { name: "orders".into(), new_name: Some("orders_then".into()) };
    let at = endpoint(&server, "postgres");
    restore_tables((&at, &Journal::default()), &mut dump, "My Shop=x", &[choice], &ctx).unwrap();
    dump.finish(&ctx).unwrap();
    assert_eq!(server.query("My Shop=x", "SELECT count(*) FROM orders_then").trim(), "1000");
}

#[test]
fn an_attempt_after_a_crash_knows_its_own_work_from_that_of_others() {
    let server = shop();
    let (_, folder) = files(&server, &["My Shop=x".to_owned()]);
    let (at, ctx) = (endpoint(&server, "postgres"), Ctx::default());
    let dump = || File::open(folder.path().join("My Shop=x.dump")).unwrap();
    let journal = Journal::at(folder.path().join("notes"));
    let is_done =
        |name: &str, choices: &[TableChoice]| is_restored((&at, &journal), name, choices, &ctx).unwrap();
    assert!(!is_done("new", &[]));
    restore_database((&at, &journal), dump(), "new", &ctx).unwrap();
    assert!(is_done("new", &[]) && !is_done("postgres", &[]));
    execute(&server, "postgres", &["DROP DATABASE new", "CREATE DATABASE new"]);
    assert!(!is_done("new", &[]), "another one of the same name");

    let choice = |name: &str| TableChoice { name: name.to_owned(), new_name: Some(format!("{name}'s")) };
    let choices = ["orders", "customers"].map(choice);
    assert!(!is_done("My Shop=x", &choices));
    restore_tables((&at, &journal), dump(), "My Shop=x", &choices, &ctx).unwrap();
    assert!(is_done("My Shop=x", &choices) && !is_done("My Shop=x", &choices[..1]));
    execute(&server, "My Shop=x", &["DROP TABLE \"orders's\"", "CREATE TABLE \"orders's\" (n int)"]);
    assert!(!is_done("My Shop=x", &choices), "one of them is not what was restored");
}
