//! All that can be known of a tree, in a form that two trees can be compared by.
//!
//! Two trees with equal digests are the same in content and metadata; where they are not, the difference reads as
//! lines of `path: field: before -> after`.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use lifeboat_repository::id::Id;
use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, lgetxattr, llistxattr, openat, readlinkat, statat,
};

/// What is known of one entry, field by field.
type Fields = BTreeMap<&'static str, String>;

/// A tree, described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    entries: BTreeMap<Vec<u8>, Fields>,
}

/// What to look at.
#[derive(Clone, Debug, Default)]
pub struct DigestOptions {
    /// Fields to leave out: `kind mode uid gid mtime size content attributes target device linked sparse`.
    pub without: Vec<&'static str>,
    /// Adds `sparse`: whether a file takes less room than its size.
    pub sparse: bool,
}

impl Digest {
    /// Describes `root` and all below it. Paths may be longer than the kernel allows.
    pub fn of(root: &Path, options: &DigestOptions) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, root, flags, Mode::empty())?;
        let mut look = Look { options, digest: Self::default(), first_names: HashMap::new() };
        let stat = fstat(&fd)?;
        look.note(b"", &fd, c".", &stat)?;
        look.walk(&fd, b"")?;
        Ok(look.digest)
    }

    /// One digest of the digest, for equality at a glance.
    pub fn id(&self) -> Id {
        Id::of(self.to_string().as_bytes())
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The differences as lines for people; `None` when there are none.
    pub fn difference(&self, after: &Self) -> Option<String> {
        let mut lines = String::new();
        let paths: std::collections::BTreeSet<_> = self.entries.keys().chain(after.entries.keys()).collect();
        for path in paths {
            let shown = path.escape_ascii();
            match (self.entries.get(path), after.entries.get(path)) {
                (Some(_), None) => lines += &format!("{shown}: is missing\n"),
                (None, Some(_)) => lines += &format!("{shown}: is new\n"),
                (Some(before), Some(after)) => lines += &field_differences(&shown.to_string(), before, after),
                (None, None) => {}
            }
        }
        (!lines.is_empty()).then_some(lines)
    }

    /// Panics with the differences if there are any.
    #[track_caller]
    pub fn assert_same(&self, after: &Self, what: &str) {
        if let Some(difference) = self.difference(after) {
            panic!("{what}: the trees differ\n{difference}");
        }
    }
}

fn field_differences(path: &str, before: &Fields, after: &Fields) -> String {
    let mut lines = String::new();
    let fields: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for field in fields {
        let none = String::from("nothing");
        let (old, new) = (before.get(field).unwrap_or(&none), after.get(field).unwrap_or(&none));
        if old != new {
            lines += &format!("{path}: {field}: {old} -> {new}\n");
        }
    }
    lines
}

/// The whole listing, one entry a line.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, fields) in &self.entries {
            write!(f, "{}", path.escape_ascii())?;
            for (field, value) in fields {
                write!(f, " {field}={value}")?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

struct Look<'a> {
    options: &'a DigestOptions,
    digest: Digest,
    /// By device and inode: the first path of a file with several names.
    first_names: HashMap<(u64, u64), String>,
}

impl Look<'_> {
    fn walk(&mut self, folder: &OwnedFd, path: &[u8]) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        for name in names {
            let below = [path, b"/", name.to_bytes()].concat();
            let stat = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            self.note(&below, folder, &name, &stat)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.walk(&openat(folder, &name, flags, Mode::empty())?, &below)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &[u8], folder: &OwnedFd, name: &CStr, stat: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut fields = Fields::from([
            ("kind", format!("{kind:?}")),
            ("mode", format!("{:o}", stat.st_mode & 0o7777)),
            ("uid", stat.st_uid.to_string()),
            ("gid", stat.st_gid.to_string()),
            ("mtime", format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec)),
            ("attributes", attributes(folder, name)?),
        ]);
        match kind {
            FileType::RegularFile => {
                fields.insert("size", stat.st_size.to_string());
                if !self.options.without.contains(&"content") {
                    fields.insert("content", content(folder, name)?);
                }
                if self.options.sparse {
                    let is_sparse = stat.st_blocks * 512 + 64 * 1024 < stat.st_size;
                    fields.insert("sparse", is_sparse.to_string());
                }
            }
            FileType::Symlink => {
                let target = readlinkat(folder, name, Vec::new())?;
                fields.insert("target", target.to_bytes().escape_ascii().to_string());
            }
            FileType::BlockDevice | FileType::CharacterDevice => {
                fields.insert("device", stat.st_rdev.to_string());
            }
            _ => {}
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let shown = path.escape_ascii().to_string();
            let first = self.first_names.entry((stat.st_dev, stat.st_ino)).or_insert(shown);
            fields.insert("linked", first.clone());
        }
        for field in &self.options.without {
            fields.remove(field);
        }
        self.digest.entries.insert(path.to_vec(), fields);
        Ok(())
    }
}

fn content(folder: &OwnedFd, name: &CStr) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(folder, name, flags, Mode::empty())?);
    let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(digest.finish()));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
    }
}

/// Names and values, sorted by name.
fn attributes(folder: &OwnedFd, name: &CStr) -> io::Result<String> {
    let mut path = format!("/proc/self/fd/{}/", folder.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name.to_bytes());
    let mut names = Vec::with_capacity(64 * 1024);
    match llistxattr(path.as_slice(), spare_capacity(&mut names)) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(String::new()),
        listed => listed?,
    };
    let mut lines = Vec::new();
    for attribute in names.split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        let mut value = Vec::with_capacity(64 * 1024);
        lgetxattr(path.as_slice(), attribute, spare_capacity(&mut value))?;
        lines.push(format!("{}={}", attribute.escape_ascii(), hex::encode(value)));
    }
    lines.sort();
    Ok(lines.join(","))
}
