//! Logical backups, and databases and single tables out of them and out of physical ones.

use lifeboat_adapters::endpoint::{Endpoint, Password};
use lifeboat_adapters::sql::mariadb::instance::{self, Private};
use lifeboat_adapters::sql::mariadb::logical::{
    Live, LogicalSummary, Restored, Source, TableWanted, Wanted, clean_up, dump_into, restore,
};
use lifeboat_adapters::sql::{Journal, SqlError, SqlErrorKind};
use lifeboat_repository::Ctx;
use lifeboat_repository::id::BlobId;
use lifeboat_repository::repository::Repository;
use lifeboat_testkit::mariadb::MariaDb;
use lifeboat_testkit::repository::take_in;

use super::{TIME, back_up, content, endpoint, restored, vault};

const SHOP: &str = "
    CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_czech_ci; USE shop;
    CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(50), picture BLOB) COMMENT 'x\\n-- Table structure for table `y`';
    INSERT INTO people SELECT seq, CONCAT('wörd\\n(', seq, \"'\"), RANDOM_BYTES(50) FROM seq_1_to_1000;
    CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, who INT, note TEXT,
        CONSTRAINT by_whom FOREIGN KEY (who) REFERENCES people (id));
    INSERT INTO orders (who, note) SELECT seq, CONCAT('INSERT INTO `people` VALUES\\n(', seq) FROM seq_1_to_500;
    CREATE TABLE journal (what TEXT) ENGINE=MyISAM;
    CREATE TABLE ranges (id INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS
        THAN MAXVALUE); INSERT INTO ranges VALUES (1), (100);
    CREATE TABLE `a``b @ü/..` (`x y` INT); INSERT INTO `a``b @ü/..` VALUES (3);
    CREATE VIEW a_view AS SELECT name FROM z_view; 
    CREATE OR REPLACE VIEW z_view AS SELECT name FROM people WHERE id <= 10;
    CREATE SEQUENCE numbers START WITH 7;
    DELIMITER //
    CREATE TRIGGER noted BEFORE INSERT ON orders FOR EACH ROW BEGIN
        INSERT INTO journal VALUES ('one; more');
        SET NEW.note = CONCAT('seen ', NEW.note);
    END//
    CREATE PROCEDURE how_many() BEGIN SELECT COUNT(*) FROM people; END//
    CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2//
    CREATE EVENT tidy ON SCHEDULE EVERY 1 YEAR DO DELETE FROM journal//
    DELIMITER ;
    CREATE USER jo@localhost IDENTIFIED BY 'geheim'; CREATE DATABASE other; CREATE TABLE other.t (x INT);
";

fn shop() -> MariaDb {
    let mariadb = MariaDb::start();
    // A view cannot be made of one that is not there.
    mariadb.execute(
        &SHOP.replace("CREATE VIEW a_view", "CREATE VIEW z_view AS SELECT 1 AS name; CREATE VIEW a_view"),
    );
    mariadb
}

fn dump(
    mariadb: &MariaDb,
    vault: &Repository,
    names: Option<&[String]>,
) -> Result<(BlobId, LogicalSummary), SqlError> {
    let ctx = Ctx::default();
    let endpoint = endpoint(mariadb);
    let (report, summary) = take_in(vault, |intake| dump_into(&endpoint, names, intake, TIME, &ctx), &ctx)?;
    Ok((report.tree.unwrap(), summary))
}

fn all_of(name: &str, new_name: &str) -> Wanted {
    Wanted { name: name.into(), new_name: new_name.into(), tables: Vec::new() }
}

fn tables_of(name: &str, new_name: &str, tables: &[(&str, &str)]) -> Wanted {
    let table =
        |(name, new_name): &(&str, &str)| TableWanted { name: (*name).into(), new_name: (*new_name).into() };
    Wanted { tables: tables.iter().map(table).collect(), ..all_of(name, new_name) }
}

fn bring_back<S: Source + ?Sized>(
    mariadb: &MariaDb,
    source: &S,
    wanted: &[Wanted],
) -> Result<Restored, SqlError> {
    let restored =
        restore(&endpoint(mariadb), source, wanted, ("test1", &Journal::default()), &Ctx::default());
    assert_eq!(mariadb.query("SHOW DATABASES LIKE 'lifeboat%'"), "", "the scratch is still there");
    restored
}

