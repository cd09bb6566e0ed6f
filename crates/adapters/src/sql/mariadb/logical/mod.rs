//! Logical backups: what `mariadb-dump` prints, for each database a folder of a few files of SQL.
//!
//! `tables.sql` holds tables with their rows and views, of one moment; `triggers.sql` and `programs.sql` what runs in
//! the server; `database.sql` how the database compares letters. Each but the last ends with a line that says that it
//! is whole. They can be read by `mariadb` as they are, into any database.

mod dump;
mod restore;
mod sieve;
mod tables;

use std::io::Read;
use std::path::{Path, PathBuf};

use lifeboat_repository::Ctx;

pub use dump::{LogicalSummary, dump_into};
pub use restore::{Restored, TableWanted, Wanted, clean_up, restore};

use super::client::Client;
use super::names::file_name;
use crate::child::Program;
use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError};

/// The file of all accounts and their rights, within a backup.
pub const USERS: &str = "users.sql";
const DATABASES: &str = "databases";
/// What the last line of a whole file begins with.
const COMPLETE: &[u8] = b"-- Dump completed";

/// A file of a logical backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Database,
    Tables,
    Triggers,
    Programs,
}

impl Part {
    const ALL: [Self; 4] = [Self::Database, Self::Tables, Self::Triggers, Self::Programs];

    /// Where it is within a backup.
    pub fn path(self, database: &str) -> PathBuf {
        let name = match self {
            Self::Database => "database.sql",
            Self::Tables => "tables.sql",
            Self::Triggers => "triggers.sql",
            Self::Programs => "programs.sql",
        };
        Path::new(DATABASES).join(file_name(database)).join(name)
    }
}

/// Where the parts of a logical backup are read from.
pub trait Source {
    fn open(&self, part: Part, database: &str, ctx: &Ctx) -> Result<Box<dyn Read + '_>>;
}

/// A folder that a backup was restored to.
impl Source for Path {
    fn open(&self, part: Part, database: &str, _: &Ctx) -> Result<Box<dyn Read + '_>> {
        let path = self.join(part.path(database));
        let file = std::fs::File::open(&path);
        let file = file.map_err(|error| SqlError::io(format!("cannot read {}", path.display()), error))?;
        Ok(Box::new(file))
    }
}

/// A running server, dumped as it is read: one made of a physical backup, say.
pub struct Live(Client);

impl Live {
    pub fn new(endpoint: &Endpoint) -> Result<Self> {
        Client::new(endpoint).map(Self)
    }
}

impl Source for Live {
    fn open(&self, part: Part, database: &str, ctx: &Ctx) -> Result<Box<dyn Read + '_>> {
        let Some(program) = dumping(&self.0, part, database)? else {
            return Ok(Box::new(std::io::Cursor::new(letters(&self.0, database, ctx)?)));
        };
        let reading = program.read(ctx).map_err(|error| self.0.failed("cannot dump", error))?;
        Ok(Box::new(reading))
    }
}

/// What prints a part; nothing for the one that we write.
fn dumping(client: &Client, part: Part, database: &str) -> Result<Option<Program>> {
    let nothing_of_tables = ["--no-create-info", "--no-data"];
    let program = client.program("mariadb-dump")?.args([
        "--single-transaction",
        "--quick",
        "--hex-blob",
        "--default-character-set=utf8mb4",
        "--max-allowed-packet=1G",
        "--skip-dump-date",
    ]);
    let program = match part {
        Part::Database => return Ok(None),
        Part::Tables => program.arg("--skip-triggers"),
        Part::Triggers => program.args(nothing_of_tables).arg("--triggers"),
        Part::Programs => program.args(nothing_of_tables).args(["--skip-triggers", "--routines", "--events"]),
    };
    Ok(Some(program.arg("--").arg(database)))
}

/// How a database compares letters, as a statement for whatever database it is read into.
fn letters(client: &Client, database: &str, ctx: &Ctx) -> Result<String> {
    let sql = format!(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
         WHERE schema_name = {}",
        super::names::literal(database)
    );
    let row = client.rows(&sql, ctx)?.into_iter().next();
    let [set, collation] = row.and_then(|row| <[String; 2]>::try_from(row).ok()).ok_or_else(|| {
        let what = format!("there is no database {database} on {}", client.server());
        SqlError::new(crate::sql::SqlErrorKind::NotFound, what)
    })?;
    Ok(format!("ALTER DATABASE CHARACTER SET {set} COLLATE {collation};\n"))
}
