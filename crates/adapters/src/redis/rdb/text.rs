//! One string of an RDB, read in pieces: plain, a number in disguise, or compressed with LZF.
//!
//! However long it is, no more of it is held than one piece; of a compressed one the 8 KiB that LZF looks back.

use std::io::Read;

use super::error::Result;
use super::input::{Input, Length};

/// How far LZF looks back.
const WINDOW_BYTES: usize = 1 << 13;
/// How much is decompressed at once.
const STEP_BYTES: usize = 1 << 14;
const LZF: u8 = 3;

/// Bytes that come in pieces.
pub(crate) trait Pieces {
    /// How many bytes are still to come.
    fn left(&self) -> u64;
    /// The next of them: none when none are left, else at least one and at most `most`, which is not zero.
    fn piece(&mut self, most: u64) -> Result<&[u8]>;
}

/// The content of a string.
pub(crate) struct Text<'a, R> {
    pub(super) input: &'a mut Input<R>,
    left: u64,
    form: Form,
}

enum Form {
    Plain,
    Number(Vec<u8>),
    Lzf(Lzf),
}

struct Lzf {
    packed_left: u64,
    /// The end of what is decompressed; from `given` on nobody has got it.
    window: Vec<u8>,
    given: usize,
}

impl<'a, R: Read> Text<'a, R> {
    pub(crate) fn open(input: &'a mut Input<R>) -> Result<Self> {
        let (left, form) = match input.length_or_encoding()? {
            Length::Plain(length) => (length, Form::Plain),
            Length::Encoded(LZF) => {
                let (packed_left, length) = (input.length()?, input.length()?);
                (length, Form::Lzf(Lzf { packed_left, window: Vec::new(), given: 0 }))
            }
            Length::Encoded(encoding) => {
                let digits = number(input, encoding)?.to_string().into_bytes();
                (digits.len() as u64, Form::Number(digits))
            }
        };
        Ok(Self { input, left, form })
    }

    /// All of it, which is at most `most` bytes.
    pub(crate) fn hold(mut self, most: u64, what: &str) -> Result<Vec<u8>> {
        if self.left > most {
            let what = format!("{what} of {} bytes, more than the {most} that can be handled", self.left);
            return Err(self.input.unsupported(what));
        }
        let mut bytes = Vec::new();
        while self.left > 0 {
            bytes.extend_from_slice(self.piece(u64::MAX)?);
        }
        self.finish()?;
        Ok(bytes)
    }

    /// Ends a string that was read to its end.
    pub(crate) fn finish(self) -> Result<()> {
        let is_over = match &self.form {
            Form::Lzf(lzf) => lzf.packed_left == 0 && lzf.given == lzf.window.len(),
            Form::Plain | Form::Number(_) => true,
        };
        if is_over && self.left == 0 {
            Ok(())
        } else {
            Err(self.input.damaged("a string is longer than it says"))
        }
    }
}

impl<R: Read> Pieces for Text<'_, R> {
    fn left(&self) -> u64 {
        self.left
    }

    fn piece(&mut self, most: u64) -> Result<&[u8]> {
        let most = most.min(self.left);
        if most == 0 {
            return Ok(&[]);
        }
        let piece = match &mut self.form {
            Form::Plain => self.input.take(most)?,
            Form::Number(digits) => {
                let at = digits.len().saturating_sub(usize::try_from(self.left).unwrap_or(usize::MAX));
                front(digits, at, most)
            }
            Form::Lzf(lzf) => lzf.piece(most, self.input)?,
        };
        self.left -= piece.len() as u64;
        Ok(piece)
    }
}

fn front(bytes: &[u8], at: usize, most: u64) -> &[u8] {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.get(..usize::try_from(most).unwrap_or(usize::MAX)).unwrap_or(rest)
}

