//! Out of a logical backup into a running server.
//!
//! Everything is read into a scratch database `lifeboat_<id>_<number>` first and moved from there when all of it has
//! come, tables in one statement. What is there already is never overwritten: that is looked at before anything begins,
//! and a rename refuses it again. A database that is made says in its comment whose it is until all of it is there. The
//! scratch goes at the end and on failure; a crash leaves it, and perhaps a database that is not whole, and
//! [`clean_up`] takes both away. Each attempt knows its own by the number, so one that was thought dead spoils none.

use std::io::{BufReader, Read, Write};

use lifeboat_repository::Ctx;
use lifeboat_repository::crypto::fill_random;
use serde::{Deserialize, Serialize};

use super::sieve::{Sifted, sift};
use super::tables::Scratch;
use super::{COMPLETE, Part, Source};
use crate::child::Writing;
use crate::endpoint::Endpoint;
use crate::patience::is_cancelled;
use crate::sql::Journal;
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

/// How far an earlier attempt has come with a database.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
enum Came {
    /// Its tables were about to be moved into a database that was there.
    Moving,
    /// What it has made was whole, and about to be nobody's any more.
    Whole,
    Done,
}

/// Restores what is wanted. `id` names the scratch database: letters and digits, and no other restore has the same. What
/// the journal says to be done is left as it is.
pub fn restore<S: Source + ?Sized>(
    endpoint: &Endpoint,
    source: &S,
    wanted: &[Wanted],
    (id, journal): (&str, &Journal),
    ctx: &Ctx,
) -> Result<Restored> {
    let client = Client::new(endpoint)?;
    let mut random = [0; 8];
    fill_random(&mut random);
    let mark = format!("{}_{:016x}", scratch_name(id)?, u64::from_ne_bytes(random));
    wanted.iter().try_for_each(check_names)?;
    let restoring = Restoring { client: &client, source, mark: &mark, journal };
    let mut missing = Vec::new();
    for database in wanted {
        let came = journal.get::<Came>(&about(database))?;
        let is_done = match came {
            Some(Came::Done) => true,
            Some(Came::Whole) => exists(&client, &database.new_name, ctx)?,
            _ => false,
        };
        if !is_done {
            refuse_existing(&client, database, came, ctx)?;
            missing.push(database);
        }
    }
    let mut restored = Restored::default();
    for database in missing {
        client.execute(&format!("CREATE DATABASE {}", identifier(&mark)), ctx)?;
        let done = restoring.database(database, &mut restored, ctx);
        // Also after a cancel, which would end this too.
        let dropped = drop_database(&client, &mark, &Ctx::default());
        done?;
        dropped?;
    }
    Ok(restored)
}

/// Takes away what a crash may have left of a restore: scratch databases, and such as were made and are not whole. To be
/// done before it begins again.
pub fn clean_up(endpoint: &Endpoint, id: &str, ctx: &Ctx) -> Result<()> {
    let client = Client::new(endpoint)?;
    let mark = scratch_name(id)?;
    let is_ours =
        |column: &str| format!("LEFT({column}, {}) = {}", mark.len() + 1, literal(&format!("{mark}_")));
    let left = format!(
        "SELECT schema_name FROM information_schema.schemata WHERE {} OR {}",
        is_ours("schema_name"),
        is_ours("schema_comment")
    );
    client.column(&left, ctx)?.iter().try_for_each(|name| drop_database(&client, name, ctx))
}

fn drop_database(client: &Client, name: &str, ctx: &Ctx) -> Result<()> {
    client.execute(&format!("SET foreign_key_checks = 0; DROP DATABASE IF EXISTS {}", identifier(name)), ctx)
}

