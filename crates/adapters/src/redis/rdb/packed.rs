//! Small collections that Redis keeps in one string: listpacks, ziplists and sets of integers.
//!
//! Their entries are read one after the other out of the string, which is never held: an entry is a number, or bytes
//! that come in pieces.

use std::io::Read;

use super::error::{RdbError, Result};
use super::text::{Pieces, Text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PackedForm {
    Listpack,
    Ziplist,
    Intset,
}

/// The entries of a packed string; as [`Pieces`] it is the entry that `next` went to.
pub(crate) struct Packed<'a, R> {
    text: Text<'a, R>,
    form: Form,
    entry: Entry,
}

enum Form {
    /// How many bytes behind the entry tell its length again.
    Listpack {
        trailer: u64,
    },
    Ziplist,
    Intset {
        width: u32,
        left: u32,
    },
}

enum Entry {
    Bytes(u64),
    Number { digits: Vec<u8>, given: usize },
}

/// What stands at the front of an entry.
enum Head {
    Bytes(u64),
    Number(i64),
}

impl<'a, R: Read> Packed<'a, R> {
    pub(crate) fn open(mut text: Text<'a, R>, form: PackedForm) -> Result<Self> {
        let form = match form {
            PackedForm::Listpack => {
                array::<6, _>(&mut text)?;
                Form::Listpack { trailer: 0 }
            }
            PackedForm::Ziplist => {
                array::<10, _>(&mut text)?;
                Form::Ziplist
            }
            PackedForm::Intset => {
                let width = u32::from_le_bytes(array(&mut text)?);
                Form::Intset { width, left: u32::from_le_bytes(array(&mut text)?) }
            }
        };
        Ok(Self { text, form, entry: Entry::Bytes(0) })
    }

    /// Goes to the next entry; false behind the last one.
    pub(crate) fn next(&mut self) -> Result<bool> {
        while let Entry::Bytes(1..) = self.entry {
            self.piece(u64::MAX)?;
        }
        let head = match &mut self.form {
            Form::Listpack { trailer } => {
                pass(&mut self.text, std::mem::take(trailer))?;
                listpack_head(&mut self.text, trailer)?
            }
            Form::Ziplist => ziplist_head(&mut self.text)?,
            Form::Intset { left: 0, .. } => None,
            Form::Intset { width, left } => {
                *left -= 1;
                Some(Head::Number(integer(&mut self.text, *width)?))
            }
        };
        self.entry = match head {
            None => return Ok(false),
            Some(Head::Bytes(left)) => Entry::Bytes(left),
            Some(Head::Number(number)) => Entry::Number { digits: number.to_string().into(), given: 0 },
        };
        Ok(true)
    }

    /// Goes to the next entry, which must be there.
    pub(crate) fn expect_next(&mut self) -> Result<()> {
        if self.next()? { Ok(()) } else { Err(self.damaged("a packed value ends in the middle of a pair")) }
    }

    /// The next entry, which must be a number.
    pub(crate) fn number(&mut self) -> Result<i64> {
        self.expect_next()?;
        let text = match &self.entry {
            Entry::Number { digits, .. } => std::str::from_utf8(digits).unwrap_or_default(),
            Entry::Bytes(_) => "",
        };
        text.parse().map_err(|_| self.damaged("a packed value has a string where a number belongs"))
    }

    pub(crate) fn damaged(&self, what: &str) -> RdbError {
        self.text.input.damaged(what)
    }

    pub(crate) fn unsupported(&self, what: &str) -> RdbError {
        self.text.input.unsupported(what)
    }

    /// Ends a list whose entries were all read.
    pub(crate) fn finish(self) -> Result<()> {
        self.text.finish()
    }
}