impl Lzf {
    fn piece<R: Read>(&mut self, most: u64, input: &mut Input<R>) -> Result<&[u8]> {
        if self.given == self.window.len() {
            self.window.drain(..self.given.saturating_sub(WINDOW_BYTES));
            self.given = self.window.len();
            while self.window.len() < self.given + STEP_BYTES && self.packed_left > 0 {
                self.step(input)?;
            }
            if self.window.len() == self.given {
                return Err(input.damaged("a compressed string is shorter than it says"));
            }
        }
        let piece = front(&self.window, self.given, most);
        self.given += piece.len();
        Ok(piece)
    }

    /// Some bytes as they are, or some that were there before.
    fn step<R: Read>(&mut self, input: &mut Input<R>) -> Result<()> {
        let control = usize::from(self.byte(input)?);
        if control < 32 {
            for _ in 0..=control {
                let byte = self.byte(input)?;
                self.window.push(byte);
            }
            return Ok(());
        }
        let mut length = (control >> 5) + 2;
        if length == 9 {
            length += usize::from(self.byte(input)?);
        }
        let distance = ((control & 0x1f) << 8) + usize::from(self.byte(input)?) + 1;
        let Some(from) = self.window.len().checked_sub(distance) else {
            return Err(input.damaged("a compressed string looks back before its start"));
        };
        for at in from..from + length {
            let byte = self.window.get(at).copied().unwrap_or_default();
            self.window.push(byte);
        }
        Ok(())
    }

    fn byte<R: Read>(&mut self, input: &mut Input<R>) -> Result<u8> {
        match self.packed_left.checked_sub(1) {
            Some(left) => self.packed_left = left,
            None => return Err(input.damaged("a compressed string ends too early")),
        }
        input.byte()
    }
}

fn number<R: Read>(input: &mut Input<R>, encoding: u8) -> Result<i32> {
    Ok(match encoding {
        0 => i8::from_le_bytes(input.array()?).into(),
        1 => i16::from_le_bytes(input.array()?).into(),
        2 => i32::from_le_bytes(input.array()?),
        _ => return Err(input.damaged(format!("a string of the unknown encoding {encoding}"))),
    })
}

/// Reads over a string without decompressing it.
pub(crate) fn skip_text<R: Read>(input: &mut Input<R>) -> Result<()> {
    let bytes = match input.length_or_encoding()? {
        Length::Plain(length) => length,
        Length::Encoded(LZF) => {
            let packed = input.length()?;
            input.length()?;
            packed
        }
        Length::Encoded(encoding) => return number(input, encoding).map(drop),
    };
    input.skip(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut input = Input::new(bytes);
        Text::open(&mut input)?.hold(1 << 20, "a string")
    }

    #[test]
    fn a_string_is_plain_or_a_number_or_compressed() {
        assert_eq!(text(b"\x03abc").unwrap(), b"abc");
        assert_eq!(text(&[0xc0, 0xfe]).unwrap(), b"-2");
        assert_eq!(text(&[0xc1, 0x39, 0x30]).unwrap(), b"12345");
        assert_eq!(text(&[0xc2, 0, 0, 0, 0x80]).unwrap(), b"-2147483648");
        // "ab", then 7 + 2 + 1 bytes from two back, which repeat what they write.
        assert_eq!(text(&[0xc3, 6, 12, 1, b'a', b'b', 0xe0, 1, 1]).unwrap(), b"abababababab");
    }

    #[test]
    fn a_compressed_string_that_lies_is_refused() {
        for (bytes, why) in [
            (&[0xc3, 6, 13, 1, b'a', b'b', 0xe0, 1, 1][..], "shorter than it says"),
            (&[0xc3, 6, 11, 1, b'a', b'b', 0xe0, 1, 1], "longer than it says"),
            (&[0xc3, 6, 12, 1, b'a', b'b', 0xe0, 1, 2], "before its start"),
            (&[0xc3, 2, 12, 1, b'a', b'b'], "ends too early"),
            (&[0xc4], "unknown encoding 4"),
            (&[5, 1], "the end comes too early"),
        ] {
            let error = text(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{error}: {why}");
        }
    }
}