/// The sums of the tables of one database, without its name.
fn sums(mariadb: &MariaDb, database: &str) -> String {
    let all = content(&|sql| mariadb.query(sql));
    let prefix = format!("`{database}`.");
    let lines = all.lines().filter_map(|line| line.strip_prefix(&prefix));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_database_comes_back_under_another_name_and_on_another_server() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, summary) = dump(&mariadb, &vault, None).unwrap();
    let names: Vec<_> = summary.databases.iter().map(|database| database.name.as_str()).collect();
    assert_eq!((names, summary.users_left_out), (vec!["other", "shop"], None));
    assert_eq!(summary.loose_tables, ["shop.journal"]);
    let folder = restored(&vault, tree);
    let users = std::fs::read_to_string(folder.path().join("users.sql")).unwrap();
    assert!(users.contains("CREATE USER `jo`@`localhost`"));
    let before = sums(&mariadb, "shop");
    assert_eq!(before.lines().count(), 5);
    let elsewhere = MariaDb::start();
    for (server, name) in [(&mariadb, "shop2"), (&elsewhere, "shop")] {
        let done = bring_back(server, folder.path(), &[all_of("shop", name)]).unwrap();
        assert_eq!((done.tables.len(), done.left_out), (6, Vec::new()));
        assert_eq!(sums(server, name), before);
        let query = |sql: &str| server.query(&format!("USE {name}; {sql}")).trim().to_owned();
        assert_eq!(query("SELECT COUNT(*) FROM a_view"), "10");
        assert_eq!(query("CALL how_many()"), "1000");
        assert_eq!(query("SELECT twice(21)"), "42");
        assert_eq!(query("SELECT NEXTVAL(numbers)"), "7");
        assert_eq!(query("SELECT @@collation_database"), "utf8mb4_czech_ci");
        assert_eq!(
            query("SELECT event_name FROM information_schema.events WHERE event_schema = DATABASE()"),
            "tidy"
        );
        let foreign =
            query("INSERT INTO orders (who, note) VALUES (1, 'new'); SELECT note FROM orders WHERE id > 500");
        assert_eq!(foreign, "seen new");
        assert_eq!(
            query("DELETE IGNORE FROM people WHERE id = 1; SELECT COUNT(*) FROM people WHERE id = 1"),
            "1"
        );
    }
}

#[test]
fn single_tables_come_back_under_any_name_with_their_triggers() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, _) = dump(&mariadb, &vault, Some(&["shop".into()])).unwrap();
    let folder = restored(&vault, tree);
    let before = sums(&mariadb, "shop");
    mariadb.execute("DELETE FROM shop.orders; DROP TABLE shop.ranges; DROP TABLE shop.`a``b @ü/..`");
    let wanted = [
        tables_of(
            "shop",
            "shop",
            &[("orders", "orders then"), ("ranges", "ranges"), ("a`b @ü/..", "a`b @ü/..")],
        ),
        tables_of("shop", "fresh", &[("orders", "people"), ("people", "orders")]),
    ];
    let done = bring_back(&mariadb, folder.path(), &wanted).unwrap();
    assert_eq!(
        done.tables,
        ["shop.orders then", "shop.ranges", "shop.a`b @ü/..", "fresh.people", "fresh.orders"]
    );
    assert_eq!(
        done.left_out,
        [
            "the foreign key by_whom of shop.orders then is not restored",
            "the trigger shop.noted is there already",
            "the foreign key by_whom of fresh.people is not restored",
        ]
    );
    let sum = |text: &str, table: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("`{table}` ")));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    let (after, fresh) = (sums(&mariadb, "shop"), sums(&mariadb, "fresh"));
    assert_eq!(sum(&after, "orders then"), sum(&before, "orders"));
    assert_eq!(sum(&after, "ranges"), sum(&before, "ranges"));
    assert_eq!(sum(&after, "a``b @ü/.."), sum(&before, "a``b @ü/.."));
    assert_eq!(sum(&fresh, "people"), sum(&before, "orders"));
    assert_eq!(sum(&fresh, "orders"), sum(&before, "people"));
    // The trigger went along and knows the new name of its table.
    mariadb.execute(
        "CREATE TABLE fresh.journal (what TEXT); INSERT INTO fresh.people (who, note) VALUES (1, 'x')",
    );
    assert_eq!(mariadb.query("SELECT note FROM fresh.people WHERE id > 500").trim(), "seen x");
    assert_eq!(mariadb.query("SELECT what FROM fresh.journal").trim(), "one; more");
}

