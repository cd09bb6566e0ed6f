//! MariaDB's own programs and how they are let in.
//!
//! Who we are and where the server is stands in an option file that never touches a disk: memory of ours, which the
//! programs open as `/proc/<us>/fd/<n>`. So a password is in no argument, no environment and no folder, and is gone
//! with us. What a program says when it fails is turned into a kind here and nowhere else.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use lifeboat_repository::Ctx;
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};

use super::names::literal;
use crate::child::{ChildError, Program, Writing};
use crate::endpoint::Endpoint;
use crate::patience::is_cancelled;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// What a URL may say about the connection, as all of MariaDB's programs call it too.
const OPTIONS: [&str; 6] = ["ssl", "ssl-ca", "ssl-cert", "ssl-key", "ssl-cipher", "ssl-verify-server-cert"];

/// A server, and the way to let MariaDB's programs talk to it.
pub(super) struct Client {
    /// The option file.
    login: File,
    /// For people.
    server: String,
}

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self> {
        let text = option_file(endpoint)?;
        let io = |error| SqlError::io("cannot keep the option file in memory", error);
        let login = memfd_create("login", MemfdFlags::CLOEXEC).map_err(|error| io(error.into()))?;
        // A file that all may write to is not read by MariaDB's programs.
        fchmod(&login, Mode::RUSR | Mode::WUSR).map_err(|error| io(error.into()))?;
        let mut login = File::from(login);
        login.write_all(text.as_bytes()).map_err(io)?;
        Ok(Self { login, server: endpoint.to_string() })
    }

    /// The program `name` with the option file as its first argument, where it has to be.
    pub(super) fn program(&self, name: &str) -> Result<Program> {
        let path = format!("/proc/{}/fd/{}", std::process::id(), self.login.as_raw_fd());
        Ok(Program::new(find(name)?).arg(format!("--defaults-file={path}")))
    }

    /// Runs SQL and gives the rows of the answer. `NULL` comes as the word.
    pub(super) fn rows(&self, sql: &str, ctx: &Ctx) -> Result<Vec<Vec<String>>> {
        let program = self.mariadb()?.args(["--batch", "--skip-column-names"]);
        let printed = program.arg(format!("--execute={sql}")).run(ctx);
        let printed = printed.map_err(|error| self.failed("cannot ask", error))?;
        let text = String::from_utf8(printed).map_err(|error| {
            SqlError::damaged(format!("the answer of {} is not UTF-8", self.server)).because(error)
        })?;
        Ok(text.lines().map(|line| line.split('\t').map(unescape).collect()).collect())
    }

    /// The first column of the answer.
    pub(super) fn column(&self, sql: &str, ctx: &Ctx) -> Result<Vec<String>> {
        let rows = self.rows(sql, ctx)?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// The value of a system variable; empty where the server has none of that name.
    pub(super) fn variable(&self, name: &str, ctx: &Ctx) -> Result<String> {
        let sql = format!("SHOW GLOBAL VARIABLES WHERE Variable_name = {}", literal(name));
        let row = self.rows(&sql, ctx)?.into_iter().next();
        Ok(row.and_then(|row| row.into_iter().nth(1)).unwrap_or_default())
    }

    /// Runs statements whose answer nobody needs.
    pub(super) fn execute(&self, sql: &str, ctx: &Ctx) -> Result<()> {
        let mut writing = self.feed(None, ctx)?;
        let written = writing.write_all(sql.as_bytes());
        writing.finish(ctx).map_err(|error| self.failed("cannot change", error))?;
        written.map_err(|error| SqlError::io("cannot write to mariadb", error))
    }

    /// Starts `mariadb` to be given statements, in `database`.
    pub(super) fn feed(&self, database: Option<&str>, ctx: &Ctx) -> Result<Writing> {
        let program = self.mariadb()?.arg("--batch");
        let program = match database {
            Some(name) => program.arg(format!("--database={name}")),
            None => program,
        };
        program.write(ctx).map_err(|error| self.failed("cannot talk to", error))
    }

    /// With the server's own words for what cannot be printed, and no options of its own in what we send.
    fn mariadb(&self) -> Result<Program> {
        let program = self.program("mariadb")?;
        Ok(program.args([
            "--default-character-set=utf8mb4",
            "--binary-mode",
            // Neither the server nor what a backup holds gets a file of this machine.
            "--local-infile=0",
            "--max-allowed-packet=1G",
            "--connect-timeout=10",
        ]))
    }

    /// Gives a failed program a kind: by what it said, and where it said that the connection broke, by whether the
    /// server is still there.
    pub(super) fn failed(&self, what: &str, error: ChildError) -> SqlError {
        failure(format!("{what} {}", self.server), error)
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

/// Where the program `name` is.
pub(super) fn find(name: &str) -> Result<PathBuf> {
    Program::find(name, &[]).ok_or_else(|| {
        let package = match name {
            "mariadb-backup" => "mariadb-backup",
            "mariadbd" => "mariadb-server",
            _ => "mariadb-client",
        };
        SqlError::new(
            SqlErrorKind::Program,
            format!("{name} is not installed on this machine; it comes with the package {package}"),
        )
    })
}

fn option_file(endpoint: &Endpoint) -> Result<String> {
    let mut lines = vec!["[client]".to_owned()];
    let mut line = |name: &str, value: &str| -> Result<()> {
        if value.contains('\0') {
            let what = format!("the {name} of the URL holds a NUL");
            return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
        }
        lines.push(format!("{name}={}", quoted(value)));
        Ok(())
    };
    if let Some(user) = &endpoint.user {
        line("user", user)?;
    }
    if let Some(password) = &endpoint.password {
        line("password", password.expose())?;
    }
    if let Some(socket) = endpoint.socket_path() {
        line("socket", socket)?;
    } else if !(endpoint.host.is_empty() || endpoint.host == "localhost" && endpoint.port.is_none()) {
        line("protocol", "tcp")?;
        line("host", &endpoint.host)?;
        line("port", &endpoint.port.unwrap_or(3306).to_string())?;
    }
    for (name, value) in &endpoint.options {
        if OPTIONS.contains(&name.as_str()) {
            line(name, value)?;
        } else if !["socket", "host"].contains(&name.as_str()) {
            let what =
                format!("{name} is not an option of a URL of MariaDB; there are {}", OPTIONS.join(", "));
            return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// As option files have it: within quotes only the backslash and the ends of lines mean something else.
fn quoted(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("\"{value}\"")
}

/// Undoes what `mariadb --batch` does to a value.
fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        text.extend(letters.next().map(|escaped| match escaped {
            'n' => '\n',
            't' => '\t',
            '0' => '\0',
            other => other,
        }));
    }
    text
}

/// What a program that failed means to a caller.
pub(super) fn failure(what: String, error: ChildError) -> SqlError {
    let kind = match &error {
        ChildError::Talk { source, .. } if is_cancelled(source) => SqlErrorKind::Cancelled,
        ChildError::Start { .. } | ChildError::Talk { .. } => SqlErrorKind::Program,
        ChildError::Failed { last_words, .. } => kind_of(last_words),
    };
    SqlError::new(kind, what).because(error)
}

fn kind_of(words: &str) -> SqlErrorKind {
    if let Some(kind) = code_of(words).and_then(kind_of_code) {
        return kind;
    }
    let said = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    if said(&["Access denied for user"]) && said(&["using password"]) {
        SqlErrorKind::Authentication
    } else if said(&[
        "Access denied",
        "missing required privilege",
        "insufficent privileges",
        "insufficient priv",
    ]) {
        SqlErrorKind::Rights
    } else if said(&["Can't connect to", "Unknown MySQL server host", "Unknown server host"]) {
        SqlErrorKind::Unreachable
    } else if said(&["server has gone away", "Server has gone away", "Lost connection to"]) {
        SqlErrorKind::SourceGone
    } else {
        SqlErrorKind::Program
    }
}

/// The number in `ERROR 1045 (28000)` or `Got error: 1045:`.
fn code_of(words: &str) -> Option<u32> {
    ["ERROR ", "rror: ", "rror "].iter().find_map(|before| {
        words.match_indices(before).find_map(|(at, found)| {
            let rest = words.get(at + found.len()..)?;
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            rest.get(..digits).filter(|digits| digits.len() == 4)?.parse().ok()
        })
    })
}

fn kind_of_code(code: u32) -> Option<SqlErrorKind> {
    Some(match code {
        1045 | 1698 | 2026 | 2059 => SqlErrorKind::Authentication,
        1044 | 1142 | 1143 | 1227 | 1370 | 1419 => SqlErrorKind::Rights,
        2002 | 2003 | 2005 | 1040 | 1129 | 1130 => SqlErrorKind::Unreachable,
        1053 | 1927 | 2006 | 2013 | 2055 => SqlErrorKind::SourceGone,
        1049 | 1146 => SqlErrorKind::NotFound,
        1007 | 1050 => SqlErrorKind::Exists,
        1000..2000 | 3000..5000 => SqlErrorKind::Statement,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(url: &str) -> Result<String> {
        option_file(&url.parse().unwrap())
    }

    #[test]
    fn an_option_file_says_who_and_where_and_cannot_be_broken_out_of() {
        let text = file(r"mariadb://jo:a%22%5Cb%0Ac@db:3307/?ssl-ca=/ca.pem").unwrap();
        let wanted = "[client]\nuser=\"jo\"\npassword=\"a\"\\\\b\\nc\"\nprotocol=\"tcp\"\nhost=\"db\"\nport=\"3307\"\nssl-ca=\"/ca.pem\"\n";
        assert_eq!(text, wanted);
        assert_eq!(file("mariadb://localhost/?socket=/run/s").unwrap(), "[client]\nsocket=\"/run/s\"\n");
        assert_eq!(file("mariadb://localhost/").unwrap(), "[client]\n");
    }

    #[test]
    fn options_nobody_knows_and_a_nul_are_refused() {
        for url in ["mariadb://h/?init-command=DROP", "mariadb://a%00b@h/"] {
            assert_eq!(file(url).unwrap_err().kind, SqlErrorKind::InvalidInput, "{url}");
        }
    }

    #[test]
    fn values_come_back_as_they_were() {
        assert_eq!(unescape(r"a\tb\nc\\d\0e"), "a\tb\nc\\d\0e");
    }

    #[test]
    fn what_a_program_says_becomes_a_kind() {
        for (words, kind) in [
            (
                "ERROR 1045 (28000): Access denied for user 'a'@'b' (using password: YES)",
                SqlErrorKind::Authentication,
            ),
            ("mariadb-dump: Got error: 1044: \"Access denied\" when using LOCK TABLES", SqlErrorKind::Rights),
            (
                "Failed to connect to MariaDB server: Access denied for user 'a'@'b' (using password: NO).",
                SqlErrorKind::Authentication,
            ),
            ("ERROR 2002 (HY000): Can't connect to local server", SqlErrorKind::Unreachable),
            (
                "Error 2013: Lost connection to server during query when dumping table `t` at row: 3",
                SqlErrorKind::SourceGone,
            ),
            ("ERROR 1064 (42000) at line 3: You have an error", SqlErrorKind::Statement),
            ("something else 1045", SqlErrorKind::Program),
        ] {
            assert_eq!(kind_of(words), kind, "{words}");
        }
    }
}
