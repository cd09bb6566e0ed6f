//! The table of contents at the front of a dump in the custom format: what is in it, and what needs what.
//!
//! Versions 1.14 to 1.16 of the format, which `pg_dump` 13 to 17 write. Lengths are checked before memory is taken.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;

use crate::sql::error::{Result, SqlError, SqlErrorKind};

const MOST_TEXT_BYTES: usize = 64 << 20;
const MOST_BYTES: usize = 512 << 20;
const MOST_ENTRIES: i64 = 10_000_000;
/// The custom format.
const CUSTOM: u8 = 1;

/// One thing of a dump.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) id: i64,
    /// `TABLE`, `TABLE DATA`, `INDEX` and so on.
    pub(super) kind: String,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) owner: String,
    /// What must be there before it.
    pub(super) needs: Vec<i64>,
}

/// What is in a dump, in the order of the dump.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// The first number of the version of `pg_dump` that wrote it.
    pub(super) major: u32,
}

impl Contents {
    /// Reads them, and gives what was read too: it must go in front of what is left of the dump.
    pub(super) fn read(dump: &mut impl Read) -> Result<(Self, Vec<u8>)> {
        let mut head = Head { dump, seen: Vec::new(), int_bytes: 4, offset_bytes: 8, version: 0 };
        let contents = head.contents()?;
        Ok((contents, head.seen))
    }

    /// The database that was dumped.
    pub(super) fn database(&self) -> Result<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.kind == "DATABASE")
            .ok_or_else(|| wrong("does not name its database"))
    }

    /// The table `name`: `schema.table`, or `table` where only one schema has it or else `public`.
    pub(super) fn table(&self, name: &str) -> Result<&Entry> {
        let tables = || self.entries.iter().filter(|entry| entry.kind == "TABLE");
        let full = |entry: &&Entry| format!("{}.{}", entry.schema, entry.name) == name;
        if let Some(table) = tables().find(full) {
            return Ok(table);
        }
        let named: Vec<_> = tables().filter(|entry| entry.name == name).collect();
        match named.as_slice() {
            [table] => Ok(table),
            tables => tables.iter().find(|entry| entry.schema == "public").copied().ok_or_else(|| {
                let few = if tables.is_empty() { "no table" } else { "more than one table" };
                SqlError::new(SqlErrorKind::NotFound, format!("there is {few} {name} in the backup"))
            }),
        }
    }

    /// What a restore of `tables` takes: these, what belongs to them, what they need, all in the order of the dump.
    /// Foreign keys to tables that are not restored are left out. The partitions of a table are added to `tables`.
    pub(super) fn selection(&self, tables: &mut Vec<i64>) -> BTreeSet<usize> {
        let at: HashMap<i64, usize> =
            self.entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let get = |id: &i64| at.get(id).and_then(|at| self.entries.get(*at));
        loop {
            let attached = self.entries.iter().filter(|entry| entry.kind == "TABLE ATTACH");
            let attached = attached.filter(|entry| entry.needs.iter().any(|id| tables.contains(id)));
            let parts = attached.flat_map(|entry| &entry.needs);
            let mut parts = parts.filter(|id| get(id).is_some_and(|entry| entry.kind == "TABLE"));
            match parts.find(|id| !tables.contains(id)).copied() {
                Some(part) => tables.push(part),
                None => break,
            }
        }
        let closure = |ids: &[i64]| {
            let (mut found, mut left) = (BTreeSet::new(), ids.to_vec());
            while let Some(id) = left.pop() {
                if let (Some(place), Some(entry)) = (at.get(&id), get(&id))
                    && found.insert(*place)
                {
                    left.extend(&entry.needs);
                }
            }
            found
        };
        let mut wanted = closure(tables);
        // Twice: what belongs to a sequence of a table is found once the sequence is.
        for _ in 0..2 {
            for (place, entry) in self.entries.iter().enumerate() {
                if entry.belongs_to(tables, &wanted, &at) {
                    let needed = closure(&[entry.id]);
                    let is_table =
                        |at: &&usize| self.entries.get(**at).is_some_and(|one| one.kind == "TABLE");
                    let is_restored =
                        |at: &usize| self.entries.get(*at).is_some_and(|one| tables.contains(&one.id));
                    if entry.kind != "FK CONSTRAINT" || needed.iter().filter(is_table).all(is_restored) {
                        wanted.extend(needed);
                    }
                } else if matches!(entry.kind.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH") {
                    wanted.insert(place);
                }
            }
        }
        let schemas: BTreeSet<_> =
            wanted.iter().filter_map(|at| self.entries.get(*at)).map(|entry| entry.schema.as_str()).collect();
        let is_schema = |entry: &Entry| entry.kind == "SCHEMA" && schemas.contains(entry.name.as_str());
        let named = self.entries.iter().enumerate().filter(|(_, entry)| is_schema(entry)).map(|(at, _)| at);
        wanted.extend(named.collect::<Vec<_>>());
        wanted
    }
}

