//! Out of a logical backup into a running server.
//!
//! Everything is read into a scratch database `lifeboat_<id>` first and moved from there when all of it has come,
//! tables in one statement. What is there already is never overwritten: that is looked at before anything begins, and
//! a rename refuses it again. The scratch goes at the end and on failure; a crash leaves it, and [`clean_up`] takes it
//! away.

use std::io::{BufReader, Read, Write};

use lifeboat_repository::Ctx;

use super::sieve::{Sifted, sift};
use super::tables::Scratch;
use super::{COMPLETE, Part, Source};
use crate::child::Writing;
use crate::endpoint::Endpoint;
use crate::patience::is_cancelled;
use crate::sql::error::{Result, SqlError, SqlErrorKind};
use crate::sql::mariadb::client::Client;
use crate::sql::mariadb::names::{self, OF_THE_SERVER, identifier, literal};

const BUFFER_BYTES: usize = 256 << 10;
/// Triggers and programs are not longer.
const MOST_PROGRAM_BYTES: u64 = 256 << 20;

/// A database to be restored, under its own name or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub new_name: String,
    /// Empty for all of it.
    pub tables: Vec<TableWanted>,
}

/// A table to be restored, under its own name or another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableWanted {
    pub name: String,
    pub new_name: String,
}

/// What was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// As `database.table`, under their new names.
    pub tables: Vec<String>,
    /// What single tables do not bring along: foreign keys, whose other tables may hold other rows by now, and triggers
    /// whose names are taken. One sentence each.
    pub left_out: Vec<String>,
}

/// Restores what is wanted. `id` names the scratch database: letters and digits, and no other restore has the same.
pub fn restore<S: Source + ?Sized>(
    endpoint: &Endpoint,
    source: &S,
    wanted: &[Wanted],
    id: &str,
    ctx: &Ctx,
) -> Result<Restored> {
    let client = Client::new(endpoint)?;
    let name = scratch_name(id)?;
    wanted.iter().try_for_each(check_names)?;
    wanted.iter().try_for_each(|database| refuse_existing(&client, database, ctx))?;
    let mut restored = Restored::default();
    for database in wanted {
        let restoring = Restoring { client: &client, source, scratch: &name };
        client.execute(&format!("CREATE DATABASE {}", identifier(&name)), ctx)?;
        let done = restoring.database(database, &mut restored, ctx);
        // Also after a cancel, which would end this too.
        let dropped = drop_database(&client, &name, &Ctx::default());
        done?;
        dropped?;
    }
    Ok(restored)
}

/// Takes away what a crash may have left of a restore.
pub fn clean_up(endpoint: &Endpoint, id: &str, ctx: &Ctx) -> Result<()> {
    drop_database(&Client::new(endpoint)?, &scratch_name(id)?, ctx)
}

fn drop_database(client: &Client, name: &str, ctx: &Ctx) -> Result<()> {
    client.execute(&format!("SET foreign_key_checks = 0; DROP DATABASE IF EXISTS {}", identifier(name)), ctx)
}

fn scratch_name(id: &str) -> Result<String> {
    let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if id.is_empty() || id.len() > 40 || !id.chars().all(is_plain) {
        let what =
            format!("{id:?} cannot name a scratch database: lower-case letters and digits, 40 at most");
        return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
    }
    Ok(format!("lifeboat_{id}"))
}

fn check_names(wanted: &Wanted) -> Result<()> {
    names::check(&wanted.name)?;
    names::check(&wanted.new_name)?;
    if OF_THE_SERVER.contains(&wanted.new_name.to_lowercase().as_str()) {
        let what = format!("{} belongs to MariaDB and is not restored into", wanted.new_name);
        return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
    }
    for (at, table) in wanted.tables.iter().enumerate() {
        names::check(&table.name)?;
        names::check(&table.new_name)?;
        let is_same = |other: &&TableWanted| other.new_name == table.new_name || other.name == table.name;
        if wanted.tables.iter().skip(at + 1).find(is_same).is_some() {
            let what = format!("the table {} is asked for twice, or two under one name", table.name);
            return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
        }
    }
    Ok(())
}

fn exists(client: &Client, database: &str, ctx: &Ctx) -> Result<bool> {
    let sql = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = {}", literal(database));
    Ok(!client.column(&sql, ctx)?.is_empty())
}

fn refuse_existing(client: &Client, wanted: &Wanted, ctx: &Ctx) -> Result<()> {
    let refused = |what: String| Err(SqlError::new(SqlErrorKind::Exists, what));
    if wanted.tables.is_empty() {
        return match exists(client, &wanted.new_name, ctx)? {
            true => refused(format!(
                "the database {} is there already and is not overwritten; restore it under another name",
                wanted.new_name
            )),
            false => Ok(()),
        };
    }
    let new_names: Vec<_> = wanted.tables.iter().map(|table| literal(&table.new_name)).collect();
    let sql = format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_name IN ({})",
        literal(&wanted.new_name),
        new_names.join(", ")
    );
    match client.column(&sql, ctx)?.first() {
        Some(table) => refused(format!(
            "the table {}.{table} is there already and is not overwritten; restore it under another name",
            wanted.new_name
        )),
        None => Ok(()),
    }
}

struct Restoring<'a, S: ?Sized> {
    client: &'a Client,
    source: &'a S,
    scratch: &'a str,
}

