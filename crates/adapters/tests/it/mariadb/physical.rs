//! Physical backups: of everything a server can hold, under load, twice, and while tables come and go.

use std::sync::atomic::{AtomicBool, Ordering};

use lifeboat_adapters::sql::SqlErrorKind;
use lifeboat_adapters::sql::mariadb::instance;
use lifeboat_repository::Ctx;
use lifeboat_testkit::mariadb::MariaDb;

use super::{Clone, back_up, content, vault};

/// Tables of all engines, partitions, large values, and names that are hard to bear.
const VARIETY: &str = "
    CREATE DATABASE shop; CREATE DATABASE `o d@d'\"ü/..`; CREATE DATABASE empty; USE shop;
    CREATE TABLE inno (id INT PRIMARY KEY AUTO_INCREMENT, word VARCHAR(50), large LONGBLOB);
    INSERT INTO inno (word, large) SELECT CONCAT('w', seq), RANDOM_BYTES(500) FROM seq_1_to_2000;
    INSERT INTO inno (large) VALUES (REPEAT(RANDOM_BYTES(1000), 9000)), (NULL), ('');
    CREATE TABLE aria (id INT, word TEXT) ENGINE=Aria; INSERT INTO aria SELECT seq, 'aria' FROM seq_1_to_500;
    CREATE TABLE my (id INT, word TEXT, FULLTEXT(word)) ENGINE=MyISAM;
    INSERT INTO my SELECT seq, CONCAT('my ', seq) FROM seq_1_to_500;
    CREATE TABLE parts (id INT, at INT) PARTITION BY HASH (id) PARTITIONS 4;
    INSERT INTO parts SELECT seq, seq FROM seq_1_to_1000;
    CREATE TABLE my_parts (id INT) ENGINE=MyISAM PARTITION BY HASH (id) PARTITIONS 3;
    INSERT INTO my_parts SELECT seq FROM seq_1_to_100;
    CREATE TABLE squeezed (id INT, word TEXT) ROW_FORMAT=COMPRESSED; INSERT INTO squeezed VALUES (1, 'x');
    CREATE TABLE csv (id INT NOT NULL) ENGINE=CSV; INSERT INTO csv VALUES (7);
    CREATE TABLE `o d@d'\"ü/..`.`t 1/../``x` (`c @` INT); INSERT INTO `o d@d'\"ü/..`.`t 1/../``x` VALUES (42);
    CREATE VIEW seen AS SELECT word FROM inno;
    CREATE USER jo@localhost IDENTIFIED BY 'geheim'; GRANT SELECT ON shop.* TO jo@localhost;
";

#[test]
fn everything_a_server_holds_comes_back() {
    let (mariadb, vault) = (MariaDb::start_with(&["--log-bin=bin"]), vault());
    mariadb.execute(VARIETY);
    let before = content(&|sql| mariadb.query(sql));
    assert_eq!(before.lines().count(), 8);
    let (report, summary) = back_up(&mariadb, &vault).unwrap();
    assert!(summary.version.starts_with("10.") && summary.last_lsn >= summary.to_lsn && summary.to_lsn > 0);
    assert!(summary.binlog.is_some_and(|binlog| binlog.file.starts_with("bin.") && binlog.position > 0));
    let clone = Clone::start(&vault, report.tree.unwrap());
    assert_eq!(content(&|sql| clone.query(sql)), before);
    assert_eq!(clone.query("SELECT COUNT(*) FROM shop.seen").trim(), "2003");
    assert_eq!(clone.query("SHOW DATABASES LIKE 'empty'").trim(), "empty");
    assert!(clone.query("SHOW GRANTS FOR jo@localhost").contains("GRANT SELECT ON `shop`.*"));
}

#[test]
fn a_clone_stops_and_starts_again_and_is_found_by_its_folder() {
    let (mariadb, vault) = (MariaDb::start(), vault());
    mariadb.execute("CREATE DATABASE a; CREATE TABLE a.t (x INT); INSERT INTO a.t VALUES (1)");
    let (report, _) = back_up(&mariadb, &vault).unwrap();
    let clone = Clone::start(&vault, report.tree.unwrap());
    assert!(instance::is_running(clone.path()));
    assert_eq!(clone.query("INSERT INTO a.t VALUES (2); SELECT SUM(x) FROM a.t").trim(), "3");
    instance::stop(clone.path(), &Ctx::default()).unwrap();
    assert!(!instance::is_running(clone.path()));
    let log = clone.path().join("mariadbd.log");
    std::fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(20 << 20).unwrap();
    clone.begin();
    assert_eq!(clone.query("SELECT SUM(x) FROM a.t").trim(), "3");
    assert!(std::fs::metadata(&log).unwrap().len() < 1 << 20, "a long log is put aside");
}

