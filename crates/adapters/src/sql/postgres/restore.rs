//! Dumps back into a running server: whole databases, and single tables into a database that is there.
//!
//! Everything is first restored into a scratch database, `lifeboat_scratch_<number>`. A whole database then gets its
//! name, which is the moment it becomes visible. Tables are renamed there with their indexes and sequences and go over
//! in one transaction. Nothing that exists is overwritten. The scratch database is dropped in the end, also on failure;
//! what a crash has left is dropped by the next restore: its number is no longer locked by anybody. What is about to
//! get its name is noted first, so an attempt that follows a crash finds out whether that has happened.

use std::io::{self, Read, Write};

use lifeboat_repository::Ctx;
use postgres_protocol::escape::{escape_identifier as ident, escape_literal as literal};
use serde::{Deserialize, Serialize};

use super::archive::Contents;
use super::check::{Server, text};
use super::connection::{Connection, Purpose};
use super::logical::{Dump, copy, program};
use super::programs::{self, client, failed};
use super::rename::{self, Table};
use super::scratch::{self, Scratch};
use crate::child::Program;
use crate::endpoint::Endpoint;
use crate::sql::Journal;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// A table to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChoice {
    /// `schema.table`, or `table` where that is clear.
    pub name: String,
    /// What it is to be called, if not so; in its own schema unless another is named.
    pub new_name: Option<String>,
}

/// Tables that are about to be there: after this number of a transaction, all of them through one.
#[derive(Deserialize, Serialize)]
struct Coming {
    transaction: i64,
    /// Schema and name of each.
    tables: Vec<(String, String)>,
}

/// Whether an earlier attempt at the same restore got as far as this database, or as these tables in it.
pub fn is_restored(
    (target, journal): (&Endpoint, &Journal),
    database: &str,
    choices: &[TableChoice],
    ctx: &Ctx,
) -> Result<bool> {
    if choices.is_empty() {
        let Some(id) = journal.get::<String>(&about(database, choices))? else { return Ok(false) };
        return Ok(id_of(&mut Server::connect(target, ctx)?, database)? == Some(id));
    }
    let Some(coming) = journal.get::<Coming>(&about(database, choices))? else { return Ok(false) };
    let mut connection = Connection::open(target, Purpose::Sql(database), ctx)?;
    let names: Vec<_> = coming
        .tables
        .iter()
        .map(|(schema, name)| format!("({}, {})", literal(schema), literal(name)))
        .collect();
    let rows = connection.query(&format!(
        "SELECT count(*), count(DISTINCT c.xmin::text), bool_and(txid_snapshot_xmax(txid_current_snapshot()) - age(c.xmin) >= {}) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE (n.nspname, c.relname) IN ({})",
        coming.transaction,
        names.join(", ")
    ))?;
    let all = coming.tables.len().to_string();
    Ok(rows.first().is_some_and(|row| text(row, 0) == all && text(row, 1) == "1" && text(row, 2) == "t"))
}

/// What a note is about.
fn about(database: &str, choices: &[TableChoice]) -> String {
    let names: Vec<_> = choices.iter().map(|choice| (&choice.name, &choice.new_name)).collect();
    serde_json::json!([database, names]).to_string()
}

fn id_of(server: &mut Server, database: &str) -> Result<Option<String>> {
    let rows = server.query(&format!("SELECT oid FROM pg_database WHERE datname = {}", literal(database)))?;
    Ok(rows.first().map(|row| text(row, 0).to_owned()))
}

/// Restores a whole database under the name `name`, which must be free.
pub fn restore_database(
    (target, journal): (&Endpoint, &Journal),
    mut dump: impl Read,
    name: &str,
    ctx: &Ctx,
) -> Result<()> {
    let mut server = Server::connect(target, ctx)?;
    if exists(&mut server, name)? {
        let text = format!("the database {name} exists already in {target}");
        return Err(SqlError::new(SqlErrorKind::Exists, text));
    }
    let (contents, head) = Contents::read(&mut dump)?;
    let scratch = Scratch::create(target, &mut server, &contents, ctx)?;
    let program = restorer(target, scratch.name(), &mut server, &contents, ctx)?;
    feed(program, &mut head.as_slice().chain(dump), ctx)?;
    settle(&mut server, &contents, scratch.name())?;
    journal.note(&about(name, &[]), &id_of(&mut server, scratch.name())?)?;
    server.query(&format!("ALTER DATABASE {} RENAME TO {}", ident(scratch.name()), ident(name)))?;
    scratch.keep();
    Ok(())
}

/// Gives the database its owner, as far as there is such a role, and its own settings.
fn settle(server: &mut Server, contents: &Contents, scratch: &str) -> Result<()> {
    let database = contents.database()?;
    let roles =
        server.query(&format!("SELECT 1 FROM pg_roles WHERE rolname = {}", literal(&database.owner)))?;
    if !roles.is_empty() {
        server.query(&format!("ALTER DATABASE {} OWNER TO {}", ident(scratch), ident(&database.owner)))?;
    }
    let properties = contents.entries.iter().filter(|entry| entry.kind == "DATABASE PROPERTIES");
    for line in properties.flat_map(|entry| entry.definition.lines()) {
        // Written for the name it had.
        let named = format!("ALTER DATABASE {} ", scratch::made_name(&database.definition)?);
        if let Some(setting) = line.strip_prefix(&named) {
            server.query(&format!("ALTER DATABASE {} {setting}", ident(scratch)))?;
        }
    }
    Ok(())
}