#[test]
fn what_is_there_is_not_overwritten_and_nothing_is_begun() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, _) = dump(&mariadb, &vault, None).unwrap();
    let folder = restored(&vault, tree);
    let before = content(&|sql| mariadb.query(sql));
    for (wanted, named) in [
        (all_of("shop", "shop"), "database shop"),
        (tables_of("shop", "shop", &[("orders", "orders")]), "shop.orders"),
        (tables_of("shop", "shop", &[("orders", "free"), ("people", "a_view")]), "shop.a_view"),
    ] {
        let ahead = all_of("other", "other2");
        let refused = bring_back(&mariadb, folder.path(), &[ahead, wanted]).unwrap_err();
        assert_eq!(refused.kind, SqlErrorKind::Exists);
        assert!(refused.to_string().contains(named), "{refused}");
    }
    let missing = tables_of("shop", "fresh", &[("nobody", "nobody")]);
    let refused = bring_back(&mariadb, folder.path(), &[missing]).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::NotFound);
    assert_eq!(content(&|sql| mariadb.query(sql)), before);
    assert_eq!(mariadb.query("SHOW DATABASES LIKE 'fresh'"), "");
}

#[test]
fn a_backup_that_is_cut_short_restores_nothing() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, _) = dump(&mariadb, &vault, None).unwrap();
    for name in ["tables.sql", "triggers.sql", "programs.sql"] {
        let folder = restored(&vault, tree);
        let path = folder.path().join("databases/shop").join(name);
        let text = std::fs::read(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 30]).unwrap();
        let failed = bring_back(&mariadb, folder.path(), &[all_of("shop", "again")]).unwrap_err();
        assert_eq!(failed.kind, SqlErrorKind::Damaged, "{failed:?}");
        assert_eq!(mariadb.query("SHOW DATABASES LIKE 'again'"), "", "{name}");
    }
}

#[test]
fn a_statement_that_fails_ends_it_and_takes_everything_back() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, _) = dump(&mariadb, &vault, None).unwrap();
    let folder = restored(&vault, tree);
    let path = folder.path().join("databases/shop/programs.sql");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("FUNCTION", "FUNKTION")).unwrap();
    let failed = bring_back(&mariadb, folder.path(), &[all_of("shop", "again")]).unwrap_err();
    assert_eq!(failed.kind, SqlErrorKind::Statement, "{failed:?}");
    assert_eq!(mariadb.query("SHOW DATABASES LIKE 'again'"), "");
}

#[test]
fn what_a_crash_has_left_is_taken_away_and_nothing_else() {
    let mariadb = MariaDb::start();
    for (name, comment) in [
        ("lifeboat_left_0", ""),
        ("lifeboat_left2_0", ""),
        ("half", "lifeboat_left_1"),
        ("other", "lifeboat_left2_1"),
        ("theirs", "of lifeboat_left_1"),
    ] {
        mariadb.execute(&format!("CREATE DATABASE {name} COMMENT '{comment}'"));
    }
    clean_up(&endpoint(&mariadb), "left", &Ctx::default()).unwrap();
    let left = mariadb.query(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name REGEXP 'lifeboat|half|their|other' \
         ORDER BY 1",
    );
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["lifeboat_left2_0", "other", "theirs"]);
}