/// Each transaction `n` moves money between two accounts and notes itself in a third table: the sum never changes, and
/// the notes of a state are those of all transactions up to its last.
#[test]
fn a_backup_under_load_is_a_moment_of_history() {
    let (mariadb, vault) = (MariaDb::start_with(&["--log-bin=bin"]), vault());
    mariadb.execute(
        "CREATE DATABASE bank; CREATE DATABASE notes; USE bank;
         CREATE TABLE bank.accounts (id INT PRIMARY KEY, money BIGINT) ENGINE=InnoDB;
         INSERT INTO bank.accounts SELECT seq, 100 FROM seq_1_to_1000;
         CREATE TABLE notes.done (n INT PRIMARY KEY, filling BLOB) ENGINE=InnoDB;
         CREATE TABLE bank.filling (id INT PRIMARY KEY AUTO_INCREMENT, x BLOB);
         INSERT INTO bank.filling (x) SELECT REPEAT(RANDOM_BYTES(1000), 4) FROM seq_1_to_4000;
         DELIMITER //
         CREATE PROCEDURE bank.work(first INT, many INT) BEGIN
            DECLARE n INT DEFAULT first;
            WHILE n < first + many DO
                START TRANSACTION;
                UPDATE bank.accounts SET money = money - 1 WHERE id = 1 + n % 1000;
                INSERT INTO notes.done VALUES (n, RANDOM_BYTES(200));
                UPDATE bank.accounts SET money = money + 1 WHERE id = 1 + (n * 7) % 1000;
                COMMIT;
                SET n = n + 1;
            END WHILE; END//",
    );
    let is_over = AtomicBool::new(false);
    let (report, before) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut n = 0;
            while !is_over.load(Ordering::SeqCst) {
                mariadb.execute(&format!("CALL bank.work({n}, 200)"));
                n += 200;
            }
        });
        let count = || mariadb.query("SELECT COUNT(*) FROM notes.done").trim().parse::<u64>().unwrap();
        while count() < 100 {
            std::thread::yield_now();
        }
        let before = count();
        let backed_up = back_up(&mariadb, &vault);
        is_over.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        (backed_up.unwrap().0, before)
    });
    let clone = Clone::start(&vault, report.tree.unwrap());
    let row = clone.query("SELECT COUNT(*), MAX(n) + 1, MIN(n) FROM notes.done");
    let numbers: Vec<u64> = row.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(numbers[0] >= before, "{} of {before} transactions are there", numbers[0]);
    assert_eq!((numbers[0], 0), (numbers[1], numbers[2]), "there is a hole in history");
    assert_eq!(clone.query("SELECT SUM(money) FROM bank.accounts").trim(), "100000");
    // The same history, run on the source, gives the same accounts.
    let replayed = "SELECT SUM(a.money <> 100 - (SELECT COUNT(*) FROM notes.done d WHERE 1 + d.n % 1000 = a.id) \
         + (SELECT COUNT(*) FROM notes.done d WHERE 1 + (d.n * 7) % 1000 = a.id)) FROM bank.accounts a";
    assert_eq!(clone.query(replayed).trim(), "0");
    content(&|sql| clone.query(sql));
}

#[test]
fn tables_that_come_and_go_meanwhile_leave_a_server_that_is_sound() {
    let (mariadb, vault) = (MariaDb::start(), vault());
    mariadb.execute(
        "CREATE DATABASE a; USE a; CREATE TABLE a.filling (x BLOB); INSERT INTO a.filling SELECT REPEAT(RANDOM_BYTES(1000), 4) \
         FROM seq_1_to_8000; CREATE TABLE a.parts (id INT) ENGINE=MyISAM PARTITION BY HASH (id) PARTITIONS 3; \
         INSERT INTO a.parts VALUES (1), (2), (3)",
    );
    // Names that come again within a moment are what mariadb-backup itself fails on.
    let round = |n: u64| {
        format!(
            "CREATE TABLE a.x{n} (x INT) ENGINE=Aria; INSERT INTO a.x{n} VALUES (1);
             CREATE TABLE a.y{n} (x INT) ENGINE=MyISAM; INSERT INTO a.y{n} VALUES (2); RENAME TABLE a.y{n} TO a.z{n};
             CREATE TABLE a.i{n} (x INT); INSERT INTO a.i{n} VALUES (4); CREATE DATABASE b{n};
             CREATE TABLE b{n}.q (x INT) ENGINE=Aria; ALTER TABLE a.x{n} ADD COLUMN y INT; TRUNCATE TABLE a.z{n};
             INSERT INTO a.z{n} VALUES (3); ALTER TABLE a.parts COALESCE PARTITION 1;
             ALTER TABLE a.parts ADD PARTITION PARTITIONS 1; RENAME TABLE a.z{n} TO b{n}.z; DROP TABLE a.i{n};
             DROP TABLE a.x{n}; DROP DATABASE b{n}"
        )
    };
    let is_over = AtomicBool::new(false);
    let backed_up = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !is_over.load(Ordering::SeqCst) {
                mariadb.execute(&round(rounds));
                rounds += 1;
            }
            rounds
        });
        let backed_up = back_up(&mariadb, &vault);
        is_over.store(true, Ordering::SeqCst);
        assert!(writer.join().unwrap() > 0);
        backed_up
    });
    let clone = Clone::start(&vault, backed_up.unwrap().0.tree.unwrap());
    content(&|sql| clone.query(sql));
    assert_eq!(clone.query("SELECT SUM(id) FROM a.parts").trim(), "6");
    assert_eq!(clone.query("SELECT COUNT(*) FROM a.filling").trim(), "8000");
}

