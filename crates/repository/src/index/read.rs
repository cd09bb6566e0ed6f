//! Reads index files as a stream, a pack at a time.
//!
//! Other programs write index files as long as they like, so neither the text nor what it says is held as a
//! whole beyond a usual length. Whatever the bytes are, the answer is packs or an error, and the memory used is bounded.

use std::fmt;
use std::io::{self, BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::file::BlobJson;
use crate::blob::PackedBlob;
use crate::error::{Cause, Error, Result};
use crate::id::PackId;

/// A pack's header has no room for more; a file that says otherwise is damaged.
const MOST_PACK_BLOBS: usize = 500_000;

/// An index file of the usual length fits, and is parsed much faster in one piece.
const MOST_BYTES_AT_ONCE: u64 = 16 << 20;

/// Nothing an index file means to say needs a longer text.
const MOST_STRING_BYTES: usize = 64 * 1024;

/// Parses an index file and shows it pack by pack. The list of packs without the object around it, which
/// the first versions of restic wrote, is read as well.
///
/// A damaged file may have shown some packs before the damage is met.
pub fn read_index_file(mut input: impl Read, visit: &mut dyn FnMut(PackId, &[PackedBlob])) -> Result<()> {
    let mut start = Vec::new();
    input.by_ref().take(MOST_BYTES_AT_ONCE).read_to_end(&mut start).map_err(damaged)?;
    if (start.len() as u64) < MOST_BYTES_AT_ONCE {
        parse(serde_json::Deserializer::from_slice(&start), visit)
    } else {
        read_streamed(start.as_slice().chain(input), visit)
    }
}

/// The same, whatever the length, without holding the text.
pub(super) fn read_streamed(input: impl Read, visit: &mut dyn FnMut(PackId, &[PackedBlob])) -> Result<()> {
    let input = BufReader::with_capacity(128 * 1024, ShortStrings::new(input));
    parse(serde_json::Deserializer::from_reader(input), visit)
}

fn damaged(cause: impl Into<Cause>) -> Error {
    Error::damaged("the index file is damaged").because(cause)
}

fn parse<'de, R: serde_json::de::Read<'de>>(
    mut json: serde_json::Deserializer<R>,
    visit: &mut dyn FnMut(PackId, &[PackedBlob]),
) -> Result<()> {
    let mut packs = Packs { visit, blobs: Vec::new() };
    FileSeed(&mut packs).deserialize(&mut json).and_then(|()| json.end()).map_err(damaged)
}

/// Where packs go, and the room for the blobs of one.
struct Packs<'v> {
    visit: &'v mut dyn FnMut(PackId, &[PackedBlob]),
    blobs: Vec<PackedBlob>,
}

/// The whole file: an object with the member `packs`, or that member alone.
struct FileSeed<'a, 'v>(&'a mut Packs<'v>);

impl<'de> DeserializeSeed<'de> for FileSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FileSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an index")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Packs => map.next_value_seed(ListSeed(&mut PackList(self.0)))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        ListSeed(&mut PackList(self.0)).visit_seq(seq)
    }
}

/// The members of objects that mean something here.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Packs,
    Id,
    Blobs,
    #[serde(other)]
    Other,
}

/// A list whose items are taken one by one.
trait List<'de> {
    fn take_next<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error>;
}

/// Deserializes a list; Go writes an empty one as null at times.
struct ListSeed<'a, L>(&'a mut L);

impl<'de, L: List<'de>> DeserializeSeed<'de> for ListSeed<'_, L> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, L: List<'de>> Visitor<'de> for ListSeed<'_, L> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while self.0.take_next(&mut seq)? {}
        Ok(())
    }
}

struct PackList<'a, 'v>(&'a mut Packs<'v>);

impl<'de> List<'de> for PackList<'_, '_> {
    fn take_next<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        Ok(seq.next_element_seed(PackSeed(self.0))?.is_some())
    }
}

struct BlobList<'a>(&'a mut Vec<PackedBlob>);

impl<'de> List<'de> for BlobList<'_> {
    fn take_next<A: SeqAccess<'de>>(&mut self, seq: &mut A) -> Result<bool, A::Error> {
        let Some(blob) = seq.next_element::<BlobJson>()? else { return Ok(false) };
        if self.0.len() >= MOST_PACK_BLOBS {
            return Err(serde::de::Error::custom("more blobs than a pack can hold"));
        }
        self.0.push(blob.into());
        Ok(true)
    }
}

/// One pack; shown when it is complete, for its members may come in any order.
struct PackSeed<'a, 'v>(&'a mut Packs<'v>);

impl<'de> DeserializeSeed<'de> for PackSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PackSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pack")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Packs { visit, blobs } = self.0;
        blobs.clear();
        let mut id = None;
        while let Some(member) = map.next_key::<Member>()? {
            match member {
                Member::Id => id = Some(map.next_value::<PackId>()?),
                Member::Blobs => map.next_value_seed(ListSeed(&mut BlobList(blobs)))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        visit(id.ok_or_else(|| serde::de::Error::missing_field("id"))?, blobs);
        Ok(())
    }
}

/// Fails on a JSON string that is too long to mean anything, before the parser collects it in memory.
struct ShortStrings<R> {
    inner: R,
    /// Bytes of the string being passed, none outside of one.
    string_bytes: Option<usize>,
    is_escaped: bool,
}

impl<R> ShortStrings<R> {
    fn new(inner: R) -> Self {
        Self { inner, string_bytes: None, is_escaped: false }
    }

    fn pass(&mut self, byte: u8) {
        match &mut self.string_bytes {
            None => self.string_bytes = (byte == b'"').then_some(0),
            Some(_) if byte == b'"' && !self.is_escaped => self.string_bytes = None,
            Some(bytes) => {
                *bytes += 1;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
            }
        }
    }
}

impl<R: Read> Read for ShortStrings<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        for &byte in buffer.get(..read).unwrap_or_default() {
            self.pass(byte);
            if self.string_bytes.is_some_and(|bytes| bytes > MOST_STRING_BYTES) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a string is too long"));
            }
        }
        Ok(read)
    }
}