/// What a note is about.
fn about(wanted: &Wanted) -> String {
    let names: Vec<_> = wanted.tables.iter().map(|table| (&table.name, &table.new_name)).collect();
    serde_json::json!([wanted.name, wanted.new_name, names]).to_string()
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

fn refuse_existing(client: &Client, wanted: &Wanted, came: Option<Came>, ctx: &Ctx) -> Result<()> {
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
        Some(table) if came == Some(Came::Moving) => refused(format!(
            "the table {}.{table} is there: an earlier attempt at this restore was cut off while it moved its tables, \
             whose triggers may be missing; drop them and restore them again",
            wanted.new_name
        )),
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
    /// The name of the scratch, and the comment of what is made and not whole.
    mark: &'a str,
    journal: &'a Journal,
}

impl<S: Source + ?Sized> Restoring<'_, S> {
    fn database(&self, wanted: &Wanted, restored: &mut Restored, ctx: &Ctx) -> Result<()> {
        self.feed_part(Part::Database, &wanted.name, self.mark, ctx)?;
        let sifted = self.feed_tables(wanted, ctx)?;
        if wanted.tables.is_empty() {
            let moved = self.fill_new(wanted, ctx, || self.move_all(wanted, &sifted, ctx))?;
            restored.tables.extend(moved);
            return Ok(());
        }
        for table in &wanted.tables {
            if !sifted.tables.contains(identifier(&table.name).as_bytes()) {
                let what = format!("the backup holds no table {}.{}", wanted.name, table.name);
                return Err(SqlError::new(SqlErrorKind::NotFound, what));
            }
        }
        self.feed_part(Part::Triggers, &wanted.name, self.mark, ctx)?;
        if !exists(self.client, &wanted.new_name, ctx)? {
            return self.fill_new(wanted, ctx, || self.scratch().move_tables(wanted, restored, ctx));
        }
        self.journal.note(&about(wanted), &Came::Moving)?;
        self.scratch().move_tables(wanted, restored, ctx)?;
        self.journal.note(&about(wanted), &Came::Done)
    }

    /// Makes the database and fills it; once it is whole its comment goes.
    fn fill_new<T>(&self, wanted: &Wanted, ctx: &Ctx, fill: impl FnOnce() -> Result<T>) -> Result<T> {
        let name = identifier(&wanted.new_name);
        // A mark is made of letters and digits that need no care.
        self.client.execute(&format!("CREATE DATABASE {name} COMMENT '{}'", self.mark), ctx)?;
        let filled =
            self.feed_part(Part::Database, &wanted.name, &wanted.new_name, ctx).and_then(|()| fill());
        if filled.is_err() {
            self.drop_half(&wanted.new_name)?;
            return filled;
        }
        self.journal.note(&about(wanted), &Came::Whole)?;
        self.client.execute(&format!("ALTER DATABASE {name} COMMENT ''"), ctx)?;
        filled
    }

    /// Drops what this attempt has made, and nobody else since.
    fn drop_half(&self, name: &str) -> Result<()> {
        let ctx = Ctx::default();
        let sql = format!(
            "SELECT schema_comment FROM information_schema.schemata WHERE schema_name = {}",
            literal(name)
        );
        match self.client.column(&sql, &ctx)?.first() {
            Some(comment) if comment == self.mark => drop_database(self.client, name, &ctx),
            _ => Ok(()),
        }
    }

    /// All tables at once, then views, triggers and programs, which cannot be moved.
    fn move_all(&self, wanted: &Wanted, sifted: &Sifted, ctx: &Ctx) -> Result<Vec<String>> {
        let (name, target) = (wanted.name.as_str(), wanted.new_name.as_str());
        let tables = self.scratch().move_all_tables(target, ctx)?;
        self.feed(target, &mut sifted.views.as_slice(), ctx)?;
        self.feed_part(Part::Triggers, name, target, ctx)?;
        self.feed_part(Part::Programs, name, target, ctx)?;
        Ok(tables.into_iter().map(|table| format!("{target}.{table}")).collect())
    }

    fn scratch(&self) -> Scratch<'_> {
        Scratch { client: self.client, name: self.mark }
    }

    fn feed_tables(&self, wanted: &Wanted, ctx: &Ctx) -> Result<Sifted> {
        let source = self.source.open(Part::Tables, &wanted.name, ctx)?;
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        let tables: Vec<_> = wanted.tables.iter().map(|table| table.name.as_str()).collect();
        let mut writing = self.client.feed(Some(self.mark), ctx)?;
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
            return written.map_err(|error| read_error(error, self.mark));
        }
        writing.finish(ctx).map_err(|error| self.client.failed("cannot restore into", error))?;
        flushed.and(written).map_err(|error| read_error(error, self.mark))
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
