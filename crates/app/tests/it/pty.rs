//! A terminal for tests: the program runs in it as under a user's hands, and its screen can be looked at.
//!
//! Whoever waits for something to appear waits for just that, up to a deadline that means the test has failed.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const DEADLINE: Duration = Duration::from_secs(120);
const ROWS: u16 = 24;

/// A program in a terminal.
pub(crate) struct Terminal {
    hands: File,
    /// Our own hold of the program's end: what it leaves can be looked at after it has ended.
    end: File,
    child: Child,
    pub(crate) screen: Screen,
    /// All that has come, as it came.
    pub(crate) came: Vec<u8>,
}

impl Terminal {
    /// Starts the command in a terminal of this many columns, which it controls: Ctrl-C works.
    pub(crate) fn start(command: &Command, columns: u16) -> Self {
        let hands = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&hands).unwrap();
        unlockpt(&hands).unwrap();
        let name = ptsname(&hands, Vec::new()).unwrap();
        let end = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let size = Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&end, size).unwrap();
        let end = File::from(end);
        let stdio = || Stdio::from(end.try_clone().unwrap());
        let mut program = Command::new("setsid");
        program.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        program
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", "xterm");
        program.current_dir(command.get_current_dir().unwrap());
        let child = program.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let screen = Screen::new(columns.into());
        Self { hands: File::from(hands), end, child, screen, came: Vec::new() }
    }

    /// Waits until `is_there` says so of the screen.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_there: impl Fn(&Screen) -> bool) {
        let began = Instant::now();
        while !is_there(&self.screen) {
            let ended = self.child.try_wait().unwrap();
            let has_more = self.take(Duration::from_millis(100));
            assert!(
                (ended.is_none() || has_more) && began.elapsed() < DEADLINE,
                "waited for {what} ({ended:?}); on the screen is\n{}",
                self.screen.text()
            );
        }
    }

    /// Waits until this can be read on the screen.
    #[track_caller]
    pub(crate) fn until_text(&mut self, text: &str) {
        self.until(text, |screen| screen.text().contains(text));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.hands.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.end).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits for the end of the program and fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: i32) {
        let began = Instant::now();
        let status = loop {
            self.take(Duration::from_millis(100));
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < DEADLINE, "it does not end; on the screen is\n{}", self.screen.text());
        };
        while self.take(Duration::ZERO) {}
        assert_eq!(status.code(), Some(code), "on the screen is\n{}", self.screen.text());
    }

    /// Takes what has come, or comes within this time.
    fn take(&mut self, patience: Duration) -> bool {
        let patience = Timespec::try_from(patience).unwrap();
        let mut ready = [PollFd::new(&self.hands, PollFlags::IN)];
        if poll(&mut ready, Some(&patience)).unwrap() == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        let length = self.hands.read(&mut buffer).unwrap();
        self.came.extend_from_slice(&buffer[..length]);
        self.screen.take(&buffer[..length]);
        length > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().unwrap_or_default();
            self.child.wait().map(drop).unwrap_or_default();
        }
    }
}

/// What a terminal shows: its rows, scrolled out ones included. It knows the few commands that programs such as ours
/// give, and fails the test at any other.
pub(crate) struct Screen {
    columns: usize,
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    pending: Vec<u8>,
}

impl Screen {
    fn new(columns: usize) -> Self {
        Self { columns, rows: vec![Vec::new()], row: 0, column: 0, pending: Vec::new() }
    }

    /// The rows, without blanks at their ends.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.rows().join("\n").trim_end().to_owned()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(used) = self.step() {
            self.pending.drain(..used);
        }
    }

    /// Does what the next bytes say; tells how many these were, or that they are not all there yet.
    fn step(&mut self) -> Option<usize> {
        match *self.pending.first()? {
            b'\x1b' => return self.command(),
            b'\r' => self.column = 0,
            b'\n' => self.go_down(),
            control @ (0..0x20 | 0x7f) => panic!("the terminal was sent the control character {control:#x}"),
            first => {
                let length = match first {
                    0..0x80 => 1,
                    0x80..0xe0 => 2,
                    0xe0..0xf0 => 3,
                    _ => 4,
                };
                let char = std::str::from_utf8(self.pending.get(..length)?).unwrap().chars().next().unwrap();
                assert!(!char.is_control(), "the terminal was sent the control character {char:?}");
                self.put(char);
                return Some(length);
            }
        }
        Some(1)
    }

    fn command(&mut self) -> Option<usize> {
        let end = self.pending.iter().position(u8::is_ascii_alphabetic)?;
        let text = String::from_utf8(self.pending[..=end].to_vec()).unwrap();
        let number = |text: &str| text.parse::<usize>().unwrap_or(1);
        let (body, letter) = text.split_at(end);
        match (body.strip_prefix("\x1b["), letter) {
            (Some(rows), "A") => {
                self.row = self.row.checked_sub(number(rows)).expect("the cursor leaves the screen");
            }
            (Some(rows), "B") => (0..number(rows)).for_each(|_| self.go_down()),
            (Some("2"), "K") => self.rows[self.row].clear(),
            (Some("" | "0"), "K") => self.rows[self.row].truncate(self.column),
            (Some("" | "0"), "J") => {
                self.rows.truncate(self.row + 1);
                self.rows[self.row].truncate(self.column);
            }
            _ => panic!("the terminal was sent the command {text:?}"),
        }
        Some(end + 1)
    }

    fn go_down(&mut self) {
        self.row += 1;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    /// As terminals do it, the cursor stays at the end of a full row until there is more to write.
    fn put(&mut self, char: char) {
        if self.column == self.columns {
            self.go_down();
            self.column = 0;
        }
        let row = &mut self.rows[self.row];
        row.resize(row.len().max(self.column + 1), ' ');
        row[self.column] = char;
        self.column += 1;
    }
}