/// Restores single tables into the database `database`, which must be there; none of their names may be taken. Gives
/// the names they got.
pub fn restore_tables(
    (target, journal): (&Endpoint, &Journal),
    mut dump: impl Read,
    database: &str,
    choices: &[TableChoice],
    ctx: &Ctx,
) -> Result<Vec<String>> {
    let mut server = Server::connect(target, ctx)?;
    if !exists(&mut server, database)? {
        let text = format!("there is no database {database} in {target}");
        return Err(SqlError::new(SqlErrorKind::NotFound, text));
    }
    let (contents, head) = Contents::read(&mut dump)?;
    let mut tables = Vec::new();
    for choice in choices {
        tables.push(Table::chosen(contents.table(&choice.name)?, choice.new_name.as_deref(), &contents));
    }
    let mut ids: Vec<_> = tables.iter().map(|table| table.id).collect();
    let selected = contents.selection(&mut ids);
    // Partitions come with their table and keep their names.
    let parts = ids.get(tables.len()..).unwrap_or_default();
    let parts = contents.entries.iter().filter(|entry| parts.contains(&entry.id));
    tables.extend(parts.map(|entry| Table::chosen(entry, None, &contents)));
    must_be_free(target, database, &tables, ctx)?;

    let scratch = Scratch::create(target, &mut server, &contents, ctx)?;
    let mut list =
        tempfile::NamedTempFile::new().map_err(|error| SqlError::io("cannot make a file", error))?;
    let entries = selected.iter().filter_map(|at| contents.entries.get(*at));
    let ids: String = entries.map(|entry| format!("{};\n", entry.id)).collect();
    list.write_all(ids.as_bytes()).map_err(|error| SqlError::io("cannot write a file", error))?;
    let program = restorer(target, scratch.name(), &mut server, &contents, ctx)?;
    feed(program.arg("--use-list").arg(list.path()), &mut head.as_slice().chain(dump), ctx)?;
    rename::rename(target, scratch.name(), &tables, ctx)?;

    let mut program = program_of(target, scratch.name(), &mut server, ctx)?;
    for table in &tables {
        program = program.arg(format!("--table={}", table.pattern()));
    }
    let transaction = next_transaction(&mut server)?;
    let coming = tables.iter().map(|table| (table.new_schema.clone(), table.new_name.clone())).collect();
    journal.note(&about(database, choices), &Coming { transaction, tables: coming })?;
    let mut moved = Dump::run(program, ctx)?;
    let into = restorer(target, database, &mut server, &contents, ctx)?.arg("--single-transaction");
    feed(into, &mut moved, ctx)?;
    moved.finish(ctx)?;
    Ok(tables.iter().map(Table::full_name).collect())
}

fn next_transaction(server: &mut Server) -> Result<i64> {
    let rows = server.query("SELECT txid_snapshot_xmax(txid_current_snapshot())")?;
    let number = rows.first().and_then(|row| text(row, 0).parse().ok());
    number.ok_or_else(|| SqlError::damaged("the server does not tell the number of a transaction"))
}

fn program_of(target: &Endpoint, database: &str, server: &mut Server, ctx: &Ctx) -> Result<Program> {
    program(target, database, server.major(), ctx)
}

pub(super) fn exists(server: &mut Server, database: &str) -> Result<bool> {
    let sql = format!("SELECT 1 FROM pg_database WHERE datname = {}", literal(database));
    Ok(!server.query(&sql)?.is_empty())
}

fn must_be_free(target: &Endpoint, database: &str, tables: &[Table], ctx: &Ctx) -> Result<()> {
    let mut connection = Connection::open(target, Purpose::Sql(database), ctx)?;
    for table in tables {
        let (schema, name) = (literal(&table.new_schema), literal(&table.new_name));
        let rows = connection.query(&format!(
            "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = {schema}), EXISTS (SELECT FROM pg_class \
             JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = {schema} AND relname = {name})"
        ))?;
        let row = rows.first().map(|row| (text(row, 0) == "t", text(row, 1) == "t"));
        let (kind, what) = match row {
            Some((true, false)) => continue,
            Some((true, true)) => (SqlErrorKind::Exists, format!("{} exists already", table.full_name())),
            _ => (SqlErrorKind::NotFound, format!("there is no schema {}", table.new_schema)),
        };
        return Err(SqlError::new(kind, format!("{what} in the database {database}")));
    }
    Ok(())
}

/// `pg_restore` into a database, as new as the dump and the server need.
fn restorer(
    target: &Endpoint,
    database: &str,
    server: &mut Server,
    contents: &Contents,
    ctx: &Ctx,
) -> Result<Program> {
    let path = programs::find("pg_restore", server.major().max(contents.major), ctx)?;
    let program = client(path, target, database, server.major())?;
    // A name among options could be taken for more than a name.
    let name = database.replace('\\', "\\\\").replace('\'', "\\'");
    Ok(program.args(["--exit-on-error", "--no-password"]).arg(format!("--dbname=dbname='{name}'")))
}

/// Writes a dump to a program, which says whether it was whole.
fn feed(program: Program, dump: &mut impl Read, ctx: &Ctx) -> Result<()> {
    let mut writing = program.write(ctx).map_err(failed)?;
    let mut is_open = true;
    let fed = copy(dump, |bytes| {
        // It may have all it needs before the end; whoever wrote the dump is heard to its end all the same.
        match if is_open { writing.write_all(bytes) } else { Ok(()) } {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => is_open = false,
            Err(error) if crate::patience::is_cancelled(&error) => return Err(cancelled()),
            Err(error) => return Err(SqlError::io("cannot write to pg_restore", error)),
            Ok(()) => {}
        }
        Ok(())
    });
    fed?;
    writing.finish(ctx).map(drop).map_err(failed)
}

fn cancelled() -> SqlError {
    SqlError::new(SqlErrorKind::Cancelled, "the operation was cancelled")
}
