//! Patterns that choose paths, with the meaning restic gives them.
//!
//! A pattern that starts with `/` is compared from the root, any other at every level; whatever lies below a
//! match matches too. `**` stands for any number of folders, `!` in front takes back what an earlier pattern
//! of the list chose. A malformed pattern is refused when the list is made, before anything is read.

mod glob;
mod list_file;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::error::{Error, ErrorKind};

pub use glob::BadGlob;
use glob::Glob;
pub use list_file::patterns_in;

/// Whether `A` and `a` are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Sensitive,
    Insensitive,
}

/// What a list says of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub matches: bool,
    /// Something below the path may match, should it be a folder.
    pub may_match_below: bool,
}

/// Patterns in the order they were given; the order matters once one of them is negated.
#[derive(Clone, Debug)]
pub struct PatternList {
    patterns: Vec<Pattern>,
    case: Case,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    is_negated: bool,
}

#[derive(Clone, Debug)]
enum Part {
    /// The start of an absolute pattern.
    Root,
    /// `**`
    AnyFolders,
    Name(Glob),
}

impl PatternList {
    /// Compiles patterns; empty ones are passed over. The error names every malformed one.
    pub fn parse<P: AsRef<[u8]>>(lines: impl IntoIterator<Item = P>, case: Case) -> Result<Self, Error> {
        let mut patterns = Vec::new();
        let mut malformed = Vec::new();
        for line in lines {
            let line = line.as_ref();
            if line.is_empty() {
                continue;
            }
            match Pattern::parse(&fold(line, case)) {
                Ok(pattern) => patterns.push(pattern),
                Err(bad) => malformed.push(format!("{:?} ({bad})", String::from_utf8_lossy(line))),
            }
        }
        if malformed.is_empty() {
            return Ok(Self { patterns, case });
        }
        Err(Error::new(ErrorKind::InvalidInput, format!("malformed pattern: {}", malformed.join(", "))))
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        self.judge_as(path, |_, _| true).matches
    }

    /// True when something below the folder `path` may match.
    pub fn may_match_below(&self, path: &[u8]) -> bool {
        self.judge(path).may_match_below
    }

    pub fn judge(&self, path: &[u8]) -> Verdict {
        self.judge_as(path, Pattern::may_match_below)
    }

    fn judge_as(&self, path: &[u8], may_match_below: impl Fn(&Pattern, &[&[u8]]) -> bool) -> Verdict {
        if self.is_empty() {
            return Verdict { matches: false, may_match_below: false };
        }
        let path = fold(path, self.case);
        let names = split(&path);
        let has_negated = self.patterns.iter().any(|pattern| pattern.is_negated);
        let mut verdict = Verdict { matches: false, may_match_below: false };
        for pattern in &self.patterns {
            let matches = pattern.matches(&names);
            if pattern.is_negated {
                verdict.matches &= !matches;
                verdict.may_match_below &= !matches;
                continue;
            }
            verdict.matches |= matches;
            verdict.may_match_below |= may_match_below(pattern, &names);
            if verdict.matches && verdict.may_match_below && !has_negated {
                break;
            }
        }
        verdict
    }
}

