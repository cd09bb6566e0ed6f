//! A database that exists for the time of a restore, and the finding of those that a crash has left.
//!
//! Its name holds a number, and a session of ours holds the lock of that number for as long as it is used. One whose
//! number can be locked belongs to nobody.

use aws_lc_rs::rand;
use lifeboat_repository::Ctx;
use postgres_protocol::escape::escape_identifier as ident;

use super::archive::Contents;
use super::check::{Server, text};
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError};

const PREFIX: &str = "lifeboat_scratch_";

/// The scratch database of one restore; dropped with it unless it was kept.
pub(super) struct Scratch {
    target: Endpoint,
    name: String,
    is_kept: bool,
}

impl Scratch {
    /// Makes one like the database that was dumped, and drops what crashes have left. `server` must live as long.
    pub(super) fn create(
        target: &Endpoint,
        server: &mut Server,
        contents: &Contents,
        ctx: &Ctx,
    ) -> Result<Self> {
        drop_leftovers(server)?;
        ctx.cancel.check()?;
        let mut bytes = [0; 8];
        let filled = rand::fill(&mut bytes);
        filled.map_err(|_| {
            SqlError::new(crate::sql::error::SqlErrorKind::Io, "the system has no randomness")
        })?;
        let number = i64::from_ne_bytes(bytes);
        server.query(&format!("SELECT pg_advisory_lock({number})"))?;
        let name = format!("{PREFIX}{number:016x}");
        let likeness = likeness(&contents.database()?.definition)?;
        let scratch = Self { target: target.clone(), name, is_kept: false };
        server.query(&format!("CREATE DATABASE {} {likeness}", ident(&scratch.name)))?;
        Ok(scratch)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// It has become something else.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept {
            // In a session of its own: the restore may have been cancelled. What fails is done by the next restore.
            let dropped = Server::connect(&self.target, &Ctx::default());
            dropped.and_then(|mut server| drop_database(&mut server, &self.name)).unwrap_or_default();
        }
    }
}

fn drop_database(server: &mut Server, name: &str) -> Result<()> {
    server.query(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", ident(name))).map(drop)
}

fn drop_leftovers(server: &mut Server) -> Result<()> {
    let rows = server
        .query(&format!("SELECT datname FROM pg_database WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}$'"))?;
    for row in rows {
        let name = text(&row, 0);
        let number = name.strip_prefix(PREFIX).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(number) = number.map(u64::cast_signed) else { continue };
        let locked = server.query(&format!("SELECT pg_try_advisory_lock({number})"))?;
        if locked.first().is_some_and(|row| text(row, 0) == "t") {
            drop_database(server, name)?;
            server.query(&format!("SELECT pg_advisory_unlock({number})"))?;
        }
    }
    Ok(())
}

/// Encoding, locale and so on, out of the statement that made the database.
fn likeness(definition: &str) -> Result<&str> {
    Ok(made(definition)?.1.trim().trim_end_matches(';'))
}

/// The name in that statement, quoted as it is there.
pub(super) fn made_name(definition: &str) -> Result<&str> {
    Ok(made(definition)?.0)
}

/// The name and what follows it.
fn made(definition: &str) -> Result<(&str, &str)> {
    let wrong = || SqlError::damaged("the dump does not say how its database was made");
    let rest = definition.strip_prefix("CREATE DATABASE ").ok_or_else(wrong)?;
    let mut is_quoted = false;
    // A quote within the name is written twice, which opens what it has closed.
    let end = rest.find(|letter| {
        is_quoted ^= letter == '"';
        letter == ' ' && !is_quoted
    });
    rest.split_at_checked(end.ok_or_else(wrong)?).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_made_like_another_whatever_that_is_called() {
        for name in ["plain", "\"My DB\"", "\"a\"\"b WITH TEMPLATE = x\""] {
            let made = format!("CREATE DATABASE {name} WITH TEMPLATE = template0 ENCODING = 'UTF8';\n");
            assert_eq!(likeness(&made).unwrap(), "WITH TEMPLATE = template0 ENCODING = 'UTF8'", "{name}");
            assert_eq!(made_name(&made).unwrap(), name);
        }
        assert!(likeness("DROP DATABASE x").is_err() && likeness("CREATE DATABASE \"x").is_err());
    }
}
