//! Databases as `pg_dump` writes them, one after the other, straight from the program into the vault.
//!
//! `<database>.dump` is in the custom format, not compressed: the vault does that, and finds again what did not change.
//! `globals.sql` holds the roles and tablespaces of the server. The end of a program's output is not taken for its
//! success: a file is ended only when the program has ended well, so a dump that is cut short is never one.

use std::io::{self, Read};
use std::path::Path;

use lifeboat_repository::Ctx;
use lifeboat_repository::intake::{Cut, Intake};

use super::check::{Server, database, text};
use super::programs::{self, client, failed};
use super::wal::file_node;
use crate::child::{Program, Reading};
use crate::endpoint::Endpoint;
use crate::patience;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

const READ_BYTES: usize = 256 << 10;
const GLOBALS: &str = "globals.sql";

/// A database in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpedDatabase {
    pub name: String,
    /// The file that holds it.
    pub file: String,
    pub bytes: u64,
}

/// What is kept of roles and tablespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Globals {
    /// All of it; the passwords of roles as the server keeps them.
    Whole,
    /// The user may not read passwords.
    WithoutPasswords,
    /// The user may not read any of it.
    Nothing,
}

/// What a logical backup consists of.
#[derive(Clone, Debug)]
pub struct LogicalSummary {
    pub databases: Vec<DumpedDatabase>,
    pub globals: Globals,
    pub bytes: u64,
}

/// Dumps `databases`, or all where none is named.
pub fn dump_into(
    endpoint: &Endpoint,
    databases: &[String],
    intake: &Intake<'_>,
    ctx: &Ctx,
) -> Result<LogicalSummary> {
    let mut server = Server::connect(endpoint, ctx)?;
    let existing = server.facts()?.databases;
    if let Some(missing) = databases.iter().find(|name| !existing.iter().any(|one| &one.name == *name)) {
        let text = format!("there is no database {missing} in {endpoint}");
        return Err(SqlError::new(SqlErrorKind::NotFound, text));
    }
    let mut dumped = Vec::new();
    for one in existing.iter().filter(|one| databases.is_empty() || databases.contains(&one.name)) {
        let mut dump = Dump::begin(endpoint, &one.name, server.major(), ctx)?;
        let file = file_name(&one.name);
        let mut intake = intake.file(Path::new(&file), file_node(), Cut::Content)?;
        let bytes = copy(&mut dump, |bytes| Ok(intake.write(bytes)?))?;
        dump.finish(ctx)?;
        intake.finish()?;
        dumped.push(DumpedDatabase { name: one.name.clone(), file, bytes });
    }
    let (globals, bytes) = globals(endpoint, &mut server, intake, ctx)?;
    let bytes = bytes + dumped.iter().map(|one| one.bytes).sum::<u64>();
    Ok(LogicalSummary { databases: dumped, globals, bytes })
}

/// Keeps roles and tablespaces as far as the user may read them.
fn globals(
    endpoint: &Endpoint,
    server: &mut Server,
    intake: &Intake<'_>,
    ctx: &Ctx,
) -> Result<(Globals, u64)> {
    let rows = server.query("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")?;
    let is_super = rows.first().is_some_and(|row| text(row, 0) == "t");
    let path = programs::find("pg_dumpall", server.major(), ctx)?;
    let program = client(path, endpoint, database(endpoint), server.major())?;
    let mut program = program.args(["--globals-only", "--no-password"]);
    if !is_super {
        program = program.arg("--no-role-passwords");
    }
    let sql = match program.run(ctx).map_err(failed) {
        Err(error) if error.kind == SqlErrorKind::Rights => return Ok((Globals::Nothing, 0)),
        sql => sql?,
    };
    let mut file = intake.file(Path::new(GLOBALS), file_node(), Cut::Content)?;
    file.write(&sql)?;
    file.finish()?;
    let globals = if is_super { Globals::Whole } else { Globals::WithoutPasswords };
    Ok((globals, sql.len() as u64))
}

/// The file of a database: its name, with what a name of a file cannot hold or what would hide it as `%XX`.
pub fn file_name(database: &str) -> String {
    let mut name = String::new();
    for (at, letter) in database.char_indices() {
        if letter.is_control() || matches!(letter, '/' | '\\' | '%') || (at == 0 && letter == '.') {
            name.push_str(&format!("%{:02X}", u32::from(letter)));
        } else {
            name.push(letter);
        }
    }
    name + ".dump"
}

/// A database as `pg_dump` writes it.
pub struct Dump(Reading);

impl Dump {
    /// Begins to dump the whole database.
    pub fn of(endpoint: &Endpoint, database: &str, ctx: &Ctx) -> Result<Self> {
        let major = Server::connect(endpoint, ctx)?.major();
        Self::begin(endpoint, database, major, ctx)
    }

    fn begin(endpoint: &Endpoint, database: &str, major: u32, ctx: &Ctx) -> Result<Self> {
        Self::run(program(endpoint, database, major, ctx)?, ctx)
    }

    pub(super) fn run(program: Program, ctx: &Ctx) -> Result<Self> {
        Ok(Self(program.read(ctx).map_err(failed)?))
    }

    /// Says whether what was read is the whole dump.
    pub fn finish(self, ctx: &Ctx) -> Result<()> {
        self.0.finish(ctx).map(drop).map_err(failed)
    }
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

/// `pg_dump` of a database, as yet of the whole.
pub(super) fn program(endpoint: &Endpoint, database: &str, major: u32, ctx: &Ctx) -> Result<Program> {
    let program = client(programs::find("pg_dump", major, ctx)?, endpoint, database, major)?;
    Ok(program.args(["--format=custom", "--compress=0", "--no-password"]))
}

/// Hands all of a stream on; gives its length.
pub(super) fn copy(from: &mut impl Read, mut to: impl FnMut(&[u8]) -> Result<()>) -> Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; READ_BYTES], 0);
    loop {
        let read = from.read(&mut buffer).map_err(|error| {
            let kind =
                if patience::is_cancelled(&error) { SqlErrorKind::Cancelled } else { SqlErrorKind::Io };
            SqlError::new(kind, "cannot read the dump of a database").because(error)
        })?;
        if read == 0 {
            return Ok(bytes);
        }
        to(buffer.get(..read).unwrap_or_default())?;
        bytes += read as u64;
    }
}

pub(super) fn unreadable(error: io::Error) -> SqlError {
    let kind = if patience::is_cancelled(&error) { SqlErrorKind::Cancelled } else { SqlErrorKind::Io };
    SqlError::new(kind, "cannot read the dump of a database").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_any_name_has_a_file_of_its_own() {
        let names = ["plain", "../up", ".hidden", "a/b", "a%2Fb", "tab\there", "größe"];
        let files: Vec<_> = names.map(file_name).into();
        let expected = [
            "plain.dump",
            "%2E.%2Fup.dump",
            "%2Ehidden.dump",
            "a%2Fb.dump",
            "a%252Fb.dump",
            "tab%09here.dump",
            "größe.dump",
        ];
        assert_eq!(files, expected);
    }
}
