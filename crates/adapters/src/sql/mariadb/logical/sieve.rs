//! `tables.sql` on its way into a server: rows of tables that nobody wants fall through, views are kept for later.
//!
//! The text is that of `mariadb-dump`: a line of its own for each row and each heading, no line broken within a value.
//! Lines may be as long as a row, so only their beginnings are looked at; nothing but views is kept in memory.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use super::COMPLETE;
use crate::sql::mariadb::names::identifier;

/// So much of a line is looked at: more than any name of a table takes.
const BEGIN_BYTES: u64 = 1024;
/// More text of views than this is refused.
const MOST_VIEW_BYTES: usize = 64 << 20;

/// What fell through.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sifted {
    /// Everything that makes the views, to be run by itself.
    pub(super) views: Vec<u8>,
    /// Whether the last line was there.
    pub(super) is_complete: bool,
    /// The tables that were met.
    pub(super) tables: BTreeSet<Vec<u8>>,
}

/// Where in the text we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Head,
    Tables,
    Views,
}

/// Copies what makes tables, with the rows of `wanted` alone, or all where there is no such list.
pub(super) fn sift(
    source: &mut dyn BufRead,
    sink: &mut dyn Write,
    wanted: Option<&[&str]>,
) -> io::Result<Sifted> {
    let prefixes = wanted.map(|names| {
        names.iter().map(|name| format!("INSERT INTO {} ", identifier(name)).into_bytes()).collect::<Vec<_>>()
    });
    let is_wanted = |line: &[u8]| {
        prefixes.as_ref().is_none_or(|prefixes| prefixes.iter().any(|prefix| line.starts_with(prefix)))
    };
    let mut sifted = Sifted::default();
    let (mut section, mut falls) = (Section::Head, false);
    let mut line = Vec::new();
    loop {
        line.clear();
        if io::Read::take(&mut *source, BEGIN_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(sifted);
        }
        section = section_of(&line).unwrap_or(section);
        sifted.tables.extend(table_of(&line));
        sifted.is_complete = line.starts_with(COMPLETE) || (sifted.is_complete && line == b"\n");
        if line.starts_with(b"INSERT INTO ") {
            falls = !is_wanted(&line);
        } else if !line.starts_with(b"(") {
            falls = false;
        }
        let mut views = Views(&mut sifted.views);
        let mut both = Both(&mut *sink, &mut views);
        let mut nowhere = io::sink();
        let to: &mut dyn Write = match (falls, section) {
            (true, _) => &mut nowhere,
            (false, Section::Head) => &mut both,
            (false, Section::Tables) => both.0,
            (false, Section::Views) => both.1,
        };
        to.write_all(&line)?;
        if !line.ends_with(b"\n") {
            copy_line(source, to)?;
        }
    }
}

fn section_of(line: &[u8]) -> Option<Section> {
    let line = line.strip_prefix(b"-- ")?;
    let begins = |heads: &[&str]| heads.iter().any(|head| line.starts_with(head.as_bytes()));
    if begins(&["Table structure for table `", "Dumping data for table `", "Sequence structure for `"]) {
        Some(Section::Tables)
    } else if begins(&["Temporary table structure for view `", "Final view structure for view `"]) {
        Some(Section::Views)
    } else {
        None
    }
}

/// The quoted name in the heading of a table.
fn table_of(line: &[u8]) -> Option<Vec<u8>> {
    let heads: [&[u8]; 2] = [b"-- Table structure for table ", b"-- Sequence structure for "];
    let name = heads.iter().find_map(|head| line.strip_prefix(*head))?;
    Some(name.trim_ascii_end().to_vec())
}

/// The rest of a line.
fn copy_line(source: &mut dyn BufRead, to: &mut dyn Write) -> io::Result<()> {
    loop {
        let bytes = match source.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let length = end.unwrap_or(bytes.len());
        to.write_all(bytes.get(..length).unwrap_or(bytes))?;
        source.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

struct Views<'a>(&'a mut Vec<u8>);

impl Write for Views<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_VIEW_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "there is more text of views than can be",
            ));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Both<'a>(&'a mut dyn Write, &'a mut dyn Write);

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(bytes)?;
        self.1.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "SET NAMES utf8mb4;\n\n--\n-- Table structure for table `a`\n--\n\nCREATE TABLE `a` (\n  `x` int\n)\
        \n PARTITION BY RANGE (`x`)\n(PARTITION `p` VALUES LESS THAN (99));\n\n--\n-- Dumping data for table `a`\n--\n\
        INSERT INTO `a` VALUES\n(1),\n(2);\nINSERT INTO `a` VALUES (3);\nUNLOCK TABLES;\n\
        -- Temporary table structure for view `v`\nCREATE VIEW `v`;\n\
        -- Table structure for table `b``c`\nCREATE TABLE `b``c` (x int);\nINSERT INTO `b``c` VALUES\n(4),\n(5);\n\
        UNLOCK TABLES;\n-- Final view structure for view `v`\nVIEW `v`;\n-- Dump completed\n";

    fn sifted(wanted: Option<&[&str]>, buffer: usize) -> (String, Sifted) {
        let mut sink = Vec::new();
        let mut source = io::BufReader::with_capacity(buffer, DUMP.as_bytes());
        let sifted = sift(&mut source, &mut sink, wanted).unwrap();
        (String::from_utf8(sink).unwrap(), sifted)
    }

    #[test]
    fn rows_of_unwanted_tables_fall_and_nothing_else_does() {
        for buffer in [1, 10, 10_000] {
            let (text, found) = sifted(Some(&["b`c"]), buffer);
            assert!(
                text.contains("(PARTITION `p`") && text.contains("CREATE TABLE `a`") && text.contains("(5);")
            );
            assert!(!text.contains("(1)") && !text.contains("(3)") && !text.contains("INSERT INTO `a`"));
            assert!(!text.contains("`v`") && found.is_complete);
            assert_eq!(found.tables, [b"`a`".to_vec(), b"`b``c`".to_vec()].into());
            let views = String::from_utf8(found.views).unwrap();
            assert!(
                views.starts_with("SET NAMES")
                    && views.contains("CREATE VIEW")
                    && views.contains("VIEW `v`;")
            );
            assert!(!views.contains("TABLE `a`"));
        }
    }

    #[test]
    fn without_a_list_all_rows_pass() {
        let (text, found) = sifted(None, 100);
        for row in ["(1)", "(2)", "(3)", "(4)", "(5)"] {
            assert!(text.contains(row));
        }
        assert!(found.is_complete);
    }

    #[test]
    fn a_text_that_is_cut_is_not_complete() {
        let last = DUMP.len() - "-- Dump completed\n".len();
        let mut source = &DUMP.as_bytes()[..last];
        assert!(!sift(&mut source, &mut io::sink(), None).unwrap().is_complete);
    }

    #[test]
    fn lines_longer_than_what_is_looked_at_pass_whole() {
        let long = format!("INSERT INTO `a` VALUES\n('{}');\nx\n", "y".repeat(5000));
        let mut sink = Vec::new();
        sift(&mut long.as_bytes(), &mut sink, Some(&["a"])).unwrap();
        assert_eq!(sink, long.as_bytes());
        let mut sink = Vec::new();
        sift(&mut long.as_bytes(), &mut sink, Some(&["b"])).unwrap();
        assert_eq!(sink, b"x\n");
    }
}
