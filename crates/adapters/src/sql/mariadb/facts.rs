//! What a server is, what it holds, and what is missing before it can be backed up.
//!
//! Everything that is missing is found in one go and said in words that tell what to do: the grant to give, the
//! package to install. Nothing here changes the server.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lifeboat_repository::Ctx;

use super::client::{Client, failure, find};
use super::names::{OF_THE_SERVER, identifier};
use crate::child::Program;
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// The oldest version with `BACKUP STAGE` and the rights it goes by.
const OLDEST: (u32, u32) = (10, 5);
/// What `mariadb-backup` can bring along besides InnoDB.
const ENGINES: &str = "'InnoDB','Aria','MyISAM','MRG_MyISAM','CSV','ARCHIVE','MEMORY','SEQUENCE'";
/// Settings without which the files of a server are not understood, or its tables not found.
pub const SETTINGS: [&str; 14] = [
    "aria_log_file_size",
    "character_set_server",
    "collation_server",
    "explicit_defaults_for_timestamp",
    "innodb_checksum_algorithm",
    "innodb_data_file_path",
    "innodb_default_row_format",
    "innodb_file_per_table",
    "innodb_log_file_size",
    "innodb_page_size",
    "innodb_undo_tablespaces",
    "lower_case_table_names",
    "max_allowed_packet",
    "sql_mode",
];

/// The rights that are asked for here, which is what `ALL PRIVILEGES` is here.
const ALL: [&str; 8] =
    ["BINLOG MONITOR", "EVENT", "LOCK TABLES", "PROCESS", "RELOAD", "SELECT", "SHOW VIEW", "TRIGGER"];

/// How a server is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Physical,
    Logical,
}

/// A database and about how much is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub bytes: u64,
}

/// Something that is missing: what it is, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub kind: SqlErrorKind,
    pub text: String,
}

/// What a server is and holds.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As the server says it: `10.11.6-MariaDB-log`.
    pub version: String,
    /// Those of users, by name.
    pub databases: Vec<Database>,
    pub total_bytes: u64,
    /// The bytes of the files of the server; 0 where they cannot be seen.
    pub file_bytes: u64,
    pub datadir: PathBuf,
    /// Tables that take no part in transactions, as `database.table`, and their engine.
    pub loose_tables: Vec<(String, String)>,
    /// Those of [`SETTINGS`] that the server has.
    pub settings: Vec<(String, String)>,
    lacks_physical: Vec<Lack>,
    lacks_logical: Vec<Lack>,
}

impl Facts {
    /// Connects and looks.
    pub fn read(endpoint: &Endpoint, ctx: &Ctx) -> Result<Self> {
        let client = Client::new(endpoint)?;
        let version = client.variable("version", ctx)?;
        if !is_supported(&version) {
            let what = format!(
                "{} is MySQL or too old a MariaDB ({version}); MariaDB {}.{} or later is needed",
                client.server(),
                OLDEST.0,
                OLDEST.1
            );
            return Err(SqlError::new(SqlErrorKind::Unsupported, what));
        }
        let datadir = PathBuf::from(client.variable("datadir", ctx)?);
        let mut facts = Self {
            databases: databases(&client, ctx)?,
            total_bytes: 0,
            file_bytes: file_bytes(&datadir),
            loose_tables: tables_where(&client, "engine <> 'InnoDB' AND engine <> 'SEQUENCE'", ctx)?,
            settings: settings(&client, ctx)?,
            lacks_physical: Vec::new(),
            lacks_logical: Vec::new(),
            version,
            datadir,
        };
        facts.total_bytes = facts.databases.iter().map(|database| database.bytes).sum();
        facts.lacks_physical = lacks_physical(&client, &facts, endpoint, ctx)?;
        facts.lacks_logical = lacks_logical(&client, ctx)?;
        Ok(facts)
    }

    /// What is missing for this method; nothing when it can begin.
    pub fn lacks(&self, method: Method) -> &[Lack] {
        match method {
            Method::Physical => &self.lacks_physical,
            Method::Logical => &self.lacks_logical,
        }
    }

