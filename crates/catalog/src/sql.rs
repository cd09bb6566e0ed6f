//! The two databases behind one face: statements with `$1`, `$2`, values that are numbers or texts, rows by name.
//!
//! SQLite has one connection that writes, whose transactions take the write lock at their beginning, and some that
//! only read; so a reader never waits and a writer never finds its view out of date half-way.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions, PgRow, PgTransaction};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    SqliteTransaction,
};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::error::CatalogErrorKind;
use crate::{CatalogError, Place, Result};

const READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;
const OLDEST_SQLITE: &[u32] = &[3, 51, 3];
/// Pages that one connection of SQLite keeps, in KiB, of a catalog that has as many: two megabytes, which it keeps without
/// being told, are read again for every total of a large one. No memory map: there a disk that fails kills the server.
const SQLITE_CACHE_KIB: &str = "-65536";
const ASKED_AFTER_IDLE: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) enum Db {
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    Postgres(PgPool),
}

/// A value to be put in the place of `$1`, `$2`, …
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Number(Option<i64>),
    Text(Option<String>),
}

/// A statement and its values.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

pub(crate) fn sql(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(crate) fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.values.extend(values);
        self
    }
}

/// Builds a statement of any of the databases.
macro_rules! query {
    ($statement:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($statement.text.into_owned()));
        for value in $statement.values {
            query = match value {
                Value::Number(number) => query.bind(number),
                Value::Text(text) => query.bind(text),
            };
        }
        query
    }};
}

impl Db {
    pub(crate) async fn open(place: &Place) -> Result<Self> {
        match place {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .foreign_keys(true)
                    .pragma("cache_size", SQLITE_CACHE_KIB)
                    .busy_timeout(BUSY);
                // Nobody can close these connections but us: there is nothing to ask them before each use.
                let pool = SqlitePoolOptions::new().test_before_acquire(false);
                let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
                let readers = pool.max_connections(READERS).connect_with(options).await?;
                let db = Self::Sqlite { writer, readers };
                db.refuse_old_sqlite().await?;
                Ok(db)
            }
            Place::Postgres(url) => {
                let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS);
                // A connection that has just answered needs not be asked whether it would.
                let pool = pool.test_before_acquire(false).before_acquire(|connection, used| {
                    Box::pin(async move {
                        if used.idle_for > ASKED_AFTER_IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                });
                Ok(Self::Postgres(pool.connect(url).await?))
            }
        }
    }

    /// Older ones can damage a file in WAL mode when two connections meet at its reset.
    async fn refuse_old_sqlite(&self) -> Result<()> {
        let row = self.row(sql("SELECT sqlite_version() AS version")).await?;
        let version = row.map_or(Ok(String::new()), |row| row.text("version"))?;
        let numbers: Vec<u32> = version.split('.').map_while(|number| number.parse().ok()).collect();
        if numbers.as_slice() >= OLDEST_SQLITE {
            return Ok(());
        }
        let what = format!(
            "this program was built with SQLite {version}, which can damage the catalog: it needs 3.51.3"
        );
        Err(CatalogError::new(CatalogErrorKind::Internal, what))
    }

    /// The rows of a statement that changes nothing.
    pub(crate) async fn rows(&self, statement: Statement) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                query!(statement).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                query!(statement).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row of a statement that changes nothing.
    pub(crate) async fn row(&self, statement: Statement) -> Result<Option<Row>> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs one statement that changes something; returns how many rows it changed.
    pub(crate) async fn change(&self, statement: Statement) -> Result<u64> {
        Ok(match self {
            Self::Sqlite { writer, .. } => query!(statement).execute(writer).await?.rows_affected(),
            Self::Postgres(pool) => query!(statement).execute(pool).await?.rows_affected(),
        })
    }

    /// Runs one statement that changes something and returns rows.
    pub(crate) async fn change_returning(&self, statement: Statement) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                query!(statement).fetch_all(writer).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(pool) => {
                query!(statement).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Begins a transaction that will write. Dropped without a commit it never was.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Whether two transactions may write at the same time.
    pub(crate) fn has_many_writers(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Appended to the selection of a row that is about to be changed, so that two do not pick the same.
    pub(crate) fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }
}

pub(crate) enum Tx {
    Sqlite(SqliteTransaction<'static>),
    Postgres(PgTransaction<'static>),
}

impl Tx {
    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite(tx) => {
                query!(statement).fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(tx) => {
                query!(statement).fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(crate) async fn change(&mut self, statement: Statement) -> Result<u64> {
        Ok(match self {
            Self::Sqlite(tx) => query!(statement).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => query!(statement).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs several statements at once, which take no values.
    pub(crate) async fn script(&mut self, text: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(drop)?,
            Self::Postgres(tx) => sqlx::raw_sql(text).execute(&mut **tx).await.map(drop)?,
        }
        Ok(())
    }

    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// One row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn number(&self, column: &'static str) -> Result<i64> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn maybe_number(&self, column: &'static str) -> Result<Option<i64>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn maybe_text(&self, column: &'static str) -> Result<Option<String>> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.number(column)? != 0)
    }

    /// A count that is never negative.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64> {
        let number = self.number(column)?;
        u64::try_from(number).map_err(|_| CatalogError::strange(column, &number.to_string()))
    }

    pub(crate) fn maybe_count(&self, column: &'static str) -> Result<Option<u64>> {
        let Some(number) = self.maybe_number(column)? else { return Ok(None) };
        u64::try_from(number).map(Some).map_err(|_| CatalogError::strange(column, &number.to_string()))
    }

    /// A text that is one of the types that know how to be parsed.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, column: &'static str) -> Result<T> {
        let text = self.text(column)?;
        text.parse().map_err(|_| CatalogError::strange(column, &text))
    }

    pub(crate) fn maybe_parsed<T: std::str::FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        let Some(text) = self.maybe_text(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| CatalogError::strange(column, &text))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| CatalogError::strange(column, &text))
    }
}

/// JSON for a column.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("what is stored has text as keys")
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(Some(number.into()))
    }
}

impl From<Option<u32>> for Value {
    fn from(number: Option<u32>) -> Self {
        Self::Number(number.map(i64::from))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Number(Some(flag.into()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<lifeboat_model::time::Millis> for Value {
    fn from(time: lifeboat_model::time::Millis) -> Self {
        Self::Number(Some(time.0))
    }
}

impl From<Option<lifeboat_model::time::Millis>> for Value {
    fn from(time: Option<lifeboat_model::time::Millis>) -> Self {
        Self::Number(time.map(|time| time.0))
    }
}
