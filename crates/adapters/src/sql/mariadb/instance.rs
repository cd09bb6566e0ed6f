//! A server of its own, made of a physical backup.
//!
//! Its folder holds `data/` and `settings.cnf` as they were in the snapshot, and what is made here: `my.cnf`, the
//! socket, the log. Preparing can be done again after a crash; a file says when it is done. A server that was started
//! for good goes on when Lifeboat ends, and is found again by its folder; one that was started to be read dies with us.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_repository::Ctx;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Uid, chownat, lstat};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::client::{failure, find};
use super::settings;
use super::unpack::DATA;
use crate::child::{Program, SystemUser, Writing};
use crate::endpoint::{Endpoint, Password};
use crate::sql::error::{Result, SqlError, SqlErrorKind};

const CONFIG: &str = "my.cnf";
const SOCKET: &str = "mariadbd.sock";
const PROCESS: &str = "mariadbd.pid";
const LOG: &str = "mariadbd.log";
/// Its own: a server that starts removes the temporary tables of all servers in the same folder.
const TEMPORARY: &str = "tmp";
/// There once the files are ready for a server.
const PREPARED: &str = "prepared";
/// As long as the name of a socket may be.
const MOST_SOCKET_BYTES: usize = 107;
const ASK_EVERY: Duration = Duration::from_millis(20);
/// A server that has to recover much takes its time, and says so in its log; a silent one is given up.
const PATIENCE: Duration = Duration::from_mins(30);
/// How long a server may take to write down what it holds before it is left alone.
const STOP_PATIENCE: Duration = Duration::from_mins(10);
/// A log that has become longer is put aside when the server starts again, in the place of the one before.
const LONG_LOG_BYTES: u64 = 16 << 20;
/// This much of what a server says while it starts is read, and so much of its end told.
const MOST_LOG_BYTES: u64 = 1 << 20;
const LAST_WORDS_BYTES: usize = 2048;

/// Applies what `mariadb-backup` brought along to the files, gives them to the user who runs MariaDB, and writes the
/// configuration. The folder must be absolute.
pub fn prepare(folder: &Path, ctx: &Ctx) -> Result<()> {
    let socket_bytes = folder.join(SOCKET).as_os_str().len();
    if !folder.is_absolute() || socket_bytes > MOST_SOCKET_BYTES || !is_plain(folder) {
        let what = format!("{} is too long or too odd a path for a server", folder.display());
        return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
    }
    let done = folder.join(PREPARED);
    if done.exists() {
        return Ok(());
    }
    let data = folder.join(DATA);
    refuse_links(&data)?;
    let what = || format!("cannot prepare the files in {}", data.display());
    let mut target = std::ffi::OsString::from("--target-dir=");
    target.push(&data);
    make_temporary(folder)?;
    let mut temporary = std::ffi::OsString::from("--tmpdir=");
    temporary.push(folder.join(TEMPORARY));
    let program = Program::new(find("mariadb-backup")?).args(["--no-defaults", "--prepare"]);
    let program = program.arg(target).arg(temporary);
    let said = program.read(ctx).and_then(|reading| reading.finish(ctx));
    let said = said.map_err(|error| failure(what(), error))?;
    if !said.ends_with("completed OK!") {
        return Err(SqlError::damaged(what()));
    }
    configure(folder)?;
    give_away(folder, servant()?.as_ref(), ctx)?;
    fs::write(&done, "").map_err(|error| SqlError::io(what(), error))
}

/// Starts the server of this folder on a port of this machine alone, and waits until it answers.
pub fn start(folder: &Path, port: u16, ctx: &Ctx) -> Result<()> {
    if is_running(folder) {
        return Ok(());
    }
    let what = || format!("cannot start a server in {}", folder.display());
    // A daemon: `setsid --fork` leaves it to the system, so that it goes on without us.
    let setsid = Program::find("setsid", &[]).ok_or_else(|| {
        SqlError::new(
            SqlErrorKind::Program,
            "setsid is not installed on this machine; it comes with util-linux",
        )
    })?;
    let program = Program::new(setsid).arg("--fork").arg(find("mariadbd")?);
    let program = program.arg(config_argument(folder)).arg(format!("--port={port}"));
    let program = program.arg("--bind-address=127.0.0.1").as_user(servant()?);
    let log_bytes = begin_run(folder)?;
    let starting = program.write(ctx).and_then(|writing| writing.finish(ctx));
    starting.map_err(|error| failure(what(), error))?;
    wait_until_it_answers(folder, log_bytes, ctx)
}