    /// Fails with all that is missing for this method.
    pub fn check(&self, method: Method) -> Result<()> {
        let lacks = self.lacks(method);
        let Some(first) = lacks.first() else { return Ok(()) };
        let texts: Vec<_> = lacks.iter().map(|lack| lack.text.as_str()).collect();
        Err(SqlError::new(first.kind, texts.join("; ")))
    }
}

fn is_supported(version: &str) -> bool {
    series(version).is_some_and(|series| series >= OLDEST) && version.contains("MariaDB")
}

/// The first two numbers of a version.
fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

fn of_the_server() -> String {
    OF_THE_SERVER.map(|name| format!("'{name}'")).join(",")
}

fn databases(client: &Client, ctx: &Ctx) -> Result<Vec<Database>> {
    let sql = format!(
        "SELECT s.schema_name, CAST(COALESCE(SUM(t.data_length + t.index_length), 0) AS UNSIGNED) \
         FROM information_schema.schemata s \
         LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name \
         WHERE s.schema_name NOT IN ({}) GROUP BY s.schema_name ORDER BY s.schema_name",
        of_the_server()
    );
    let rows = client.rows(&sql, ctx)?.into_iter();
    Ok(rows
        .filter_map(|row| {
            let [name, bytes] = <[String; 2]>::try_from(row).ok()?;
            Some(Database { name, bytes: bytes.parse().unwrap_or_default() })
        })
        .collect())
}

/// Names and engines of the users' tables of which this is true.
fn tables_where(client: &Client, condition: &str, ctx: &Ctx) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT CONCAT(table_schema, '.', table_name), engine FROM information_schema.tables \
         WHERE table_type <> 'VIEW' AND engine IS NOT NULL AND table_schema NOT IN ({}) AND {condition} \
         ORDER BY 1",
        of_the_server()
    );
    let rows = client.rows(&sql, ctx)?.into_iter();
    Ok(rows.filter_map(|row| <[String; 2]>::try_from(row).ok().map(<(String, String)>::from)).collect())
}

fn settings(client: &Client, ctx: &Ctx) -> Result<Vec<(String, String)>> {
    let names = SETTINGS.map(|name| format!("'{name}'")).join(",");
    let rows = client.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"), ctx)?;
    Ok(rows.into_iter().filter_map(|row| <[String; 2]>::try_from(row).ok().map(Into::into)).collect())
}

/// Of the files that a physical backup takes, two folders deep.
fn file_bytes(datadir: &Path) -> u64 {
    let is_taken = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        !(name.starts_with("ib_logfile") || name.starts_with("ibtmp") || name.contains("-bin."))
    };
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = |entry: &fs::DirEntry| {
        let file = entry.metadata().ok().filter(fs::Metadata::is_file);
        file.filter(|_| is_taken(&entry.path())).map_or(0, |file| file.len())
    };
    let below = |folder: &fs::DirEntry| entries(&folder.path()).map(|entry| bytes(&entry)).sum::<u64>();
    entries(datadir).map(|entry| if entry.path().is_dir() { below(&entry) } else { bytes(&entry) }).sum()
}

