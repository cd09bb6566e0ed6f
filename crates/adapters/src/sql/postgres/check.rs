//! What a server is, and what it lacks for a backup: asked before one begins, and by people who set one up.
//!
//! Rights are tried rather than read wherever that leaves nothing behind: both sessions of a physical backup are
//! really opened, and a slot is really made; it goes with its session.

use lifeboat_repository::Ctx;

use super::base_backup::Tablespace;
use super::connection::{Connection, Purpose, user};
use super::messages::{Row, garbled};
use super::programs;
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// The oldest version that is known to be right, by its first number.
const OLDEST: u32 = 13;
const NEWEST: u32 = 17;
/// Settings that a clone needs as large as here.
const CLONE_SETTINGS: [&str; 6] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "shared_preload_libraries",
];

/// A database of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    /// Zero where the user may not know.
    pub bytes: u64,
}

/// What a server is.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As the server writes it: `15.14 (Debian 15.14-0+deb12u1)`.
    pub version: String,
    /// `150014`.
    pub version_number: u32,
    pub block_bytes: u64,
    pub wal_segment_bytes: u64,
    pub data_checksums: bool,
    pub is_standby: bool,
    /// Those that can be connected to and are no templates, by name.
    pub databases: Vec<Database>,
    pub tablespaces: Vec<Tablespace>,
    /// Of all databases.
    pub bytes: u64,
    /// None where the user may not know; a physical backup always does.
    pub system_identifier: Option<u64>,
    /// What a clone needs as it is here, by name.
    pub settings: Vec<(String, String)>,
}

/// Something that a backup needs and that is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub kind: SqlErrorKind,
    /// What is not so.
    pub what: String,
    /// What would make it so.
    pub remedy: String,
}

impl Lack {
    fn new(kind: SqlErrorKind, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { kind, what: what.into(), remedy: remedy.into() }
    }
}

impl From<Lack> for SqlError {
    fn from(lack: Lack) -> Self {
        Self::new(lack.kind, format!("{}: {}", lack.what, lack.remedy))
    }
}

/// A server that somebody has logged in to.
pub struct Server {
    endpoint: Endpoint,
    connection: Connection,
}

impl Server {
    /// Logs in to the database of the URL, or to `postgres`.
    pub fn connect(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        let database = database(endpoint);
        let connection = Connection::open(endpoint, Purpose::Sql(database), ctx)?;
        Ok(Self { endpoint: endpoint.clone(), connection })
    }

    /// The first number of the server's version.
    pub(super) fn major(&self) -> u32 {
        self.connection.major()
    }