#[test]
fn an_attempt_after_a_crash_knows_its_own_work_from_that_of_others() {
    let (mariadb, vault) = (shop(), vault());
    let (tree, _) = dump(&mariadb, &vault, None).unwrap();
    let folder = restored(&vault, tree);
    let notes = tempfile::tempdir().unwrap();
    let journal = Journal::at(notes.path().join("notes"));
    let attempt = |wanted: &[Wanted], journal: &Journal| {
        clean_up(&endpoint(&mariadb), "r1", &Ctx::default()).unwrap();
        restore(&endpoint(&mariadb), folder.path(), wanted, ("r1", journal), &Ctx::default())
    };
    let wanted = [
        all_of("shop", "new"),
        tables_of("shop", "newer", &[("people", "p")]),
        tables_of("shop", "other", &[("people", "p")]),
    ];
    assert_eq!(attempt(&wanted, &journal).unwrap().tables.len(), 8);
    assert_eq!(mariadb.query("SELECT 1 FROM information_schema.schemata WHERE schema_comment <> ''"), "");
    // It has died before anybody knew.
    assert_eq!(attempt(&wanted, &journal).unwrap(), Restored::default());
    for wanted in wanted {
        assert_eq!(attempt(&[wanted], &Journal::default()).unwrap_err().kind, SqlErrorKind::Exists);
    }
    // What is gone since, or was not noted, is restored.
    mariadb.execute("DROP DATABASE new");
    assert_eq!(attempt(&[all_of("shop", "new")], &journal).unwrap().tables.len(), 6);
}

#[test]
fn tables_come_back_out_of_a_physical_backup_too() {
    let (mariadb, vault) = (shop(), vault());
    let (report, _) = back_up(&mariadb, &vault).unwrap();
    let before = sums(&mariadb, "shop");
    let folder = restored(&vault, report.tree.unwrap());
    let ctx = Ctx::default();
    instance::prepare(folder.path(), &ctx).unwrap();
    let password = Password::new("0123456789abcdef0123");
    let private = Private::start(folder.path(), &password, &ctx).unwrap();
    let live = Live::new(private.endpoint()).unwrap();
    let wanted = [all_of("shop", "shop2"), tables_of("shop", "shop3", &[("people", "people")])];
    let done = bring_back(&mariadb, &live, &wanted).unwrap();
    assert_eq!((done.tables.len(), done.left_out.len()), (7, 0));
    assert_eq!(sums(&mariadb, "shop2"), before);
    drop(private);
    assert!(!instance::is_running(folder.path()));
}

#[test]
fn a_database_that_is_not_there_and_a_user_who_may_not_are_told() {
    let (mariadb, vault) = (shop(), vault());
    let missing = dump(&mariadb, &vault, Some(&["nobody".into()])).unwrap_err();
    assert_eq!(missing.kind, SqlErrorKind::NotFound);
    let ctx = Ctx::default();
    let poor: Endpoint = mariadb.url_of("jo", "geheim").parse().unwrap();
    let refused = take_in(&vault, |intake| dump_into(&poor, None, intake, TIME, &ctx), &ctx).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Rights);
}

#[test]
fn a_dump_is_of_one_moment_while_others_write() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let (mariadb, vault) = (MariaDb::start(), vault());
    mariadb.execute(
        "CREATE DATABASE bank; USE bank; CREATE TABLE a (id INT PRIMARY KEY, money INT); CREATE TABLE z LIKE a;
         CREATE TABLE m (x BLOB); INSERT INTO m SELECT REPEAT(RANDOM_BYTES(1000), 5) FROM seq_1_to_3000;
         INSERT INTO a SELECT seq, 100 FROM seq_1_to_100; INSERT INTO z SELECT * FROM a",
    );
    let work = "START TRANSACTION; UPDATE bank.a SET money = money - 1; UPDATE bank.z SET money = money + 1; COMMIT;";
    let is_over = AtomicBool::new(false);
    let tree = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                mariadb.execute(&work.repeat(20));
            }
        });
        let dumped = dump(&mariadb, &vault, None);
        is_over.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        dumped.unwrap().0
    });
    let folder = restored(&vault, tree);
    bring_back(&mariadb, folder.path(), &[all_of("bank", "then")]).unwrap();
    let sum = "SELECT (SELECT SUM(money) FROM then.a) + (SELECT SUM(money) FROM then.z)";
    assert_eq!(mariadb.query(&sum.replace("then", "`then`")).trim(), "20000");
}
