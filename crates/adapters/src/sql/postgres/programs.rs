//! Where the programs of PostgreSQL are, and what they are told: the way to a server in their environment, where
//! nobody reads the password and no name of a database is taken for options.

use std::path::PathBuf;

use lifeboat_repository::Ctx;

use super::connection::user;
use super::stream::Address;
use super::tls::SslMode;
use crate::child::{ChildError, Program};
use crate::endpoint::Endpoint;
use crate::patience;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// From this version on a server can notice that a client is gone while it waits for a lock for it.
const NOTICES_THE_END: u32 = 14;
/// No version is newer than this for some decades.
const NEWEST: u32 = 99;

/// The program `name` of exactly the version `major`.
pub(super) fn exact(name: &str, major: u32) -> Option<PathBuf> {
    let path = PathBuf::from(format!("{DEBIAN}/{major}/bin")).join(name);
    path.is_file().then_some(path)
}

/// The program `name` of the version `major` or the next newer one: in Debian's folders, then where programs are.
pub(super) fn find(name: &str, major: u32, ctx: &Ctx) -> Result<PathBuf> {
    if let Some(path) = (major..=NEWEST).find_map(|version| exact(name, version)) {
        return Ok(path);
    }
    let found = Program::find(name, &[]);
    if let Some(path) = found
        && version(&path, ctx)? >= major
    {
        return Ok(path);
    }
    let text =
        format!("{name} of PostgreSQL {major} or newer is not here: install postgresql-client-{major}");
    Err(SqlError::new(SqlErrorKind::Program, text))
}

fn version(path: &std::path::Path, ctx: &Ctx) -> Result<u32> {
    let said = Program::new(path).arg("--version").run(ctx).map_err(failed)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut numbers = said.split(|letter: char| !letter.is_ascii_digit()).filter(|digits| !digits.is_empty());
    Ok(numbers.next().and_then(|digits| digits.parse().ok()).unwrap_or_default())
}

/// A program that is to work with the database `database` of a server.
pub(super) fn client(path: PathBuf, endpoint: &Endpoint, database: &str, major: u32) -> Result<Program> {
    let address = Address::of(endpoint);
    let mut program = Program::new(path)
        .env("PGPORT", address.port().to_string())
        .env("PGUSER", user(endpoint))
        .env("PGDATABASE", database)
        .env("PGAPPNAME", "lifeboat")
        .env("PGCONNECT_TIMEOUT", "30")
        .env("PGSSLMODE", SslMode::of(endpoint)?.name())
        // No file of whoever we are says otherwise.
        .env("PGPASSFILE", "/dev/null")
        .env("PGSERVICEFILE", "/dev/null");
    program = match address {
        Address::Tcp(host, _) => program.env("PGHOST", host),
        Address::Unix(folder, _) => program.env("PGHOST", folder),
    };
    if let Some(password) = &endpoint.password {
        program = program.env("PGPASSWORD", password.expose());
    }
    if major >= NOTICES_THE_END {
        program = program.env("PGOPTIONS", "-c client_connection_check_interval=1s");
    }
    if let Some(certificates) = endpoint.option("sslrootcert") {
        program = program.env("PGSSLROOTCERT", certificates);
    }
    Ok(program)
}

/// What became of a program that failed.
pub(super) fn failed(error: ChildError) -> SqlError {
    let kind = match &error {
        ChildError::Talk { source, .. } if patience::is_cancelled(source) => SqlErrorKind::Cancelled,
        ChildError::Failed { last_words, .. } => kind_of(last_words),
        _ => SqlErrorKind::Program,
    };
    SqlError::new(kind, error.to_string()).because(error)
}

/// The programs say in words alone what went wrong; these are the words of libpq and of the server.
fn kind_of(last_words: &str) -> SqlErrorKind {
    let says = |words: &[&str]| words.iter().any(|word| last_words.contains(word));
    if says(&["terminating connection", "server closed the connection", "connection to server was lost"]) {
        SqlErrorKind::SourceGone
    } else if says(&["permission denied"]) {
        SqlErrorKind::Rights
    } else if says(&["password authentication failed", "no password supplied", "no pg_hba.conf entry"]) {
        SqlErrorKind::Authentication
    } else if says(&["could not connect", "Connection refused", "connection to server"]) {
        SqlErrorKind::Unreachable
    } else {
        SqlErrorKind::Program
    }
}
