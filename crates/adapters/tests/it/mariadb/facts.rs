//! What is said of a server, and what of one that cannot be backed up.

use lifeboat_adapters::endpoint::Endpoint;
use lifeboat_adapters::sql::mariadb::{Facts, Method};
use lifeboat_adapters::sql::{SqlError, SqlErrorKind};
use lifeboat_repository::Ctx;
use lifeboat_testkit::mariadb::MariaDb;

use super::endpoint;

fn read(url: &str) -> Result<Facts, SqlError> {
    Facts::read(&url.parse::<Endpoint>().unwrap(), &Ctx::default())
}

#[test]
fn a_server_says_what_it_is_and_holds() {
    let mariadb = MariaDb::start();
    mariadb.execute(
        "CREATE DATABASE b; CREATE DATABASE `a ü`; USE b; CREATE TABLE b.t (x BLOB); \
         INSERT INTO b.t SELECT RANDOM_BYTES(1024) FROM seq_1_to_1000; CREATE TABLE b.loose (x INT) ENGINE=MyISAM; \
         ANALYZE TABLE b.t",
    );
    let facts = Facts::read(&endpoint(&mariadb), &Ctx::default()).unwrap();
    assert!(facts.version.contains("MariaDB"));
    let names: Vec<_> = facts.databases.iter().map(|database| database.name.as_str()).collect();
    assert_eq!(names, ["a ü", "b"]);
    assert!(facts.total_bytes > 1_000_000 && facts.file_bytes > 10_000_000);
    assert_eq!(facts.loose_tables, [("b.loose".to_owned(), "MyISAM".to_owned())]);
    assert!(facts.settings.contains(&("innodb_page_size".to_owned(), "16384".to_owned())));
    assert!(facts.datadir.join("ibdata1").exists());
    facts.check(Method::Physical).unwrap();
    facts.check(Method::Logical).unwrap();
}

#[test]
fn the_right_that_is_missing_is_named_with_its_grant() {
    let mariadb = MariaDb::start();
    mariadb.execute(
        "CREATE USER jo@localhost IDENTIFIED BY 'ge h#\\'eim'; GRANT SELECT, RELOAD ON *.* TO jo@localhost; \
         CREATE DATABASE a",
    );
    let facts = read(&mariadb.url_of("jo", "ge%20h%23'eim")).unwrap();
    let refused = facts.check(Method::Physical).unwrap_err();
    assert_eq!(refused.kind, SqlErrorKind::Rights);
    let grant = "GRANT PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO `jo`@`localhost`;";
    assert!(refused.to_string().contains(grant), "{refused}");
    let refused = facts.check(Method::Logical).unwrap_err();
    let grant = "GRANT SHOW VIEW, TRIGGER, EVENT ON *.* TO `jo`@`localhost`;";
    assert!(refused.to_string().contains(grant), "{refused}");
    mariadb.execute(
        "GRANT PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO jo@localhost; \
         GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON a.* TO jo@localhost",
    );
    let facts = read(&mariadb.url_of("jo", "ge%20h%23'eim")).unwrap();
    facts.check(Method::Physical).unwrap();
    facts.check(Method::Logical).unwrap();
}

#[test]
fn a_role_counts_as_its_member() {
    let mariadb = MariaDb::start();
    mariadb.execute(
        "CREATE ROLE keeper; GRANT ALL ON *.* TO keeper; CREATE USER jo@localhost; GRANT keeper TO jo@localhost; \
         SET DEFAULT ROLE keeper FOR jo@localhost",
    );
    read(&mariadb.url_of("jo", "")).unwrap().check(Method::Physical).unwrap();
}

#[test]
fn a_wrong_password_and_a_server_that_is_not_there_are_told_apart_and_nothing_shows_the_password() {
    let mariadb = MariaDb::start();
    mariadb.execute("CREATE USER jo@localhost IDENTIFIED BY 'right', jo@127.0.0.1 IDENTIFIED BY 'right'");
    let wrong = read(&mariadb.url_of("jo", "geheim")).unwrap_err();
    assert_eq!(wrong.kind, SqlErrorKind::Authentication);
    let nobody = read("mariadb://jo:geheim@localhost/?socket=/nowhere").unwrap_err();
    assert_eq!(nobody.kind, SqlErrorKind::Unreachable);
    for error in [wrong, nobody] {
        assert!(!format!("{error:?} {error}").contains("geheim"), "{error:?}");
    }
    let port = mariadb.port();
    assert!(read(&format!("mariadb://jo:right@127.0.0.1:{port}/")).is_ok());
}
