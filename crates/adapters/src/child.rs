//! Programs of others: an argv array, never a shell; they end with the thread that started them, also after a
//! `kill -9`.
//!
//! `setpriv` of util-linux sees to that and changes the user. Nothing of our environment is handed on. Of what a program
//! says on its standard error the end is kept in memory, and its last lines become part of the error when it fails.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use lifeboat_repository::Ctx;
use rustix::fs::{MemfdFlags, OFlags, fcntl_setfl, memfd_create};

use crate::patience::Patient;

/// Where programs are looked for, and what they look in themselves.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a program that has closed its output is asked whether it has ended.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// This much of the end of what it said is told.
const LAST_WORDS_BYTES: u64 = 2048;
/// More than this is not kept of it.
const MOST_SAID_BYTES: u64 = 1 << 20;
/// How often that is looked at while nothing else happens.
const LISTEN_EVERY: Duration = Duration::from_secs(1);
/// More than this is not taken from a program that is to answer in a few words.
const MOST_ANSWER_BYTES: u64 = 64 << 20;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemUser {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl SystemUser {
    /// The user `name` of `/etc/passwd`.
    pub fn find(name: &str) -> io::Result<Option<Self>> {
        let users = std::fs::read_to_string("/etc/passwd")?;
        let line = users.lines().find(|line| line.split(':').next() == Some(name));
        let ids = line.and_then(|line| {
            let mut numbers = line.split(':').skip(2).map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        });
        Ok(ids.map(|(uid, gid)| Self { name: name.to_owned(), uid, gid }))
    }
}

/// Why a program did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot run {program}")]
    Start { program: String, source: io::Error },
    #[error("cannot talk to {program}")]
    Talk { program: String, source: io::Error },
    /// It ended with another status than 0; `last_words` is the end of its standard error.
    #[error("{program} has failed ({status}): {last_words}")]
    Failed { program: String, status: ExitStatus, last_words: String },
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    /// Not printed: it may hold passwords.
    env: Env,
    user: Option<SystemUser>,
    folder: PathBuf,
}

#[derive(Clone, Default)]
struct Env(Vec<(OsString, OsString)>);

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let folder = PathBuf::from("/");
        Self { path: path.into(), args: Vec::new(), env: Env::default(), user: None, folder }
    }

    /// The program `name`: in `folders`, else where programs are.
    pub fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
        let places = folders.iter().map(PathBuf::as_path).chain(PATH.split(':').map(Path::new));
        places.map(|place| place.join(name)).find(|path| path.is_file())
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, |program, arg| program.arg(arg))
    }

    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.0.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// To be run as this user; needs a user who may change to it.
    #[must_use]
    pub fn as_user(mut self, user: Option<SystemUser>) -> Self {
        self.user = user;
        self
    }

    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Runs it to its end and gives what it printed.
    pub fn run(&self, ctx: &Ctx) -> Result<Vec<u8>, ChildError> {
        let mut reading = self.read(ctx)?;
        let mut answer = Vec::new();
        let read = (&mut reading).take(MOST_ANSWER_BYTES).read_to_end(&mut answer);
        if let Err(source) = read {
            return Err(ChildError::Talk { program: self.name(), source });
        }
        reading.finish(ctx)?;
        Ok(answer)
    }

    /// Starts it to read what it prints.
    pub fn read(&self, ctx: &Ctx) -> Result<Reading, ChildError> {
        let (mut child, said) = self.start(Stdio::null(), Stdio::piped())?;
        let stdout = child.stdout.take().expect("its output was asked for");
        let stream = Patient::new(stdout, Some(LISTEN_EVERY), ctx.cancel.clone());
        let running = Running { child, said, program: self.name() };
        match stream {
            Ok(stream) => Ok(Reading { running, stream }),
            Err(source) => Err(ChildError::Talk { program: self.name(), source }),
        }
    }

    /// Starts it to be written to; what it prints is not kept.
    pub fn write(&self, ctx: &Ctx) -> Result<Writing, ChildError> {
        let (mut child, said) = self.start(Stdio::piped(), Stdio::null())?;
        let stdin = child.stdin.take().expect("its input was asked for");
        let stream = Patient::new(stdin, Some(LISTEN_EVERY), ctx.cancel.clone());
        let running = Running { child, said, program: self.name() };
        match stream {
            Ok(stream) => Ok(Writing { running, stream }),
            Err(source) => Err(ChildError::Talk { program: self.name(), source }),
        }
    }

    fn start(&self, stdin: Stdio, stdout: Stdio) -> Result<(Child, File), ChildError> {
        let start = |source| ChildError::Start { program: self.name(), source };
        let said = memfd_create("said", MemfdFlags::CLOEXEC).map_err(|error| start(error.into()))?;
        // What we cut off is no hole before what comes next.
        fcntl_setfl(&said, OFlags::APPEND).map_err(|error| start(error.into()))?;
        let said = File::from(said);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
            command.arg("--init-groups");
        }
        command.arg("--").arg(&self.path).args(&self.args);
        command.env_clear().env("PATH", PATH).env("LC_ALL", "C").envs(self.env.0.iter().cloned());
        let stderr = said.try_clone().map_err(start)?;
        command.current_dir(&self.folder).stdin(stdin).stdout(stdout).stderr(stderr);
        Ok((command.spawn().map_err(start)?, said))
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A program that was started; killed when it is dropped.
struct Running {
    child: Child,
    said: File,
    program: String,
}

