//! From the roots as they were typed to the shape of the snapshot: which folder appears where.
//!
//! The rules are restic's: absolute paths nest folder by folder, `..` in front is dropped, two roots that want the
//! same name at the top get `-1`, `-2`, and a root that is only dots (or `/`) stands for what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where paths start: `/`, the current folder (`.`) or a folder above it (`../..`).
pub(super) type Base = Vec<u8>;

/// A name that the roots call for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Planned {
    /// What it is called on disk; in the snapshot it goes by its key.
    pub(super) name: Vec<u8>,
    /// An index into [`Plan::bases`]; of use at the top only.
    pub(super) base: usize,
    /// The root that ends here, if one does: an index into [`Plan::roots`].
    pub(super) root: Option<usize>,
    /// Named by the user, thus never excluded.
    pub(super) is_explicit: bool,
    pub(super) below: Names,
}

pub(super) type Names = BTreeMap<Vec<u8>, Planned>;

/// A root as typed and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) typed: PathBuf,
    /// The device the root lives on.
    pub(super) device: u64,
}

/// The shape of the snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) roots: Vec<Root>,
    pub(super) bases: Vec<Base>,
    pub(super) top: Names,
    /// The base whose whole content is the top, when the only root was dots or `/`.
    pub(super) only_content: Option<usize>,
    seen: BTreeSet<Vec<u8>>,
}

impl Plan {
    /// Adds a root that exists. Returns its number.
    pub(super) fn add_root(&mut self, typed: &Path, device: u64) -> usize {
        self.roots.push(Root { typed: typed.to_owned(), device });
        self.roots.len() - 1
    }

    /// Puts a path, clean and with at least one name in it, at its place.
    pub(super) fn place(&mut self, path: &[u8], root: usize, is_explicit: bool) {
        if !self.seen.insert(path.to_vec()) && !is_explicit {
            return;
        }
        let base = self.base(base_of(path));
        let names = components(path);
        let Some((first, rest)) = names.split_first() else { return };
        let key = self.free_key(first, base);
        let mut planned = self.top.entry(key).or_insert_with(|| Planned::new(first, base));
        for name in rest {
            planned = planned.below.entry(name.to_vec()).or_insert_with(|| Planned::new(name, base));
        }
        planned.root.get_or_insert(root);
        planned.is_explicit |= is_explicit;
    }

    pub(super) fn base(&mut self, base: Base) -> usize {
        let known = self.bases.iter().position(|known| *known == base);
        known.unwrap_or_else(|| {
            self.bases.push(base);
            self.bases.len() - 1
        })
    }

    /// The name at the top for `name` of this base: another base may have taken it.
    fn free_key(&self, name: &[u8], base: usize) -> Vec<u8> {
        let mut key = name.to_vec();
        let mut attempt = 0_usize;
        while let Some(other) = self.top.get(&key)
            && (other.base != base || other.name != name)
        {
            attempt += 1;
            key = name.to_vec();
            key.extend_from_slice(format!("-{attempt}").as_bytes());
        }
        key
    }
}

impl Planned {
    fn new(name: &[u8], base: usize) -> Self {
        Self { name: name.to_vec(), base, ..Self::default() }
    }
}

/// The shortest path that means the same without looking at the disk.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if is_absolute => {}
            _ => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (is_absolute, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// The names in a clean path, without dots in front.
pub(super) fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"." | b"..")).collect()
}

/// Where a clean path starts.
pub(super) fn base_of(path: &[u8]) -> Base {
    if path.starts_with(b"/") {
        return b"/".to_vec();
    }
    let ups: Vec<&[u8]> = path.split(|byte| *byte == b'/').take_while(|part| *part == b"..").collect();
    if ups.is_empty() { b".".to_vec() } else { ups.join(&b'/') }
}

/// `folder` with `name` below it, clean when both are.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        b"." => name.to_vec(),
        _ if folder.ends_with(b"/") => [folder, name].concat(),
        _ => [folder, b"/", name].concat(),
    }
}

pub(super) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}
