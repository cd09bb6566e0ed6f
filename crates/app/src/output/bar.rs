//! The bar: two rows at the end of what a terminal shows, drawn again in place and never wider than the terminal.
//!
//! The cursor waits at their beginning, so that what the terminal itself writes (`^C`) moves nothing, and who dies
//! leaves nothing worse than two rows to be written over.

use std::io::{self, Write};

use rustix::termios::tcgetwinsize;

const CLEAR: &str = "\r\x1b[J";

/// What is drawn, if anything is.
#[derive(Default)]
pub(super) struct Bar(Option<String>);

impl Bar {
    pub(super) fn draw(&mut self, first: &str, second: &str) {
        let last = if self.0.is_some() { CLEAR } else { "" };
        let rows = format!("{first}\n{second}\r\x1b[A");
        write(&[last, &rows].concat());
        self.0 = Some(rows);
    }

    pub(super) fn clear(&mut self) {
        if self.0.take().is_some() {
            write(CLEAR);
        }
    }

    /// Prints above it.
    pub(super) fn above<T>(&mut self, print: impl FnOnce() -> T) -> T {
        let rows = self.0.take();
        rows.iter().for_each(|_| write(CLEAR));
        let printed = print();
        rows.iter().for_each(|rows| write(rows));
        self.0 = rows;
        printed
    }
}

/// Nobody may be there any more.
fn write(text: &str) {
    drop(io::stderr().write_all(text.as_bytes()));
}

/// How much a row may hold, so that the cursor never leaves it.
pub(super) fn columns() -> usize {
    const WHEN_UNKNOWN: usize = 80;
    let columns = tcgetwinsize(io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { WHEN_UNKNOWN } else { columns - 1 }
}

/// As much of a text as surely fits: what may take two columns is taken to do so.
pub(super) fn fitting(text: &str, columns: usize) -> &str {
    let mut width = 0;
    let end = text.char_indices().find(|(_, char)| {
        width += if *char < '\u{1100}' { 1 } else { 2 };
        width > columns
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(fitting("abc", 3), "abc");
        assert_eq!(fitting("abcd", 3), "abc");
        assert_eq!(fitting("ä日本", 4), "ä日");
        assert_eq!(fitting("日", 1), "");
    }
}