impl Entry {
    /// True for what is part of one of `tables`, or of what is part of it.
    fn belongs_to(&self, tables: &[i64], wanted: &BTreeSet<usize>, at: &HashMap<i64, usize>) -> bool {
        let is_wanted = |id: &i64| at.get(id).is_some_and(|at| wanted.contains(at));
        match self.kind.as_str() {
            "TABLE DATA" | "DEFAULT" | "CONSTRAINT" | "CHECK CONSTRAINT" | "FK CONSTRAINT" | "INDEX"
            | "SEQUENCE" | "TRIGGER" | "RULE" | "POLICY" | "ROW SECURITY" | "STATISTICS" | "COMMENT"
            | "ACL" => self.needs.iter().any(|id| tables.contains(id)),
            "SEQUENCE SET" | "SEQUENCE OWNED BY" => self.needs.iter().any(is_wanted),
            "TABLE ATTACH" | "INDEX ATTACH" => self.needs.iter().all(is_wanted),
            _ => false,
        }
    }
}

/// What is being read, kept as it is.
struct Head<'a, R: Read> {
    dump: &'a mut R,
    seen: Vec<u8>,
    int_bytes: usize,
    offset_bytes: usize,
    /// 14 of 1.14.
    version: u8,
}

impl<R: Read> Head<'_, R> {
    fn contents(&mut self) -> Result<Contents> {
        if self.bytes(5)? != b"PGDMP" || self.byte()? != 1 {
            return Err(wrong("is not in the custom format"));
        }
        self.version = self.byte()?;
        self.byte()?;
        if !(14..=16).contains(&self.version) {
            let text = format!("version 1.{} of the format of dumps is not known here", self.version);
            return Err(SqlError::new(SqlErrorKind::Unsupported, text));
        }
        self.int_bytes = usize::from(self.byte()?);
        self.offset_bytes = usize::from(self.byte()?);
        if !(1..=8).contains(&self.int_bytes) || self.offset_bytes > 8 || self.byte()? != CUSTOM {
            return Err(wrong("is not in the custom format"));
        }
        // How it is compressed, then when it was made.
        if self.version >= 15 {
            self.byte().map(drop)?
        } else {
            self.int().map(drop)?
        }
        for _ in 0..7 {
            self.int()?;
        }
        self.text()?;
        self.text()?;
        let version = self.text()?.unwrap_or_default();
        let major =
            version.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|text| text.parse().ok());
        let count = self.int()?;
        if !(0..=MOST_ENTRIES).contains(&count) {
            return Err(wrong("has an impossible number of entries"));
        }
        let entries: Result<Vec<_>> = (0..count).map(|_| self.entry()).collect();
        Ok(Contents { entries: entries?, major: major.unwrap_or_default() })
    }

    fn entry(&mut self) -> Result<Entry> {
        let id = self.int()?;
        // Whether there are data, and the numbers that it has in the catalog.
        self.int()?;
        self.text()?;
        self.text()?;
        let name = self.text()?.unwrap_or_default();
        let kind = self.text()?.unwrap_or_default();
        self.int()?;
        let definition = self.text()?.unwrap_or_default();
        // How to drop it, how to copy its data.
        self.text()?;
        self.text()?;
        let schema = self.text()?.unwrap_or_default();
        // Tablespace and access method.
        self.text()?;
        self.text()?;
        if self.version >= 16 {
            self.int()?;
        }
        let owner = self.text()?.unwrap_or_default();
        self.text()?;
        let mut needs = Vec::new();
        while let Some(need) = self.text()? {
            needs.push(need.parse().map_err(|_| wrong("has an entry that needs nothing that could be"))?);
        }
        // Where its data are, which is not known in a stream.
        self.bytes(1 + self.offset_bytes)?;
        Ok(Entry { id, kind, schema, name, definition, owner, needs })
    }

    fn bytes(&mut self, len: usize) -> Result<&[u8]> {
        let from = self.seen.len();
        if len > MOST_TEXT_BYTES || from + len > MOST_BYTES {
            return Err(wrong("has contents that are too long"));
        }
        let read = self.dump.take(len as u64).read_to_end(&mut self.seen);
        let read = read.map_err(super::logical::unreadable)?;
        if read < len {
            return Err(wrong("is cut short"));
        }
        Ok(self.seen.get(from..).unwrap_or_default())
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?.first().copied().unwrap_or_default())
    }

    /// A sign, then the digits of base 256, the last first.
    fn int(&mut self) -> Result<i64> {
        let len = self.int_bytes;
        let (sign, digits) = self.bytes(1 + len)?.split_first().ok_or_else(|| wrong("is cut short"))?;
        let number = digits.iter().rev().fold(0_i64, |number, digit| number << 8 | i64::from(*digit));
        Ok(if *sign == 0 { number } else { number.wrapping_neg() })
    }

    fn text(&mut self) -> Result<Option<String>> {
        let Ok(len) = usize::try_from(self.int()?) else { return Ok(None) };
        Ok(Some(String::from_utf8_lossy(self.bytes(len)?).into_owned()))
    }
}

fn wrong(what: &str) -> SqlError {
    SqlError::damaged(format!("the dump {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(
            version in 13_u8..18,
            int_bytes in 0_u8..10,
            rest in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..600),
        ) {
            let mut dump = b"PGDMP\x01".to_vec();
            dump.extend([version, 0, int_bytes, 8, CUSTOM]);
            dump.extend(&rest);
            let read = Contents::read(&mut dump.as_slice());
            prop_assert!(read.is_err() || read.unwrap().1.len() <= dump.len());
        }
    }
}