impl Pattern {
    fn parse(text: &[u8]) -> Result<Self, BadGlob> {
        let (is_negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = clean(text);
        let mut parts = Vec::new();
        for (at, name) in split(&text).into_iter().enumerate() {
            parts.push(match name {
                b"/" if at == 0 => Part::Root,
                b"**" | b"" => Part::AnyFolders, // an empty name is what `/` alone ends in
                name => Part::Name(Glob::compile(name)?),
            });
        }
        Ok(Self { parts, is_negated })
    }

    fn matches(&self, names: &[&[u8]]) -> bool {
        matches(&self.parts, names)
    }

    fn may_match_below(&self, names: &[&[u8]]) -> bool {
        if !matches!(self.parts.first(), Some(Part::Root)) {
            return true; // a relative pattern may begin at any depth
        }
        let fixed = self.parts.iter().position(|part| matches!(part, Part::AnyFolders));
        let comparable = names.len().min(self.parts.len()).min(fixed.unwrap_or(usize::MAX));
        let compared = match fixed {
            Some(_) => names.get(..comparable),
            None => Some(names),
        };
        matches(self.parts.get(..comparable).unwrap_or_default(), compared.unwrap_or_default())
    }
}

/// Compares a pattern with a path: absolute ones from the start, others from any name on. The pattern need
/// not reach the end of the path, so that what lies below a match matches.
fn matches(parts: &[Part], names: &[&[u8]]) -> bool {
    if parts.is_empty() {
        return names.is_empty();
    }
    let is_absolute = matches!(parts.first(), Some(Part::Root));
    let wild = parts.iter().filter(|part| matches!(part, Part::AnyFolders)).count();
    let shortest = parts.len() - wild;
    let starts =
        if is_absolute { 0..1 } else { usize::from(names.first() == Some(&b"/".as_slice()))..names.len() };
    for start in starts {
        let Some(from_start) = names.get(start..) else { continue };
        let found = if wild == 0 {
            from_start.len() >= parts.len()
                && parts.iter().zip(from_start).all(|(part, name)| part.matches(name))
        } else {
            // How many names all `**` together may stand for. Restic counts the path as a whole here, and one
            // name for each `**` still to come; so do we, for the same choice in the odd cases.
            let spare = names.len().checked_sub(shortest);
            spare.is_some_and(|spare| matches_wild(parts, from_start, spare, wild))
        };
        if found {
            return true;
        }
    }
    false
}

/// Follows every way of placing `**` at once: the set of names a prefix of the pattern may have consumed.
fn matches_wild(parts: &[Part], names: &[&[u8]], spare: usize, wild: usize) -> bool {
    let mut consumed = vec![false; names.len() + 1];
    if let Some(none) = consumed.first_mut() {
        *none = true;
    }
    let mut wild_left = wild;
    let mut fixed = 0;
    for part in parts {
        let mut next = vec![false; consumed.len()];
        if let Part::AnyFolders = part {
            wild_left -= 1;
            let Some(limit) = spare.checked_sub(wild_left) else { return false };
            let mut reachable = false;
            for (at, (before, after)) in consumed.iter().zip(next.iter_mut()).enumerate() {
                reachable |= before;
                *after = reachable && at <= fixed + limit;
            }
        } else {
            fixed += 1;
            let steps = consumed.iter().zip(names).zip(next.iter_mut().skip(1));
            for ((before, name), after) in steps {
                *after = *before && part.matches(name);
            }
        }
        consumed = next;
    }
    // A pattern of nothing but `**` must stand for one name at least.
    consumed.iter().skip(1).any(|&reached| reached)
}

impl Part {
    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Root => name == b"/",
            Self::AnyFolders => true,
            Self::Name(glob) => glob.matches(name),
        }
    }
}

/// The names of a path; an absolute one begins with `/`.
fn split(path: &[u8]) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    if let Some(first) = names.first_mut().filter(|first| first.is_empty()) {
        *first = b"/";
    }
    names
}

/// Removes empty names, `.` and what `..` takes back, without asking the file system.
fn clean(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut kept: Vec<&[u8]> = Vec::new();
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match kept.last() {
                Some(&last) if last != b".." => {
                    kept.pop();
                }
                _ if is_absolute => {}
                _ => kept.push(name),
            },
            name => kept.push(name),
        }
    }
    let joined = kept.join(&b'/');
    match (is_absolute, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// Lower case, character by character; bytes that are not UTF-8 stay as they are.
fn fold(text: &[u8], case: Case) -> Cow<'_, [u8]> {
    if case == Case::Sensitive {
        return Cow::Borrowed(text);
    }
    let mut folded = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            let lower = char.to_lowercase().next().unwrap_or(char);
            folded.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
        }
        folded.extend_from_slice(chunk.invalid());
    }
    Cow::Owned(folded)
}
