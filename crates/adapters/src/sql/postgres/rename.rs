//! Tables get new names, and with them their indexes, their sequences and their statistics, whose names are taken by
//! those of the table they were once a copy of.

use lifeboat_repository::Ctx;
use postgres_protocol::escape::{escape_identifier as ident, escape_literal as literal};

use super::archive::{Contents, Entry};
use super::check::text;
use super::connection::{Connection, Purpose};
use crate::endpoint::Endpoint;
use crate::sql::error::Result;

/// Names are cut to this.
const NAME_BYTES: usize = 63;

/// A table, and what it is to be called.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) id: i64,
    schema: String,
    name: String,
    pub(super) new_schema: String,
    pub(super) new_name: String,
}

impl Table {
    pub(super) fn chosen(entry: &Entry, new_name: Option<&str>, contents: &Contents) -> Self {
        let is_schema = |name: &str| {
            name == "public"
                || contents.entries.iter().any(|entry| entry.kind == "SCHEMA" && entry.name == name)
        };
        let (new_schema, new_name) = match new_name.map(|name| name.split_once('.').unwrap_or(("", name))) {
            None => (entry.schema.as_str(), entry.name.as_str()),
            Some((schema, name)) if is_schema(schema) => (schema, name),
            Some(("", name)) => (entry.schema.as_str(), name),
            Some(_) => (entry.schema.as_str(), new_name.unwrap_or_default()),
        };
        let (new_schema, new_name) = (new_schema.to_owned(), cut(new_name.to_owned()));
        Self { id: entry.id, schema: entry.schema.clone(), name: entry.name.clone(), new_schema, new_name }
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.new_schema, self.new_name)
    }

    /// What `pg_dump --table` takes for exactly this one, under its new name.
    pub(super) fn pattern(&self) -> String {
        format!("{}.{}", ident(&self.new_schema).trim(), ident(&self.new_name).trim())
    }

    fn old(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// What a thing of the table is called then.
    fn renamed(&self, thing: &str) -> String {
        cut(match thing.strip_prefix(self.name.as_str()) {
            Some(rest) => format!("{}{rest}", self.new_name),
            None => format!("{}_{thing}", self.new_name),
        })
    }
}

fn cut(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name
}

/// Gives the tables of a scratch database their new names.
pub(super) fn rename(target: &Endpoint, database: &str, tables: &[Table], ctx: &Ctx) -> Result<()> {
    let mut connection = Connection::open(target, Purpose::Sql(database), ctx)?;
    for table in tables {
        if table.name != table.new_name {
            rename_things(&mut connection, table)?;
            let sql = format!("ALTER TABLE {} RENAME TO {}", table.old(), ident(&table.new_name));
            connection.query(&sql)?;
        }
        if table.schema != table.new_schema {
            let schema = ident(&table.new_schema);
            connection.query(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
            let (old, name) = (ident(&table.schema), ident(&table.new_name));
            connection.query(&format!("ALTER TABLE {old}.{name} SET SCHEMA {schema}"))?;
        }
    }
    Ok(())
}

fn rename_things(connection: &mut Connection, table: &Table) -> Result<()> {
    let class = format!("{}::regclass", literal(&table.old()));
    let things = connection.query(&format!(
        "SELECT 'INDEX', n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = indexrelid \
         JOIN pg_namespace n ON n.oid = relnamespace WHERE indrelid = {class} \
         UNION ALL SELECT 'SEQUENCE', n.nspname, c.relname FROM pg_depend d JOIN pg_class c ON c.oid = objid \
         JOIN pg_namespace n ON n.oid = relnamespace WHERE classid = 'pg_class'::regclass AND relkind = 'S' \
         AND refclassid = 'pg_class'::regclass AND refobjid = {class} AND deptype IN ('a', 'i') \
         UNION ALL SELECT 'STATISTICS', n.nspname, stxname FROM pg_statistic_ext \
         JOIN pg_namespace n ON n.oid = stxnamespace WHERE stxrelid = {class}"
    ))?;
    for thing in things {
        let (kind, schema, name) = (text(&thing, 0), text(&thing, 1), text(&thing, 2));
        let renamed = ident(&table.renamed(name));
        connection.query(&format!("ALTER {kind} {}.{} RENAME TO {renamed}", ident(schema), ident(name)))?;
    }
    Ok(())
}
