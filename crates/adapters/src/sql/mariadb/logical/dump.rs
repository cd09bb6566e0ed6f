//! Out of a server into a vault.

use std::io::Read;
use std::path::Path;

use lifeboat_repository::Ctx;
use lifeboat_repository::intake::{Cut, FileIntake, Intake};
use lifeboat_repository::tree::NodeTime;

use super::{COMPLETE, Part, USERS, dumping, letters};
use crate::child::ChildError;
use crate::endpoint::Endpoint;
use crate::patience::is_cancelled;
use crate::sql::error::{Result, SqlError, SqlErrorKind};
use crate::sql::mariadb::client::Client;
use crate::sql::mariadb::facts::{Database, Facts, Method};
use crate::sql::mariadb::names;
use crate::sql::mariadb::physical::of_the_source;
use crate::sql::mariadb::unpack::file_node;

const BUFFER_BYTES: usize = 256 << 10;
/// The last line is within so many bytes.
const END_BYTES: usize = 64;

/// What a logical backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalSummary {
    pub databases: Vec<Database>,
    pub bytes: u64,
    /// Why accounts and their rights are not in it; nothing where they are, or only some databases were asked for.
    pub users_left_out: Option<String>,
    /// Tables that are not as they were at the one moment of all others, for they take no part in transactions.
    pub loose_tables: Vec<String>,
}

/// Stores these databases, or all there are. `time` is what the files get as theirs.
pub fn dump_into(
    endpoint: &Endpoint,
    databases: Option<&[String]>,
    intake: &Intake<'_>,
    time: NodeTime,
    ctx: &Ctx,
) -> Result<LogicalSummary> {
    let facts = Facts::read(endpoint, ctx)?;
    facts.check(Method::Logical)?;
    let all: Vec<_> = facts.databases.iter().map(|database| database.name.clone()).collect();
    let names = databases.unwrap_or(&all);
    if let Some(missing) = names.iter().find(|name| !all.contains(name)) {
        let what = format!("there is no database {missing} on {endpoint}");
        return Err(SqlError::new(SqlErrorKind::NotFound, what));
    }
    let dumper = Dumper { client: Client::new(endpoint)?, intake, time };
    let mut summary =
        LogicalSummary { databases: Vec::new(), bytes: 0, users_left_out: None, loose_tables: Vec::new() };
    for name in names {
        let bytes = dumper.database(name, ctx)?;
        summary.bytes += bytes;
        summary.databases.push(Database { name: name.clone(), bytes });
        let is_of_it =
            |table: &&(String, String)| table.0.strip_prefix(name).is_some_and(|t| t.starts_with('.'));
        summary.loose_tables.extend(facts.loose_tables.iter().filter(is_of_it).map(|table| table.0.clone()));
    }
    if databases.is_none() {
        summary.users_left_out = dumper.users(ctx)?;
    }
    Ok(summary)
}

struct Dumper<'a> {
    client: Client,
    intake: &'a Intake<'a>,
    time: NodeTime,
}

impl<'a> Dumper<'a> {
    fn database(&self, name: &str, ctx: &Ctx) -> Result<u64> {
        names::check(name)?;
        let mut bytes = 0;
        for part in Part::ALL {
            let mut file = self.file(&part.path(name))?;
            bytes += match dumping(&self.client, part, name)? {
                Some(program) => self.copy(&program, &mut file, ctx)?,
                None => {
                    let text = letters(&self.client, name, ctx)?;
                    file.write(text.as_bytes())?;
                    text.len() as u64
                }
            };
            file.finish()?;
        }
        Ok(bytes)
    }

    fn copy(&self, program: &crate::child::Program, file: &mut FileIntake<'_>, ctx: &Ctx) -> Result<u64> {
        let failed = |error: ChildError| of_the_source(&self.client, error, ctx);
        let mut reading = program.read(ctx).map_err(failed)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut end = Vec::new();
        let mut bytes = 0;
        loop {
            ctx.cancel.check()?;
            let read = reading.read(&mut buffer).map_err(|error| {
                let is_cancelled = is_cancelled(&error);
                let kind = if is_cancelled { SqlErrorKind::Cancelled } else { SqlErrorKind::Program };
                SqlError::new(kind, "cannot read what mariadb-dump prints").because(error)
            })?;
            let Some(read) = buffer.get(..read).filter(|read| !read.is_empty()) else { break };
            file.write(read)?;
            bytes += read.len() as u64;
            keep_end(&mut end, read);
        }
        reading.finish(ctx).map_err(failed)?;
        let is_complete = end.split(|byte| *byte == b'\n').any(|line| line.starts_with(COMPLETE));
        if is_complete {
            Ok(bytes)
        } else {
            Err(SqlError::damaged("mariadb-dump ended without its last line"))
        }
    }

    /// The accounts, where they may be read, or why they may not.
    fn users(&self, ctx: &Ctx) -> Result<Option<String>> {
        let program = self.client.program("mariadb-dump")?.args(["--system=users", "--skip-dump-date"]);
        let printed = match program.run(ctx) {
            Ok(printed) => printed,
            Err(error) => {
                let said = error.to_string();
                let error = of_the_source(&self.client, error, ctx);
                let may_not = matches!(error.kind, SqlErrorKind::Rights | SqlErrorKind::Program);
                return if may_not { Ok(Some(said)) } else { Err(error) };
            }
        };
        let mut file = self.file(Path::new(USERS))?;
        file.write(&printed)?;
        file.finish()?;
        Ok(None)
    }

    fn file(&self, path: &Path) -> Result<FileIntake<'a>> {
        Ok(self.intake.file(path, file_node(self.time), Cut::Content)?)
    }
}

fn keep_end(end: &mut Vec<u8>, bytes: &[u8]) {
    end.extend_from_slice(bytes.get(bytes.len().saturating_sub(END_BYTES)..).unwrap_or(bytes));
    end.drain(..end.len().saturating_sub(END_BYTES));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_whatever_it_comes_in() {
        let text: Vec<u8> = (0..200).collect();
        for pieces in [1, 7, 64, 65, 200] {
            let mut end = Vec::new();
            text.chunks(pieces).for_each(|piece| keep_end(&mut end, piece));
            assert_eq!(end, &text[200 - END_BYTES..], "in pieces of {pieces}");
        }
    }
}
