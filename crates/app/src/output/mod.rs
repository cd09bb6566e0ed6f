//! Everything that is printed goes through here: text for people or JSON for programs, never both.
//!
//! Results go to standard output, trouble to standard error. A reader that goes away ends a command that only
//! prints; it never ends one that works on the vault, whose notes are then lost, not its work.
//!
//! Control characters of names, which could command a terminal, are never printed. While a bar is drawn, notes and
//! trouble go above it.

mod bar;
pub(crate) mod message;
pub(crate) mod node;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lifeboat_repository::source::EntryError;
use serde::Serialize;

use self::bar::Bar;
use crate::cli::GlobalArgs;
use crate::exit::Status;

/// Where results and trouble go.
pub(crate) struct Output {
    is_json: bool,
    is_quiet: bool,
    shows_progress: bool,
    verbosity: u8,
    stdout: Mutex<BufWriter<Stdout>>,
    bar: Mutex<Bar>,
}

impl Output {
    pub(crate) fn new(args: &GlobalArgs) -> Self {
        Self {
            is_json: args.json,
            is_quiet: args.quiet,
            shows_progress: !args.quiet && !args.no_progress,
            verbosity: args.verbose,
            stdout: Mutex::new(BufWriter::new(io::stdout())),
            bar: Mutex::default(),
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(crate) fn shows_progress(&self) -> bool {
        self.shows_progress
    }

    /// Whether single items are told of: to programs all once `--verbose` is given, to people those that are left as
    /// they are only when it is given twice.
    pub(crate) fn lists(&self, is_change: bool) -> bool {
        self.verbosity > if is_change || self.is_json { 0 } else { 1 }
    }

    /// Tells people more, when they asked for it with `--verbose`.
    pub(crate) fn detail(&self, line: impl Display) {
        if self.verbosity > 0 {
            self.note(line);
        }
    }

    /// Prints a line of the result.
    pub(crate) fn line(&self, line: impl Display) -> io::Result<()> {
        writeln!(self.stdout(), "{}", text::printable_lines(&line.to_string()))
    }

    /// Prints bytes of the result as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.stdout().write_all(bytes)
    }

    /// Prints a line that need not be UTF-8.
    pub(crate) fn bytes_line(&self, line: &[u8]) -> io::Result<()> {
        let mut stdout = self.stdout();
        stdout.write_all(line)?;
        stdout.write_all(b"\n")
    }

    /// Prints one JSON object of the result.
    pub(crate) fn json(&self, message: &impl Serialize) -> io::Result<()> {
        let mut stdout = self.stdout();
        serde_json::to_writer(&mut *stdout, message)?;
        stdout.write_all(b"\n")
    }

    /// Prints one JSON object at once, for those who watch; nobody may be there any more.
    pub(crate) fn json_now(&self, message: &impl Serialize) {
        drop(self.json(message).and_then(|()| self.flush()));
    }

    /// Tells people what goes on; silent with `--quiet` and `--json`.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.is_quiet && !self.is_json {
            drop(self.bar().above(|| self.line(line).and_then(|()| self.flush())));
        }
    }

    /// Tells people what was done with a path, by one word in front of it; silent as [`Output::note`] is.
    pub(crate) fn note_path(&self, what: &str, path: &[u8], rest: &str) {
        if !self.is_quiet && !self.is_json {
            let line = [format!("{what:<10}").as_bytes(), &text::path(path), rest.as_bytes()].concat();
            drop(self.bar().above(|| self.bytes_line(&line).and_then(|()| self.flush())));
        }
    }

    fn bar(&self) -> MutexGuard<'_, Bar> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Warns of something that does not end the command.
    pub(crate) fn warn(&self, warning: impl Display) {
        if self.is_json {
            self.trouble_json(&message::warning(&warning.to_string()));
        } else {
            self.trouble(format_args!("warning: {warning}"));
        }
    }

    /// Names something that is wrong and ends the command with a failure later.
    pub(crate) fn error(&self, what: impl Display) {
        if self.is_json {
            self.trouble_json(&message::error(&what.to_string()));
        } else {
            self.trouble(format_args!("error: {what}"));
        }
    }

    /// Names an entry that could not be read or written.
    pub(crate) fn entry_error(&self, error: &EntryError, during: &'static str) {
        if self.is_json {
            self.trouble_json(&message::entry_error(error, during));
        } else {
            self.trouble(format_args!("error: {}", text::printable(&text::chain(error))));
        }
    }

    /// Says why the command failed.
    pub(crate) fn failure(&self, error: &anyhow::Error, status: Status) {
        let what = text::chain(error.as_ref());
        if self.is_json {
            self.trouble_json(&message::exit_error(status, &what));
        } else {
            self.trouble(format_args!("lifeboat: {what}"));
        }
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        self.stdout().flush()
    }

    /// Standard output itself, for archives and file contents.
    pub(crate) fn stdout(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trouble(&self, line: impl Display) {
        let line = text::printable_lines(&line.to_string());
        self.bar().above(|| {
            // Whoever reads the results sees them in the order things happened.
            drop(self.flush());
            drop(writeln!(io::stderr(), "{line}"));
        });
    }

    fn trouble_json(&self, message: &impl Serialize) {
        self.trouble(serde_json::to_string(message).expect("messages are strings and numbers"));
    }
}