    pub(super) fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        self.connection.query(sql)
    }

    /// What the server is.
    pub fn facts(&mut self) -> Result<Facts> {
        let settings = self.connection.query(
            "SELECT name, setting FROM pg_settings WHERE name IN ('server_version', 'server_version_num', \
             'block_size', 'wal_segment_size', 'data_checksums', 'max_connections', 'max_worker_processes', \
             'max_wal_senders', 'max_prepared_transactions', 'max_locks_per_transaction', \
             'shared_preload_libraries')",
        )?;
        let setting = |name: &str| settings.iter().find(|row| text(row, 0) == name).map(|row| text(row, 1));
        let number = |name| setting(name).and_then(|value| value.parse().ok()).ok_or_else(garbled);
        let clone =
            CLONE_SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), setting(name)?.to_owned())));
        let rows = self.connection.query(
            "SELECT datname, CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) ELSE 0 END \
             FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname",
        )?;
        let databases: Result<Vec<_>> = rows.iter().map(database_of).collect();
        let databases = databases?;
        let rows = self.connection.query(
            "SELECT oid, pg_tablespace_location(oid), \
             CASE WHEN has_tablespace_privilege(oid, 'CREATE') THEN pg_tablespace_size(oid) ELSE 0 END \
             FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid",
        )?;
        let tablespaces: Result<Vec<_>> = rows.iter().map(tablespace_of).collect();
        let rest = self.connection.query(
            "SELECT pg_is_in_recovery(), CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE') \
             THEN (pg_control_system()).system_identifier END",
        )?;
        let rest = rest.first().ok_or_else(garbled)?;
        Ok(Facts {
            version: setting("server_version").unwrap_or_default().to_owned(),
            version_number: u32::try_from(number("server_version_num")?).map_err(|_| garbled())?,
            block_bytes: number("block_size")?,
            wal_segment_bytes: number("wal_segment_size")?,
            data_checksums: setting("data_checksums") == Some("on"),
            is_standby: text(rest, 0) == "t",
            bytes: databases.iter().map(|database| database.bytes).sum(),
            databases,
            tablespaces: tablespaces?,
            system_identifier: text(rest, 1).parse().ok(),
            settings: clone.collect(),
        })
    }

    /// What a physical backup lacks; nothing when it can be made.
    pub fn lacks_for_physical(&mut self, ctx: &Ctx) -> Result<Vec<Lack>> {
        let mut lacks: Vec<_> = self.lack_of_version().into_iter().collect();
        let rows = self.connection.query(
            "SELECT current_setting('wal_level'), rolreplication OR rolsuper \
             FROM pg_roles WHERE rolname = current_user",
        )?;
        let row = rows.first().ok_or_else(garbled)?;
        if text(row, 0) == "minimal" {
            lacks.push(Lack::new(
                SqlErrorKind::Unsupported,
                "wal_level is minimal, which leaves out what a backup needs",
                "set wal_level = replica and restart the server",
            ));
        }
        let name = user(&self.endpoint);
        if text(row, 1) != "t" {
            lacks.push(Lack::new(
                SqlErrorKind::Rights,
                format!("the user {name} has no right to replicate"),
                format!("ALTER ROLE {} REPLICATION", postgres_protocol::escape::escape_identifier(name)),
            ));
        }
        // What is missing already is the reason for whatever else fails.
        if lacks.is_empty() {
            lacks.extend(self.try_sessions(ctx)?);
        }
        Ok(lacks)
    }

    fn lack_of_version(&self) -> Option<Lack> {
        let major = self.connection.major();
        (!(OLDEST..=NEWEST).contains(&major)).then(|| {
            let what = format!("the server is PostgreSQL {major}");
            Lack::new(
                SqlErrorKind::Unsupported,
                what,
                format!("versions {OLDEST} to {NEWEST} can be backed up"),
            )
        })
    }

    /// Opens both sessions of a backup and makes a slot.
    fn try_sessions(&self, ctx: &Ctx) -> Result<Option<Lack>> {
        let begin = || {
            let mut wal = Connection::open(&self.endpoint, Purpose::Replication, ctx)?;
            let _main = Connection::open(&self.endpoint, Purpose::Replication, ctx)?;
            let slot = format!("lifeboat_{}", wal.process());
            wal.query(&format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL"))
        };
        let Err(error) = begin() else { return Ok(None) };
        let words = error.to_string();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let remedy = match (error.kind, cause.as_str()) {
            (SqlErrorKind::Cancelled | SqlErrorKind::SourceGone, _) => return Err(error),
            (_, cause) if cause.contains("max_wal_senders") || cause.contains("53300") => {
                "two sessions must be free: raise max_wal_senders and restart the server"
            }
            (_, cause) if cause.contains("replication slot") => {
                "one slot must be free: raise max_replication_slots and restart the server"
            }
            (SqlErrorKind::Authentication, _) => {
                "pg_hba.conf must let the user in to the database \"replication\", for example by \
                 hostssl replication USER ADDRESS scram-sha-256"
            }
            _ => "the server must allow two sessions of replication",
        };
        Ok(Some(Lack::new(error.kind, format!("{words} ({cause})"), remedy)))
    }

    /// What a logical backup of `databases` (of all, where none is named) lacks; nothing when it can be made.
    pub fn lacks_for_logical(&mut self, databases: &[String], ctx: &Ctx) -> Result<Vec<Lack>> {
        let mut lacks: Vec<_> = self.lack_of_version().into_iter().collect();
        let major = self.connection.major();
        for name in ["pg_dump", "pg_dumpall", "pg_restore"] {
            match programs::find(name, major, ctx) {
                Err(error) if error.kind == SqlErrorKind::Program => {
                    let remedy = format!("install postgresql-client-{major}");
                    lacks.push(Lack::new(
                        error.kind,
                        format!("the program {name} of this version is missing"),
                        remedy,
                    ));
                }
                found => drop(found?),
            }
        }
        let existing = self.facts()?.databases;
        for name in databases.iter().filter(|name| !existing.iter().any(|database| &database.name == *name)) {
            let what = format!("there is no database {name}");
            lacks.push(Lack::new(SqlErrorKind::NotFound, what, "name one that is there"));
        }
        let wanted = existing.iter().filter(|one| databases.is_empty() || databases.contains(&one.name));
        for database in wanted {
            lacks.extend(self.lack_of_reading(&database.name, ctx)?);
        }
        Ok(lacks)
    }

    /// A table that the user may not read.
    fn lack_of_reading(&self, database: &str, ctx: &Ctx) -> Result<Option<Lack>> {
        let mut connection = match Connection::open(&self.endpoint, Purpose::Sql(database), ctx) {
            Err(error) if matches!(error.kind, SqlErrorKind::Rights | SqlErrorKind::Authentication) => {
                let what =
                    format!("the user {} may not connect to the database {database}", user(&self.endpoint));
                return Ok(Some(Lack::new(error.kind, what, "GRANT CONNECT, and an entry in pg_hba.conf")));
            }
            connection => connection?,
        };
        let rows = connection.query(
            "SELECT count(*), min(c.oid::regclass::text) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE relkind IN ('r', 'p', 'm', 'S') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' \
             AND NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT') \
             ELSE has_table_privilege(c.oid, 'SELECT') END",
        )?;
        let row = rows.first().ok_or_else(garbled)?;
        let (count, first) = (text(row, 0), text(row, 1));
        let name = user(&self.endpoint);
        Ok((count != "0").then(|| {
            let what = format!(
                "the user {name} may not read {count} tables of the database {database}, such as {first}"
            );
            let remedy =
                format!("GRANT pg_read_all_data TO {}", postgres_protocol::escape::escape_identifier(name));
            Lack::new(SqlErrorKind::Rights, what, remedy)
        }))
    }
}

/// The database of the URL, or the one that every server has.
pub(super) fn database(endpoint: &Endpoint) -> &str {
    if endpoint.path.is_empty() { "postgres" } else { &endpoint.path }
}

pub(super) fn text(row: &Row, at: usize) -> &str {
    row.get(at).and_then(|text| text.as_deref()).unwrap_or_default()
}

fn database_of(row: &Row) -> Result<Database> {
    let bytes = text(row, 1).parse().map_err(|_| garbled())?;
    Ok(Database { name: text(row, 0).to_owned(), bytes })
}

fn tablespace_of(row: &Row) -> Result<Tablespace> {
    let oid = text(row, 0).parse().map_err(|_| garbled())?;
    let bytes = text(row, 2).parse().map_err(|_| garbled())?;
    Ok(Tablespace { oid, location: text(row, 1).to_owned(), bytes })
}