impl<R: Read> Pieces for Packed<'_, R> {
    fn left(&self) -> u64 {
        match &self.entry {
            Entry::Bytes(left) => *left,
            Entry::Number { digits, given } => (digits.len() - given) as u64,
        }
    }

    fn piece(&mut self, most: u64) -> Result<&[u8]> {
        match &mut self.entry {
            Entry::Bytes(0) => Ok(&[]),
            Entry::Bytes(left) => {
                if self.text.left() == 0 {
                    return Err(self.text.input.damaged("a packed value ends too early"));
                }
                let piece = self.text.piece(most.min(*left))?;
                *left -= piece.len() as u64;
                Ok(piece)
            }
            Entry::Number { digits, given } => {
                let rest = digits.get(*given..).unwrap_or_default();
                let piece = rest.get(..usize::try_from(most).unwrap_or(usize::MAX)).unwrap_or(rest);
                *given += piece.len();
                Ok(piece)
            }
        }
    }
}

fn array<const N: usize, R: Read>(text: &mut Text<'_, R>) -> Result<[u8; N]> {
    let mut array = [0; N];
    let mut rest = array.as_mut_slice();
    while !rest.is_empty() {
        let piece = text.piece(rest.len() as u64)?;
        let length = piece.len();
        let (filled, left) = rest.split_at_mut(length);
        filled.copy_from_slice(piece);
        if length == 0 {
            return Err(text.input.damaged("a packed value ends too early"));
        }
        rest = left;
    }
    Ok(array)
}

fn byte<R: Read>(text: &mut Text<'_, R>) -> Result<u8> {
    let [byte] = array(text)?;
    Ok(byte)
}

fn pass<R: Read>(text: &mut Text<'_, R>, bytes: u64) -> Result<()> {
    (0..bytes).try_for_each(|_| byte(text).map(drop))
}