/// Tells the server of this folder to stop and waits until it has.
pub fn stop(folder: &Path, ctx: &Ctx) -> Result<()> {
    let Some(process) = process(folder) else { return Ok(()) };
    let what = || format!("cannot stop the server in {}", folder.display());
    kill_process(process, Signal::TERM).map_err(|error| SqlError::io(what(), error.into()))?;
    let began = Instant::now();
    while is_running(folder) {
        ctx.cancel.check()?;
        if began.elapsed() > STOP_PATIENCE {
            return Err(SqlError::new(SqlErrorKind::Program, what()));
        }
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// Whether the server of this folder runs.
pub fn is_running(folder: &Path) -> bool {
    process(folder).is_some()
}

/// Its socket, through which its own accounts get in.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join(SOCKET)
}

/// A server of a prepared folder that only we can reach and that dies with us: to read what is in a backup.
pub struct Private {
    folder: PathBuf,
    endpoint: Endpoint,
    _server: Writing,
}

impl Private {
    /// `password` is made for this run alone and let in through the socket as `lifeboat_restore`.
    pub fn start(folder: &Path, password: &Password, ctx: &Ctx) -> Result<Self> {
        let what = || format!("cannot start a server in {}", folder.display());
        let is_plain = |letter: char| letter.is_ascii_alphanumeric();
        if password.expose().len() < 16 || !password.expose().chars().all(is_plain) {
            let what = "the password of a private server must be 16 letters or digits at least";
            return Err(SqlError::new(SqlErrorKind::InvalidInput, what));
        }
        let sql = format!(
            "CREATE OR REPLACE USER lifeboat_restore@localhost IDENTIFIED BY '{}';\n\
             GRANT ALL ON *.* TO lifeboat_restore@localhost WITH GRANT OPTION;\n",
            password.expose()
        );
        let init = folder.join("init.sql");
        let user = servant()?;
        write_for(&init, &sql, user.as_ref())?;
        let mut init_argument = std::ffi::OsString::from("--init-file=");
        init_argument.push(&init);
        let log_bytes = begin_run(folder)?;
        let program = Program::new(find("mariadbd")?).arg(config_argument(folder)).arg(init_argument);
        let program = program.args(["--skip-networking", "--skip-slave-start", "--event-scheduler=OFF"]);
        let server = program.as_user(user).write(ctx).map_err(|error| failure(what(), error))?;
        let answered = wait_until_it_answers(folder, log_bytes, ctx);
        remove_if_there(&init)?;
        answered?;
        let endpoint = Endpoint {
            scheme: "mariadb".to_owned(),
            user: Some("lifeboat_restore".to_owned()),
            password: Some(password.clone()),
            host: "localhost".to_owned(),
            port: None,
            path: String::new(),
            options: vec![("socket".to_owned(), socket(folder).to_string_lossy().into_owned())],
        };
        Ok(Self { folder: folder.to_owned(), endpoint, _server: server })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Forgets an earlier run; gives how long the log is.
fn begin_run(folder: &Path) -> Result<u64> {
    remove_if_there(&folder.join(PROCESS))?;
    let log = folder.join(LOG);
    let bytes = fs::metadata(&log).map_or(0, |log| log.len());
    if bytes <= LONG_LOG_BYTES {
        return Ok(bytes);
    }
    let put = fs::rename(&log, folder.join(format!("{LOG}.1")));
    put.map_err(|error| SqlError::io(format!("cannot put {} aside", log.display()), error))?;
    Ok(0)
}

/// Waits until a server greets who comes to its socket; it does so before it asks who it is.
fn wait_until_it_answers(folder: &Path, log_bytes: u64, ctx: &Ctx) -> Result<()> {
    let began = Instant::now();
    while !greets(&socket(folder)) {
        ctx.cancel.check()?;
        let said = log_from(folder, log_bytes);
        let is_gone = folder.join(PROCESS).exists() && !is_running(folder);
        if said.contains("[ERROR] Aborting") || is_gone || began.elapsed() > PATIENCE {
            let words = said.get(said.len().saturating_sub(LAST_WORDS_BYTES)..).unwrap_or(&said);
            let what = format!("the server in {} does not start: {words}", folder.display());
            return Err(SqlError::new(SqlErrorKind::Program, what));
        }
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// The version of the protocol is the fifth byte of a greeting.
fn greets(socket: &Path) -> bool {
    let greeting = || -> io::Result<[u8; 5]> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    greeting().is_ok_and(|[.., version]| version == 10)
}

/// What the log says from there on.
fn log_from(folder: &Path, start: u64) -> String {
    let read = || -> io::Result<String> {
        let mut log = fs::File::open(folder.join(LOG))?;
        log.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        log.take(MOST_LOG_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// The process that says in this folder that it is the server, if it is a server of this folder.
fn process(folder: &Path) -> Option<Pid> {
    let id: i32 = fs::read_to_string(folder.join(PROCESS)).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let wanted = config_argument(folder).into_encoded_bytes();
    let is_ours = command.split(|byte| *byte == 0).any(|argument| argument == wanted);
    Pid::from_raw(id).filter(|_| is_ours)
}

fn config_argument(folder: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from("--defaults-file=");
    argument.push(folder.join(CONFIG));
    argument
}

/// Who runs MariaDB: its own user when we may choose, else ourselves.
fn servant() -> Result<Option<SystemUser>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let found = SystemUser::find("mysql").map_err(|error| SqlError::io("cannot read /etc/passwd", error))?;
    let missing = || {
        let what = "this machine has no user mysql to run MariaDB; it comes with the package mariadb-server";
        SqlError::new(SqlErrorKind::Program, what)
    };
    found.map(Some).ok_or_else(missing)
}

/// Paths stand in option files, where these letters mean themselves.
fn is_plain(path: &Path) -> bool {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/_.-".contains(letter);
    path.to_str().is_some_and(|path| path.chars().all(is_plain))
}

fn configure(folder: &Path) -> Result<()> {
    let what = || format!("cannot configure the server in {}", folder.display());
    let io = |error| SqlError::io(what(), error);
    let settings = fs::read_to_string(folder.join(settings::FILE)).map_err(io)?;
    let mut text = "# Written by Lifeboat when this server was made of a backup.\n[mysqld]\n".to_owned();
    for (name, path) in [
        ("datadir", DATA),
        ("tmpdir", TEMPORARY),
        ("socket", SOCKET),
        ("pid-file", PROCESS),
        ("log-error", LOG),
    ] {
        text.push_str(&format!("{name}={}\n", folder.join(path).display()));
    }
    for (name, value) in settings::of_text(&settings)? {
        text.push_str(&format!("{name}={value}\n"));
    }
    fs::write(folder.join(CONFIG), text).map_err(io)
}

fn make_temporary(folder: &Path) -> Result<()> {
    match fs::create_dir(folder.join(TEMPORARY)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(SqlError::io(format!("cannot make a folder in {}", folder.display()), error))
        }
        _ => Ok(()),
    }
}

/// A snapshot of ours holds files and folders; a link could lead a server, and its owner, elsewhere.
fn refuse_links(folder: &Path) -> Result<()> {
    walk(folder, &mut |path, kind| {
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Ok(());
        }
        let what = format!("{} is neither a file nor a folder", path.display());
        Err(SqlError::damaged(what))
    })
}

fn give_away(folder: &Path, user: Option<&SystemUser>, ctx: &Ctx) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    walk(folder, &mut |path, _| {
        ctx.cancel.check()?;
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let given = chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        given.map_err(|error| {
            SqlError::io(format!("cannot give {} to {}", path.display(), user.name), error.into())
        })
    })
}

/// The folder and all in it.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, FileType) -> Result<()>) -> Result<()> {
    let io = |error| SqlError::io(format!("cannot read {}", folder.display()), error);
    let kind = lstat(folder).map_err(|error| io(error.into()))?;
    let kind = FileType::from_raw_mode(kind.st_mode);
    visit(folder, kind)?;
    if kind == FileType::Directory {
        for entry in fs::read_dir(folder).map_err(io)? {
            walk(&entry.map_err(io)?.path(), visit)?;
        }
    }
    Ok(())
}

/// A file that only the user who runs MariaDB may read.
fn write_for(path: &Path, text: &str, user: Option<&SystemUser>) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let io = |error| SqlError::io(format!("cannot write {}", path.display()), error);
    remove_if_there(path)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        rustix::fs::fchown(&file, Some(uid), Some(gid)).map_err(|error| io(error.into()))?;
    }
    file.write_all(text.as_bytes()).map_err(io)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SqlError::io(format!("cannot remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}
