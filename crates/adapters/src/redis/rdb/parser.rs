//! From key to key: the frame of an RDB around its values, to the checksum at its end.

use std::io::Read;

use super::crc64::Crc64;
use super::error::{RdbError, RdbErrorKind, Result};
use super::input::Input;
use super::text::{Pieces, Text, skip_text};
use super::value::{ValueKind, skip_value};

/// The versions of RDB that Redis 2.6 to 7.4 write.
const VERSIONS: std::ops::RangeInclusive<u32> = 5..=12;
/// Names of keys and libraries of functions are held whole.
const HELD_BYTES: u64 = 16 << 20;
/// What stands in the header about the server is short.
const AUX_BYTES: u64 = 1 << 10;

/// Reads an RDB.
pub struct Parser<R> {
    input: Input<R>,
    version: u32,
    db: u64,
    /// The value of the key that was given last, as long as nobody has read it.
    value: Option<(u8, ValueKind)>,
    is_over: bool,
}

/// What was captured of a value, to be read as the value itself.
pub(crate) fn captured(payload: &[u8]) -> Result<(ValueKind, Input<&[u8]>)> {
    let mut input = Input::new(payload);
    let byte = input.byte()?;
    Ok((ValueKind::of(byte, &mut input)?, input))
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// Something the server tells of itself.
    Aux { name: Vec<u8>, value: Vec<u8> },
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// A key; its value is next, and is skipped where nobody reads it.
    Key(Key),
    /// The end, with the checksum that was compared; none where the server writes none.
    End { checksum: Option<u64> },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub db: u64,
    pub name: Vec<u8>,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// Seconds since it was last used, where the server evicts by that.
    pub idle: Option<u64>,
    /// How often it is used, where the server evicts by that.
    pub frequency: Option<u8>,
}

impl<R: Read> Parser<R> {
    /// Reads the version.
    pub fn new(reader: R) -> Result<Self> {
        let mut input = Input::new(reader);
        let header: [u8; 9] = input.array()?;
        let digits = header.strip_prefix(b"REDIS").and_then(|digits| std::str::from_utf8(digits).ok());
        let version = digits.and_then(|digits| digits.parse().ok());
        let Some(version) = version else { return Err(input.damaged("no header of an RDB")) };
        if !VERSIONS.contains(&version) {
            let what = format!("version {version} of RDB, of a server newer than Redis 7 or older than 2.6");
            return Err(input.unsupported(what));
        }
        Ok(Self { input, version, db: 0, value: None, is_over: false })
    }

    pub fn version(&self) -> u32 {
        self.version
    }

    /// Goes on to the next item; `None` behind the end.
    pub fn next_item(&mut self) -> Result<Option<Item>> {
        if self.is_over {
            return Ok(None);
        }
        self.skip_value()?;
        let mut key = Key::default();
        loop {
            match self.input.byte()? {
                255 => return self.end().map(Some),
                254 => self.db = self.input.length()?,
                253 => {
                    let seconds = u64::from(u32::from_le_bytes(self.input.array()?));
                    key.expires_at = Some(seconds * 1000);
                }
                252 => key.expires_at = Some(u64::from_le_bytes(self.input.array()?)),
                // How many keys there are, and how many of them expire; by slot since Redis 7.4.
                251 => self.skip_lengths(2)?,
                244 => self.skip_lengths(3)?,
                250 => {
                    if let Some(aux) = self.aux()? {
                        return Ok(Some(aux));
                    }
                }
                249 => key.frequency = Some(self.input.byte()?),
                248 => key.idle = Some(self.input.length()?),
                247 => return Err(self.module()?),
                7 => {
                    skip_text(&mut self.input)?;
                    return Err(self.module()?);
                }
                246 => return Err(self.input.unsupported("functions of a release candidate of Redis 7")),
                245 => return Ok(Some(Item::Function(self.held("a library of functions")?))),
                byte => {
                    let kind = ValueKind::of(byte, &mut self.input)?;
                    key.name = self.held("the name of a key")?;
                    key.db = self.db;
                    self.value = Some((byte, kind));
                    return Ok(Some(Item::Key(key)));
                }
            }
        }
    }

    /// Goes over the value of the last key.
    pub fn skip_value(&mut self) -> Result<()> {
        match self.value.take() {
            Some((_, kind)) => skip_value(kind, &mut self.input),
            None => Ok(()),
        }
    }

    /// The value of the last key as RESTORE takes it: the bytes of the RDB, with type, version and checksum. `None`
    /// when it is longer than `most`; it can then be read piece by piece.
    pub fn capture_value(&mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let Some((byte, kind)) = self.value else { return Ok(None) };
        self.input.record(vec![byte], most);
        match skip_value(kind, &mut self.input) {
            Ok(()) => {}
            Err(error) if error.kind == RdbErrorKind::Long => {
                self.input.again(1);
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        self.value = None;
        let mut payload = self.input.recorded();
        let version = u16::try_from(self.version).unwrap_or(u16::MAX);
        payload.extend_from_slice(&version.to_le_bytes());
        payload.extend_from_slice(&Crc64::of(&payload).to_le_bytes());
        Ok(Some(payload))
    }

    /// The value of the last key, for somebody who reads all of it.
    pub(crate) fn value(&mut self) -> Option<(ValueKind, &mut Input<R>)> {
        let (_, kind) = self.value.take()?;
        Some((kind, &mut self.input))
    }

    fn held(&mut self, what: &str) -> Result<Vec<u8>> {
        Text::open(&mut self.input)?.hold(HELD_BYTES, what)
    }

    fn skip_lengths(&mut self, count: u32) -> Result<()> {
        (0..count).try_for_each(|_| self.input.length().map(drop))
    }

    /// `None` for something long, such as a script that is cached.
    fn aux(&mut self) -> Result<Option<Item>> {
        let name = Text::open(&mut self.input)?.hold(AUX_BYTES, "the name of a field of the header")?;
        let mut text = Text::open(&mut self.input)?;
        if text.left() <= AUX_BYTES {
            let value = text.hold(AUX_BYTES, "a field of the header")?;
            return Ok(Some(Item::Aux { name, value }));
        }
        while !text.piece(u64::MAX)?.is_empty() {}
        text.finish().map(|()| None)
    }

    /// Why a value, or something beside the values, of a module is refused. The id holds nine letters of six bits.
    fn module(&mut self) -> Result<RdbError> {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let id = self.input.length()?;
        let letters =
            (0..9).rev().map(|nth| usize::try_from((id >> (10 + 6 * nth)) & 63).unwrap_or_default());
        let name: String = letters.filter_map(|at| LETTERS.get(at).copied().map(char::from)).collect();
        Ok(self
            .input
            .unsupported(format!("data of the module type {name:?}, which only that module can read")))
    }

    fn end(&mut self) -> Result<Item> {
        let computed = self.input.checksum();
        let stored = u64::from_le_bytes(self.input.array()?);
        if stored != 0 && stored != computed {
            let what = format!("the checksum is {stored:016x} where the bytes have {computed:016x},");
            return Err(self.input.damaged(what));
        }
        if !self.input.is_at_end()? {
            return Err(self.input.damaged("something follows the end"));
        }
        self.is_over = true;
        Ok(Item::End { checksum: (stored != 0).then_some(stored) })
    }
}