fn lacks_physical(client: &Client, facts: &Facts, endpoint: &Endpoint, ctx: &Ctx) -> Result<Vec<Lack>> {
    let mut lacks = Vec::new();
    let mut lack = |kind, text| lacks.push(Lack { kind, text });
    match backup_series(ctx) {
        Ok(found) if Some(found) == series(&facts.version) => {}
        Ok((major, minor)) => lack(
            SqlErrorKind::Program,
            format!(
                "mariadb-backup {major}.{minor} cannot back up the server, which is {}; install the one of that version",
                facts.version
            ),
        ),
        Err(error) => lack(error.kind, error.to_string()),
    }
    if let Some(text) = why_not_readable(client, facts, endpoint, ctx)? {
        lack(SqlErrorKind::Unsupported, text);
    }
    let (rights, _) = rights(client, ctx)?;
    let wanted = ["RELOAD", "PROCESS", "LOCK TABLES", "BINLOG MONITOR"];
    if let Some(text) = missing(&rights, &wanted, client, ctx)? {
        lack(SqlErrorKind::Rights, text);
    }
    let foreign = tables_where(client, &format!("engine NOT IN ({ENGINES})"), ctx)?;
    for (table, engine) in foreign {
        lack(
            SqlErrorKind::Unsupported,
            format!(
                "mariadb-backup does not bring along {table} of the engine {engine}; a logical backup does"
            ),
        );
    }
    for (table, _) in tables_where(client, "create_options LIKE '%DATA DIRECTORY%'", ctx)? {
        lack(
            SqlErrorKind::Unsupported,
            format!(
                "{table} lies outside of the folder of the server (DATA DIRECTORY); a logical backup takes it"
            ),
        );
    }
    if is_encrypted(client, ctx)? {
        lack(
            SqlErrorKind::Unsupported,
            "the server encrypts its files, and its keys are not in a backup; a logical backup takes its content"
                .to_owned(),
        );
    }
    Ok(lacks)
}

fn is_encrypted(client: &Client, ctx: &Ctx) -> Result<bool> {
    let is_on = |value: String| !["", "OFF", "0"].contains(&value.as_str());
    Ok(is_on(client.variable("innodb_encrypt_tables", ctx)?)
        || is_on(client.variable("innodb_encrypt_log", ctx)?)
        || is_on(client.variable("aria_encrypt_tables", ctx)?))
}

/// The version of `mariadb-backup`, which it tells on its standard error.
fn backup_series(ctx: &Ctx) -> Result<(u32, u32)> {
    let unknown = || SqlError::new(SqlErrorKind::Program, "mariadb-backup does not tell its version");
    let failed = |error| failure("cannot ask mariadb-backup for its version".to_owned(), error);
    let program = Program::new(find("mariadb-backup")?).args(["--no-defaults", "--version"]);
    let said = program.read(ctx).and_then(|reading| reading.finish(ctx)).map_err(failed)?;
    let version = said.split(' ').find(|word| word.contains("MariaDB") && word.contains('.'));
    version.and_then(series).ok_or_else(unknown)
}

/// Whether the files of the server are here, and ours to read.
fn why_not_readable(
    client: &Client,
    facts: &Facts,
    endpoint: &Endpoint,
    ctx: &Ctx,
) -> Result<Option<String>> {
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let there = client.variable("hostname", ctx)?;
    let is_here = endpoint.socket_path().is_some() || here == there;
    if !is_here {
        return Ok(Some(format!(
            "a physical backup reads the files of the server: Lifeboat must run on the machine of the server, which \
             is {there}, and not on {here}; a logical backup can be taken from here"
        )));
    }
    let control = facts.datadir.join("aria_log_control");
    Ok(File::open(&control).err().map(|error| {
        format!(
            "the files of the server in {} cannot be read ({error}): Lifeboat must run as root or as the system user \
             of the server, on its machine",
            facts.datadir.display()
        )
    }))
}

fn lacks_logical(client: &Client, ctx: &Ctx) -> Result<Vec<Lack>> {
    let mut lacks = Vec::new();
    for name in ["mariadb", "mariadb-dump"] {
        if let Err(error) = find(name) {
            lacks.push(Lack { kind: error.kind, text: error.to_string() });
        }
    }
    let (global, by_database) = rights(client, ctx)?;
    let wanted = ["SELECT", "SHOW VIEW", "TRIGGER", "EVENT"];
    let has_all = |held: &BTreeSet<String>| wanted.iter().all(|right| held.contains(*right));
    if has_all(&global) || (!by_database.is_empty() && by_database.iter().all(|(_, held)| has_all(held))) {
        return Ok(lacks);
    }
    let texts = missing(&global, &wanted, client, ctx)?;
    lacks.extend(texts.into_iter().map(|text| Lack { kind: SqlErrorKind::Rights, text }));
    Ok(lacks)
}