#[test]
fn a_backup_during_which_another_log_of_aria_begins_is_none_and_every_other_is_sound() {
    // The smallest log there can be, so that the server goes on to others all the time.
    let (mariadb, vault) = (MariaDb::start_with(&["--aria-log-file-size=8M"]), vault());
    mariadb.execute(
        "CREATE DATABASE a; USE a; CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, x BLOB) ENGINE=Aria \
         TRANSACTIONAL=1; CREATE TABLE filling (x BLOB); INSERT INTO filling SELECT REPEAT(RANDOM_BYTES(1000), 4) \
         FROM seq_1_to_12000",
    );
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                mariadb.execute(
                    "INSERT INTO a.t (x) SELECT x FROM a.filling LIMIT 500; DELETE FROM a.t LIMIT 300",
                );
            }
        });
        // One that ends between two logs is as good as any.
        let refused = loop {
            match back_up(&mariadb, &vault) {
                Ok((stored, _)) => is_sound(&Clone::start(&vault, stored.tree.unwrap())),
                Err(refused) => break refused,
            }
        };
        is_over.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        assert_eq!(refused.kind, SqlErrorKind::Unsupported, "{refused:?}");
        assert!(refused.to_string().contains("another log of Aria"), "{refused}");
    });
    let (stored, _) = back_up(&mariadb, &vault).unwrap();
    let clone = Clone::start(&vault, stored.tree.unwrap());
    is_sound(&clone);
    let count = "SELECT COUNT(*), SUM(id) FROM a.t";
    assert_eq!(clone.query(count), mariadb.query(count));
}

fn is_sound(clone: &Clone) {
    content(&|sql| clone.query(sql));
}

#[test]
fn a_second_backup_stores_little_more_than_what_has_changed() {
    let (mariadb, vault) = (MariaDb::start(), vault());
    mariadb.execute(
        "CREATE DATABASE a; USE a; CREATE TABLE a.t (id INT PRIMARY KEY, word INT, filling BLOB);
         INSERT INTO a.t SELECT seq, 0, CONCAT(RANDOM_BYTES(1024), RANDOM_BYTES(1024),
            RANDOM_BYTES(1024), RANDOM_BYTES(1024), RANDOM_BYTES(1024), RANDOM_BYTES(1024)) FROM seq_1_to_16000;
         SET GLOBAL innodb_max_dirty_pages_pct = 0; FLUSH TABLES a.t FOR EXPORT; UNLOCK TABLES",
    );
    let (first, summary) = back_up(&mariadb, &vault).unwrap();
    let first_added = first.bytes_added;
    // Two rows are on a page: 80 of 8000 pages.
    mariadb.execute("UPDATE a.t SET word = 1 WHERE id % 200 = 0; FLUSH TABLES a.t FOR EXPORT; UNLOCK TABLES");
    let (second, _) = back_up(&mariadb, &vault).unwrap();
    println!("{} bytes streamed, {first_added} and then {} added", summary.bytes, second.bytes_added);
    assert!(summary.bytes > 90_000_000 && first_added > 80_000_000);
    assert!(second.bytes_added * 100 < first_added * 6, "{} of {first_added}", second.bytes_added);
}

#[test]
fn a_table_that_lies_elsewhere_is_named_before_anything_begins() {
    let elsewhere = tempfile::Builder::new().prefix("lifeboat-my-").tempdir_in("/tmp").unwrap();
    std::os::unix::fs::chown(elsewhere.path(), user("mysql"), None).unwrap();
    let (mariadb, vault) = (MariaDb::start(), vault());
    let folder = elsewhere.path().display();
    mariadb.execute(&format!("CREATE DATABASE a; CREATE TABLE a.far (x INT) DATA DIRECTORY='{folder}'"));
    let refused = back_up(&mariadb, &vault).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Unsupported);
    assert!(refused.to_string().contains("a.far"), "{refused}");
}

fn user(name: &str) -> Option<u32> {
    lifeboat_adapters::child::SystemUser::find(name).unwrap().map(|user| user.uid)
}