impl Running {
    fn finish(mut self, ctx: &Ctx) -> Result<String, ChildError> {
        let talk = |program: &str, source| ChildError::Talk { program: program.to_owned(), source };
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => {}
                Err(source) => return Err(talk(&self.program, source)),
            }
            ctx.cancel.check().map_err(|error| talk(&self.program, io::Error::other(error)))?;
            self.cut_words().map_err(|source| talk(&self.program, source))?;
            std::thread::sleep(ASK_EVERY);
        };
        let last_words = self.last_words();
        if status.success() {
            return Ok(last_words);
        }
        Err(ChildError::Failed { program: self.program.clone(), status, last_words })
    }

    /// Does something that may have to wait, and listens meanwhile: what the program says takes no more than its room.
    fn listening<T>(&self, mut what: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            self.cut_words()?;
            match what() {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                done => return done,
            }
        }
    }

    /// Forgets what it said, but for the end, where that has become too much.
    fn cut_words(&self) -> io::Result<()> {
        if self.said.metadata()?.len() <= MOST_SAID_BYTES {
            return Ok(());
        }
        let end = self.end_of_words();
        self.said.set_len(0)?;
        (&self.said).write_all(&end)
    }

    fn end_of_words(&self) -> Vec<u8> {
        let len = self.said.metadata().map_or(0, |metadata| metadata.len());
        let from = len.saturating_sub(LAST_WORDS_BYTES);
        let mut bytes = vec![0; usize::try_from(len - from).unwrap_or_default()];
        if self.said.read_exact_at(&mut bytes, from).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// The end of what it said, in one line.
    fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.end_of_words()).into_owned();
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join("; ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, and need not be.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// A program whose output is read. Its end of output is not its success: that is what [`Reading::finish`] says.
pub struct Reading {
    running: Running,
    stream: Patient<ChildStdout>,
}

impl Reading {
    /// Waits until it prints something, or ends.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.running.listening(|| self.stream.wait_readable())
    }

    /// Waits for its end; gives the last lines of its standard error.
    pub fn finish(self, ctx: &Ctx) -> Result<String, ChildError> {
        drop(self.stream);
        self.running.finish(ctx)
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (running, stream) = (&self.running, &mut self.stream);
        running.listening(|| stream.read(buffer))
    }
}

/// A program that is written to.
pub struct Writing {
    running: Running,
    stream: Patient<ChildStdin>,
}

impl Writing {
    /// Ends its input and waits for its end; gives the last lines of its standard error.
    pub fn finish(self, ctx: &Ctx) -> Result<String, ChildError> {
        drop(self.stream);
        self.running.finish(ctx)
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (running, stream) = (&self.running, &mut self.stream);
        running.listening(|| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let (running, stream) = (&self.running, &mut self.stream);
        running.listening(|| stream.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn what_it_prints_is_read_and_its_status_decides() {
        let ctx = Ctx::default();
        assert_eq!(shell("printf word").run(&ctx).unwrap(), b"word");
        let failed = shell("printf word; echo first >&2; echo last >&2; exit 3").run(&ctx).unwrap_err();
        assert_eq!(failed.to_string(), "sh has failed (exit status: 3): first; last");
    }

    #[test]
    fn it_has_no_environment_but_its_own() {
        let program = shell("env").env("WORD", "geheim");
        let printed = String::from_utf8(program.run(&Ctx::default()).unwrap()).unwrap();
        let names: Vec<_> = printed.lines().filter_map(|line| line.split('=').next()).collect();
        let allowed = ["PATH", "LC_ALL", "WORD", "PWD", "OLDPWD", "SHLVL", "_"];
        assert!(names.iter().all(|name| allowed.contains(name)) && names.contains(&"WORD"), "{names:?}");
        assert!(!format!("{program:?}").contains("geheim"));
    }

    #[test]
    fn of_one_that_talks_without_end_the_end_is_kept() {
        let ctx = Ctx::default();
        let talk = "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo ready; read -r word; echo last $word >&2; exit 3";
        let mut writing = shell(talk).write(&ctx).unwrap();
        while writing.running.said.metadata().unwrap().len() < 3_000_000 {
            std::thread::yield_now();
        }
        writing.write_all(b"word\n").unwrap();
        assert!(writing.running.said.metadata().unwrap().len() < MOST_SAID_BYTES);
        let failed = writing.finish(&ctx).unwrap_err().to_string();
        assert!(failed.ends_with("last word") && failed.len() < 4096, "{failed}");
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let ctx = Ctx::default();
        let mut reading = shell("echo $$; exec sleep 1000").read(&ctx).unwrap();
        let mut line = [0; 32];
        let read = reading.read(&mut line).unwrap();
        let id = String::from_utf8_lossy(&line[..read]).trim().to_owned();
        assert!(Path::new("/proc").join(&id).exists());
        drop(reading);
        assert!(!Path::new("/proc").join(&id).exists());
    }

    #[test]
    fn a_cancel_ends_waiting_for_it() {
        let ctx = Ctx::default();
        ctx.cancel.cancel();
        assert!(shell("sleep 1000").run(&ctx).is_err());
        assert!(shell("exec sleep 1000").write(&ctx).unwrap().finish(&ctx).is_err());
    }

    #[test]
    fn what_is_written_to_it_arrives() {
        let ctx = Ctx::default();
        let mut writing = shell("test \"$(cat)\" = word || exit 1; echo heard >&2").write(&ctx).unwrap();
        writing.write_all(b"word").unwrap();
        assert_eq!(writing.finish(&ctx).unwrap(), "heard");
    }
}
