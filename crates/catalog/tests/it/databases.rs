//! Catalogs to test with: a file, or a database of a PostgreSQL that lives as long as the test.

use std::future::Future;
use std::pin::Pin;

use lifeboat_catalog::{Catalog, Place};
use lifeboat_testkit::postgres::Postgres;
use tempfile::TempDir;

/// Something that is true of a new catalog.
pub(crate) type Fact = fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs facts on both databases: each for itself on SQLite, all of them one after another on one PostgreSQL, because
/// that takes a second to start.
macro_rules! on_both_databases {
    ($($fact:ident)*) => {
        mod sqlite {
            $(
                #[test]
                fn $fact() {
                    crate::databases::on_sqlite(|place| Box::pin(super::$fact(place)));
                }
            )*
        }

        #[test]
        fn all_of_it_is_true_on_postgres() {
            crate::databases::on_postgres(&[$((stringify!($fact), |place| Box::pin($fact(place)))),*]);
        }
    };
}
pub(crate) use on_both_databases;

pub(crate) fn on_sqlite(fact: Fact) {
    let folder = TempDir::new().unwrap();
    runtime().block_on(fact(Place::Sqlite(folder.path().join("catalog.sqlite"))));
}

pub(crate) fn on_postgres(facts: &[(&str, Fact)]) {
    let postgres = Postgres::start();
    for (number, (name, fact)) in facts.iter().enumerate() {
        eprintln!("{name}");
        let place = Place::Postgres(postgres.database(&format!("fact_{number}")));
        runtime().block_on(fact(place));
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub(crate) async fn open(place: &Place) -> Catalog {
    Catalog::open(place).await.unwrap()
}

/// Runs SQL past the catalog.
pub(crate) async fn execute(place: &Place, script: String) {
    let script = sqlx::AssertSqlSafe(script);
    match place {
        Place::Sqlite(file) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(script).execute(&pool).await.unwrap();
            pool.close().await;
        }
        Place::Postgres(url) => {
            let pool = sqlx::PgPool::connect(url).await.unwrap();
            sqlx::raw_sql(script).execute(&pool).await.unwrap();
            pool.close().await;
        }
    }
}
