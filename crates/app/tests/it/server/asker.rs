//! The official client of databases, kept running so that it asks at once.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Instant;

use super::Server;

/// A step of `databases.py` that asks for something with each line that it reads.
pub(super) struct Asker {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Asker {
    pub(super) fn start(server: &Server, step: &[&str]) -> Self {
        let mut command = server.python_command("databases.py", &[&["v3"], step].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, answers }
    }

    /// Asks a server, which may be another one than before; when it was answered.
    pub(super) fn ask(&mut self, server: &Server, more: &str) -> Instant {
        writeln!(self.child.stdin.as_ref().unwrap(), "{} {more}", server.address).unwrap();
        assert_eq!(self.answers.next().unwrap().unwrap(), "asked");
        Instant::now()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        // One that has failed is gone already.
        self.child.kill().unwrap_or_default();
        self.child.wait().unwrap();
    }
}