/// A little-endian integer of so many bytes.
fn integer<R: Read>(text: &mut Text<'_, R>, width: u32) -> Result<i64> {
    Ok(match width {
        1 => i8::from_le_bytes(array(text)?).into(),
        2 => i16::from_le_bytes(array(text)?).into(),
        3 => {
            let [low, middle, high] = array(text)?;
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        4 => i32::from_le_bytes(array(text)?).into(),
        8 => i64::from_le_bytes(array(text)?),
        _ => return Err(text.input.damaged(format!("integers of {width} bytes"))),
    })
}

fn listpack_head<R: Read>(text: &mut Text<'_, R>, trailer: &mut u64) -> Result<Option<Head>> {
    let first = byte(text)?;
    let low = i64::from(first);
    let (head, encoding) = match first {
        0xff => return Ok(None),
        0x00..=0x7f => (Head::Number(low), 1),
        0x80..=0xbf => (Head::Bytes(u64::from(first & 0x3f)), 1),
        0xc0..=0xdf => {
            let number = (low & 0x1f) << 8 | i64::from(byte(text)?);
            (Head::Number(if number < 1 << 12 { number } else { number - (1 << 13) }), 2)
        }
        0xe0..=0xef => (Head::Bytes(u64::from(u16::from_be_bytes([first & 0x0f, byte(text)?]))), 2),
        0xf0 => (Head::Bytes(u64::from(u32::from_le_bytes(array(text)?))), 5),
        0xf1..=0xf4 => {
            let width = if first == 0xf4 { 8 } else { u32::from(first) - 0xef };
            (Head::Number(integer(text, width)?), u64::from(width) + 1)
        }
        _ => return Err(text.input.damaged(format!("{first:#04x} begins no entry of a listpack"))),
    };
    let whole = if let Head::Bytes(length) = head { encoding + length } else { encoding };
    *trailer = match whole {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    Ok(Some(head))
}

fn ziplist_head<R: Read>(text: &mut Text<'_, R>) -> Result<Option<Head>> {
    match byte(text)? {
        0xff => return Ok(None),
        // The length of the entry before, in four bytes.
        0xfe => pass(text, 4)?,
        _ => {}
    }
    let first = byte(text)?;
    let low = first & 0x3f;
    Ok(Some(match first {
        0x00..=0x3f => Head::Bytes(u64::from(low)),
        0x40..=0x7f => Head::Bytes(u64::from(u16::from_be_bytes([low, byte(text)?]))),
        0x80 => Head::Bytes(u64::from(u32::from_be_bytes(array(text)?))),
        0xc0 => Head::Number(integer(text, 2)?),
        0xd0 => Head::Number(integer(text, 4)?),
        0xe0 => Head::Number(integer(text, 8)?),
        0xf0 => Head::Number(integer(text, 3)?),
        0xf1..=0xfd => Head::Number(i64::from(first & 0x0f) - 1),
        0xfe => Head::Number(integer(text, 1)?),
        _ => return Err(text.input.damaged(format!("{first:#04x} begins no entry of a ziplist"))),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::input::Input;
    use super::*;

    fn entries(form: PackedForm, content: &[u8]) -> Result<Vec<String>> {
        let length = u8::try_from(content.len()).unwrap();
        let string = [&[0x40, length], content].concat();
        let mut input = Input::new(string.as_slice());
        let mut packed = Packed::open(Text::open(&mut input)?, form)?;
        let mut entries = Vec::new();
        while packed.next()? {
            let mut entry = Vec::new();
            while packed.left() > 0 {
                entry.extend_from_slice(packed.piece(2)?);
            }
            entries.push(String::from_utf8(entry).unwrap());
        }
        packed.finish()?;
        Ok(entries)
    }

    #[test]
    fn a_listpack_gives_its_entries() {
        let head = [0; 6];
        let numbers =
            [&[7, 1][..], &[0xdf, 0xff, 2], &[0xf1, 0, 0x80, 3], &[0xf2, 0xff, 0xff, 0xff, 4]].concat();
        let more =
            [&[0xf3, 1, 0, 0, 0x80, 5][..], &[0xf4, 1, 0, 0, 0, 0, 0, 0, 0, 9], b"\x83abc\x04"].concat();
        let long = [&[0xe0, 4][..], b"long", &[6, 0xff]].concat();
        let listpack = [&head[..], &numbers, &more, &long].concat();
        let found = entries(PackedForm::Listpack, &listpack).unwrap();
        assert_eq!(found, ["7", "-1", "-32768", "-1", "-2147483647", "1", "abc", "long"]);
    }

    #[test]
    fn a_ziplist_gives_its_entries() {
        let ziplist = [
            &[0; 10][..],
            b"\x00\x03abc",
            &[0xfe, 5, 0, 0, 0, 0xf1],
            &[2, 0xfe, 0x80],
            &[3, 0xf0, 0, 0, 0x80],
            b"\x05\x40\x01x\xff",
        ];
        let found = entries(PackedForm::Ziplist, &ziplist.concat()).unwrap();
        assert_eq!(found, ["abc", "0", "-128", "-8388608", "x"]);
    }

    #[test]
    fn a_set_of_integers_gives_them() {
        let intset = [2, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 5, 0];
        assert_eq!(entries(PackedForm::Intset, &intset).unwrap(), ["-1", "5"]);
    }

    #[test]
    fn what_lies_about_its_length_is_refused() {
        for (form, content) in [
            (PackedForm::Listpack, &[0; 5][..]),
            (PackedForm::Listpack, b"\0\0\0\0\0\0\x83ab"),
            (PackedForm::Listpack, b"\0\0\0\0\0\0\xff\0"),
            (PackedForm::Listpack, b"\0\0\0\0\0\0\xf7"),
            (PackedForm::Ziplist, b"\0\0\0\0\0\0\0\0\0\0\0\x90"),
            (PackedForm::Intset, &[2, 0, 0, 0, 2, 0, 0, 0, 1, 0]),
            (PackedForm::Intset, &[5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            entries(form, content).unwrap_err();
        }
    }
}
