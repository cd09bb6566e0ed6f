//! The bytes of the RDB that a server sends to a replica, and their end.
//!
//! A server that saved to disk first tells the length. One that sends while it saves (diskless) tells forty bytes that
//! will stand at the end; the last forty bytes are therefore held back until it is known whether they are that mark.

use std::io::{self, Read};

const MARK_BYTES: usize = 40;
const READ_BYTES: usize = 1 << 16;

/// How a transfer ends, as its first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Length(u64),
    Mark([u8; MARK_BYTES]),
}

impl Form {
    /// `$<length>` or `$EOF:<mark>`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let rest = line.strip_prefix('$')?;
        match rest.strip_prefix("EOF:") {
            Some(mark) => mark.as_bytes().try_into().ok().map(Self::Mark),
            None => rest.parse().ok().map(Self::Length),
        }
    }
}

/// Gives the RDB and then ends; a connection that ends before is an error.
pub(super) struct Transfer<S> {
    stream: S,
    form: Form,
    /// What was read and not given; with a mark, at least as much as a mark as long as it goes on.
    held: Vec<u8>,
    given: usize,
    is_over: bool,
}

impl<S: Read> Transfer<S> {
    pub(super) fn new(stream: S, form: Form) -> Self {
        Self { stream, form, held: Vec::new(), given: 0, is_over: false }
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server ended the connection in the middle of the transfer",
            )),
            read => Ok(read),
        }
    }

    /// Reads until more than a mark is held, or the mark alone is left.
    fn hold_more(&mut self, mark: [u8; MARK_BYTES]) -> io::Result<()> {
        self.held.drain(..self.given);
        self.given = 0;
        let mut buffer = [0; READ_BYTES];
        loop {
            let read = self.read_on(&mut buffer)?;
            self.held.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if self.held.ends_with(&mark) {
                self.held.truncate(self.held.len() - MARK_BYTES);
                self.is_over = true;
                return Ok(());
            }
            if self.held.len() > MARK_BYTES {
                return Ok(());
            }
        }
    }
}

impl<S: Read> Read for Transfer<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mark = match &mut self.form {
            Form::Length(0) => return Ok(0),
            Form::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.read_on(buffer.get_mut(..most).unwrap_or_default())?;
                if let Form::Length(left) = &mut self.form {
                    *left -= read as u64;
                }
                return Ok(read);
            }
            Form::Mark(mark) => *mark,
        };
        let back = |transfer: &Self| if transfer.is_over { 0 } else { MARK_BYTES };
        if !self.is_over && self.held.len() <= self.given + MARK_BYTES {
            self.hold_more(mark)?;
        }
        let end = self.held.len().saturating_sub(back(self)).max(self.given);
        let ready = self.held.get(self.given..end).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        let (filled, _) = buffer.split_at_mut(count);
        filled.copy_from_slice(ready.get(..count).unwrap_or_default());
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: [u8; 40] = *b"0123456789abcdef0123456789abcdef01234567";

    /// Gives the bytes in pieces of so many.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    fn read(bytes: &[u8], piece: usize, form: Form) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Transfer::new(Pieces(bytes, piece), form).read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn the_first_line_tells_the_form() {
        assert_eq!(Form::parse("$1234"), Some(Form::Length(1234)));
        assert_eq!(Form::parse(&format!("$EOF:{}", str::from_utf8(&MARK).unwrap())), Some(Form::Mark(MARK)));
        for strange in ["$", "$EOF:123", "1234", "$-1", "+OK"] {
            assert_eq!(Form::parse(strange), None, "{strange}");
        }
    }

    #[test]
    fn a_transfer_ends_at_its_mark_however_it_is_cut() {
        for length in [0, 1, 39, 40, 41, 200] {
            let content: Vec<u8> = MARK[..39].iter().copied().cycle().skip(1).take(length).collect();
            let bytes = [&content[..], &MARK].concat();
            for piece in [1, 7, 40, 41, 1000] {
                assert_eq!(read(&bytes, piece, Form::Mark(MARK)).unwrap(), content, "{length} by {piece}");
            }
        }
    }

    #[test]
    fn a_transfer_ends_at_its_length() {
        assert_eq!(read(b"abcdef", 2, Form::Length(5)).unwrap(), b"abcde");
    }

    #[test]
    fn a_connection_that_ends_early_is_an_error() {
        let cut = [&b"content"[..], &MARK[..39]].concat();
        for form in [Form::Mark(MARK), Form::Length(100)] {
            assert_eq!(read(&cut, 5, form).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