type Rights = BTreeSet<String>;

/// The rights we hold everywhere, and those in each database that is seen, those from everywhere included.
fn rights(client: &Client, ctx: &Ctx) -> Result<(Rights, Vec<(String, Rights)>)> {
    // Those of the role that is on are told too.
    let grants: Vec<_> =
        client.column("SHOW GRANTS", ctx)?.iter().filter_map(|grant| grant_of(grant)).collect();
    let on = |is_scope: &dyn Fn(&str) -> bool| -> Rights {
        let held = grants.iter().filter(|(_, scope)| is_scope(scope));
        held.flat_map(|(rights, _)| rights.iter().cloned()).collect()
    };
    let global = on(&|scope| scope == "*.*");
    let sql = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ({})",
        of_the_server()
    );
    let databases = client.column(&sql, ctx)?.into_iter();
    let by_database = databases.map(|name| {
        let held = on(&|scope| scope == "*.*" || covers(scope, &name));
        (name, held)
    });
    let by_database = by_database.collect();
    Ok((global, by_database))
}

/// The rights and the scope of a line such as ``GRANT SELECT, EVENT ON `a`.* TO `jo`@`%` ``.
fn grant_of(line: &str) -> Option<(Vec<String>, String)> {
    let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (scope, _) = rest.split_once(" TO ")?;
    if rights == "ALL PRIVILEGES" {
        return Some((ALL.map(str::to_owned).to_vec(), scope.to_owned()));
    }
    Some((rights.split(", ").map(str::to_owned).collect(), scope.to_owned()))
}

/// Whether a scope is all of a database, or of all that begin as it.
fn covers(scope: &str, database: &str) -> bool {
    let Some(pattern) = scope.strip_suffix(".*") else { return false };
    let pattern = pattern.trim_matches('`').replace("``", "`").replace("\\_", "_").replace("\\%", "%");
    pattern == database || pattern.strip_suffix('%').is_some_and(|begin| database.starts_with(begin))
}

/// One sentence for all the rights that are not held everywhere.
fn missing(held: &Rights, wanted: &[&str], client: &Client, ctx: &Ctx) -> Result<Option<String>> {
    let missing: Vec<_> = wanted.iter().copied().filter(|right| !held.contains(*right)).collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let us = client.column("SELECT CURRENT_USER()", ctx)?.concat();
    let (user, host) = us.rsplit_once('@').unwrap_or((&us, "%"));
    let rights = missing.join(", ");
    Ok(Some(format!(
        "the user lacks {rights}: GRANT {rights} ON *.* TO {}@{};",
        identifier(user),
        identifier(host)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        let (rights, scope) = grant_of("GRANT SELECT, SHOW VIEW ON `a\\_b`.* TO `jo`@`%`").unwrap();
        assert_eq!(
            (rights, scope.as_str()),
            (vec!["SELECT".to_owned(), "SHOW VIEW".to_owned()], "`a\\_b`.*")
        );
        assert!(covers(&scope, "a_b") && !covers(&scope, "axb") && covers("`a%`.*", "abc"));
        assert!(!covers("`a`.`t`", "a") && !covers("*.*", "a"));
        assert_eq!(grant_of("GRANT ALL PRIVILEGES ON *.* TO `x`@`y`").unwrap().0.len(), ALL.len());
        assert_eq!(grant_of("GRANT `keeper` TO `jr`@`localhost`"), None);
    }

    #[test]
    fn versions_are_told_apart() {
        for (version, is_right) in [
            ("10.11.19-MariaDB-0+deb12u1-log", true),
            ("11.4.2-MariaDB", true),
            ("10.4.34-MariaDB", false),
            ("8.0.36", false),
            ("", false),
        ] {
            assert_eq!(is_supported(version), is_right, "{version}");
        }
    }
}