impl<S: Source + ?Sized> Restoring<'_, S> {
    fn database(&self, wanted: &Wanted, restored: &mut Restored, ctx: &Ctx) -> Result<()> {
        self.feed_part(Part::Database, &wanted.name, self.scratch, ctx)?;
        let sifted = self.feed_tables(wanted, ctx)?;
        if wanted.tables.is_empty() {
            restored.tables.extend(self.move_all(wanted, &sifted, ctx)?);
            return Ok(());
        }
        for table in &wanted.tables {
            if !sifted.tables.contains(identifier(&table.name).as_bytes()) {
                let what = format!("the backup holds no table {}.{}", wanted.name, table.name);
                return Err(SqlError::new(SqlErrorKind::NotFound, what));
            }
        }
        self.feed_part(Part::Triggers, &wanted.name, self.scratch, ctx)?;
        let is_new = !exists(self.client, &wanted.new_name, ctx)?;
        if is_new {
            self.make_target(wanted, ctx)?;
        }
        let moved = self.scratch().move_tables(wanted, restored, ctx);
        if moved.is_err() && is_new {
            // It was made a moment ago, for these tables.
            drop_database(self.client, &wanted.new_name, &Ctx::default())?;
        }
        moved
    }

    /// All tables at once, then views, triggers and programs, which cannot be moved.
    fn move_all(&self, wanted: &Wanted, sifted: &Sifted, ctx: &Ctx) -> Result<Vec<String>> {
        self.make_target(wanted, ctx)?;
        let (name, target) = (wanted.name.as_str(), wanted.new_name.as_str());
        let done = self.scratch().move_all_tables(target, ctx).and_then(|tables| {
            self.feed(target, &mut sifted.views.as_slice(), ctx)?;
            self.feed_part(Part::Triggers, name, target, ctx)?;
            self.feed_part(Part::Programs, name, target, ctx)?;
            Ok(tables.into_iter().map(|table| format!("{target}.{table}")).collect())
        });
        if done.is_err() {
            // It was made a moment ago, for this.
            drop_database(self.client, target, &Ctx::default())?;
        }
        done
    }

    fn scratch(&self) -> Scratch<'_> {
        Scratch { client: self.client, name: self.scratch }
    }

    fn make_target(&self, wanted: &Wanted, ctx: &Ctx) -> Result<()> {
        self.client.execute(&format!("CREATE DATABASE {}", identifier(&wanted.new_name)), ctx)?;
        self.feed_part(Part::Database, &wanted.name, &wanted.new_name, ctx)
    }

    fn feed_tables(&self, wanted: &Wanted, ctx: &Ctx) -> Result<Sifted> {
        let source = self.source.open(Part::Tables, &wanted.name, ctx)?;
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        let tables: Vec<_> = wanted.tables.iter().map(|table| table.name.as_str()).collect();
        let mut writing = self.client.feed(Some(self.scratch), ctx)?;
        let sifted = sift(&mut source, &mut writing, (!tables.is_empty()).then_some(tables.as_slice()));
        let sifted = self.ended(writing, sifted, ctx)?;
        if sifted.is_complete { Ok(sifted) } else { Err(cut_short(Part::Tables, &wanted.name)) }
    }

    /// A part that is not long, whole before any of it is run.
    fn feed_part(&self, part: Part, database: &str, into: &str, ctx: &Ctx) -> Result<()> {
        let mut text = Vec::new();
        let source = self.source.open(part, database, ctx)?;
        let read = source.take(MOST_PROGRAM_BYTES).read_to_end(&mut text);
        read.map_err(|error| read_error(error, database))?;
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if part != Part::Database && !last.starts_with(COMPLETE) {
            return Err(cut_short(part, database));
        }
        self.feed(into, &mut text.as_slice(), ctx)
    }

    fn feed(&self, into: &str, text: &mut dyn Read, ctx: &Ctx) -> Result<()> {
        let mut writing = self.client.feed(Some(into), ctx)?;
        let copied = std::io::copy(text, &mut writing);
        self.ended(writing, copied, ctx).map(drop)
    }

    /// What the server said of a text counts more than that it stopped listening.
    fn ended<T>(&self, mut writing: Writing, written: std::io::Result<T>, ctx: &Ctx) -> Result<T> {
        let flushed = writing.flush();
        if let Err(error) = &written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return written.map_err(|error| read_error(error, self.scratch));
        }
        writing.finish(ctx).map_err(|error| self.client.failed("cannot restore into", error))?;
        flushed.and(written).map_err(|error| read_error(error, self.scratch))
    }
}

fn read_error(error: std::io::Error, database: &str) -> SqlError {
    let kind = if is_cancelled(&error) { SqlErrorKind::Cancelled } else { SqlErrorKind::Io };
    SqlError::new(kind, format!("cannot copy the SQL of {database}")).because(error)
}

fn cut_short(part: Part, database: &str) -> SqlError {
    SqlError::damaged(format!("{} is cut short", part.path(database).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(new_name: &str, tables: &[(&str, &str)]) -> Wanted {
        let table = |(name, new_name): &(&str, &str)| TableWanted {
            name: (*name).into(),
            new_name: (*new_name).into(),
        };
        Wanted { name: "a".into(), new_name: new_name.into(), tables: tables.iter().map(table).collect() }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(check_names(&wanted("b", &[("t", "u"), ("u", "t")])).is_ok());
        for bad in [
            wanted("MySQL", &[]),
            wanted("", &[]),
            wanted("b", &[("t", "u"), ("v", "u")]),
            wanted("b", &[("t", "u"), ("t", "v")]),
            wanted("b", &[("t", "a\0")]),
        ] {
            assert_eq!(check_names(&bad).unwrap_err().kind, SqlErrorKind::InvalidInput, "{bad:?}");
        }
        for id in ["", "a`", "a b", "ü", &"x".repeat(41)] {
            assert!(scratch_name(id).is_err());
        }
        assert_eq!(scratch_name("r7").unwrap(), "lifeboat_r7");
    }
}
