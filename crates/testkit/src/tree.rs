//! Random trees of every kind of file, and what a day of work does to them.
//!
//! Kinds this machine cannot make (devices without root, attributes the file system refuses) are left out, so the
//! same seed gives the same tree only on equal machines.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, chmod, lsetxattr, makedev, mknodat,
    utimensat,
};
use rustix::process::geteuid;

use crate::random::Random;

/// How large a tree to make, and which kinds to leave out of it.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    pub entries: usize,
    pub largest_file_bytes: u64,
    /// Names and link targets that are not UTF-8.
    pub raw_names: bool,
    /// Link targets that are not UTF-8, where names may be: restic 0.14 loses them.
    pub raw_link_targets: bool,
    pub sockets: bool,
    pub devices: bool,
    pub fifos: bool,
    pub hard_links: bool,
    pub attributes: bool,
    pub owners: bool,
    /// Times before 1970.
    pub early_times: bool,
}

/// All that restic can carry, which is all but sockets and, in its older versions, raw link targets.
impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            entries: 80,
            largest_file_bytes: 3 << 20,
            raw_names: true,
            raw_link_targets: false,
            sockets: false,
            devices: true,
            fifos: true,
            hard_links: true,
            attributes: true,
            owners: true,
            early_times: true,
        }
    }
}

/// Fills `root`, an existing folder, with a random tree.
pub fn build(root: &Path, seed: u64, options: &TreeOptions) {
    let mut builder = Builder::new(root, seed, options);
    for _ in 0..options.entries {
        builder.add();
    }
    builder.finish();
}

/// Changes a tree made by [`build`] as time would: some files change, some go, some come, some only change owner.
pub fn mutate(root: &Path, seed: u64, options: &TreeOptions) {
    let mut builder = Builder::new(root, seed, options);
    builder.adopt(root);
    for _ in 0..options.entries / 5 + 1 {
        match builder.random.below(6) {
            0 => builder.remove(),
            1 => builder.rename(),
            2 => builder.rewrite(),
            3 => builder.append(),
            4 => builder.touch(),
            _ => builder.add(),
        }
    }
    builder.finish();
}

struct Builder<'a> {
    random: Random,
    options: &'a TreeOptions,
    is_root: bool,
    serial: u64,
    /// Folders, the root first and parents before children.
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    others: Vec<PathBuf>,
}

impl<'a> Builder<'a> {
    fn new(root: &Path, seed: u64, options: &'a TreeOptions) -> Self {
        Self {
            random: Random::new(seed),
            options,
            is_root: geteuid().is_root(),
            serial: seed % 1000 * 1000,
            folders: vec![root.to_owned()],
            files: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Takes note of what is there, in an order that the names decide.
    fn adopt(&mut self, folder: &Path) {
        let entries = fs::read_dir(folder).expect("the folder can be listed");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let kind = fs::symlink_metadata(&path).expect("the entry is there").file_type();
            if kind.is_dir() {
                self.folders.push(path.clone());
                self.adopt(&path);
            } else if kind.is_file() {
                self.files.push(path);
            } else {
                self.others.push(path);
            }
        }
    }

    /// Gives folders their times, which everything made in them has changed.
    fn finish(mut self) {
        let folders = std::mem::take(&mut self.folders);
        for folder in folders.iter().skip(1).rev() {
            self.dress(folder, FileType::Directory);
        }
        if let Some(root) = folders.first() {
            self.date(root);
        }
    }

    fn add(&mut self) {
        let path = self.new_path();
        match self.random.below(20) {
            0..=3 => {
                fs::create_dir(&path).expect("a new folder");
                self.folders.push(path);
            }
            4..=6 => self.add_link(path),
            7 if self.options.hard_links && !self.files.is_empty() => {
                let target = self.random.pick(&self.files).clone();
                fs::hard_link(target, &path).expect("a hard link");
                self.files.push(path);
            }
            8 if self.options.fifos => self.add_node(path, FileType::Fifo),
            9 if self.options.devices && self.is_root => {
                let kind = *self.random.pick(&[FileType::CharacterDevice, FileType::BlockDevice]);
                self.add_node(path, kind);
            }
            10 if self.options.sockets => self.add_socket(path),
            11 => self.add_sparse(path),
            _ => self.add_file(path),
        }
    }

    fn new_path(&mut self) -> PathBuf {
        let folder = self.random.pick(&self.folders).clone();
        loop {
            let path = folder.join(OsStr::from_bytes(&self.name()));
            if fs::symlink_metadata(&path).is_err() {
                return path;
            }
        }
    }

    fn name(&mut self) -> Vec<u8> {
        self.serial += 1;
        let serial = self.serial;
        let plain = format!("{serial:x}");
        match self.random.below(12) {
            0 => format!("with space {plain} ").into_bytes(),
            1 => format!("-dash{plain}").into_bytes(),
            2 => format!("line\nbreak\t{plain}\u{7f}\u{1}").into_bytes(),
            3 => format!("ünï¢ødé {plain} 日本語 \u{1f600}\u{2028}\u{fffd}").into_bytes(),
            4 => format!("\"quoted\" \\ <&> '{plain}' $(x) *?[").into_bytes(),
            5 => format!("{plain:a<255}").into_bytes(),
            6 if self.options.raw_names => [plain.as_bytes(), b"\xff\xfe\x80raw\xc3"].concat(),
            7 => format!(".hidden{plain}~").into_bytes(),
            _ => format!("entry{plain}.dat").into_bytes(),
        }
    }

    fn add_link(&mut self, path: PathBuf) {
        let target = match self.random.below(5) {
            0 if self.options.raw_link_targets => b"raw\xff\xfetarget".to_vec(),
            0 | 1 => b"../nowhere at all".to_vec(),
            2 => b"/etc/passwd".to_vec(),
            _ => self.name(),
        };
        let is_utf8 = str::from_utf8(&target).is_ok();
        let target = if is_utf8 || self.options.raw_link_targets { target } else { b"plain".to_vec() };
        symlink(OsStr::from_bytes(&target), &path).expect("a new link");
        self.dress(&path, FileType::Symlink);
        self.others.push(path);
    }

    fn add_node(&mut self, path: PathBuf, kind: FileType) {
        let minor = u32::try_from(self.random.below(300)).expect("it is below 300");
        let device = if kind == FileType::Fifo { 0 } else { makedev(240, minor) };
        mknodat(CWD, &path, kind, Mode::from_raw_mode(0o600), device).expect("a new node");
        self.dress(&path, kind);
        self.others.push(path);
    }

    fn add_socket(&mut self, path: PathBuf) {
        // Longer paths than a socket address holds are of no use here.
        if let Ok(socket) = UnixListener::bind(&path) {
            drop(socket);
            self.dress(&path, FileType::Socket);
            self.others.push(path);
        }
    }

    fn add_file(&mut self, path: PathBuf) {
        let content = self.content();
        fs::write(&path, content).expect("a new file");
        self.dress(&path, FileType::RegularFile);
        self.files.push(path);
    }

    fn content(&mut self) -> Vec<u8> {
        let limit = self.options.largest_file_bytes;
        let len = match self.random.below(10) {
            0 | 1 => 0,
            2..=6 => self.random.below(2000),
            7 | 8 => self.random.below(200_000),
            _ => self.random.below(limit + 1),
        };
        let len = usize::try_from(len.min(limit)).expect("files fit memory");
        match self.random.below(4) {
            0 => b"the same line again and again\n".iter().copied().cycle().take(len).collect(),
            1 => vec![0; len],
            _ => self.random.bytes(len),
        }
    }

    fn add_sparse(&mut self, path: PathBuf) {
        let file = File::create(&path).expect("a new file");
        let len = self.options.largest_file_bytes;
        file.set_len(len).expect("a hole of any length");
        for _ in 0..self.random.below(4) {
            let (bytes, at) = (self.random.bytes(5000), self.random.below(len.saturating_sub(5000) + 1));
            file.write_all_at(&bytes, at).expect("some data among holes");
        }
        drop(file);
        self.dress(&path, FileType::RegularFile);
        self.files.push(path);
    }

    /// Gives owner, mode, attributes and times, in the order in which none undoes another.
    fn dress(&mut self, path: &Path, kind: FileType) {
        if self.options.owners && self.is_root && self.random.one_in(3) {
            let ids = [0, 1, 33, 1000, 65534, 4_000_000_000];
            let (user, group) = (*self.random.pick(&ids), *self.random.pick(&ids));
            lchown(path, Some(user), Some(group)).expect("root may give files away");
        }
        if kind != FileType::Symlink {
            let mode = self.mode(kind);
            chmod(path, Mode::from_raw_mode(mode)).expect("the mode of an own file");
        }
        if self.options.attributes && matches!(kind, FileType::RegularFile | FileType::Directory) {
            self.add_attributes(path);
        }
        self.date(path);
    }

    fn date(&mut self, path: &Path) {
        let time = self.time();
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("the times of an own file");
    }

    fn mode(&mut self, kind: FileType) -> u32 {
        let special = *self.random.pick(&[0, 0, 0, 0, 0o4000, 0o2000, 0o1000, 0o7000]);
        let mode = u32::try_from(self.random.below(0o1000)).expect("it is below 0o1000") | special;
        match kind {
            FileType::Directory if !self.is_root => mode | 0o700,
            _ if !self.is_root => mode | 0o600,
            _ => mode,
        }
    }

    fn time(&mut self) -> Timespec {
        let seconds = match self.random.below(8) {
            0 if self.options.early_times => {
                -i64::try_from(self.random.below(2_000_000_000)).unwrap_or(0) - 1
            }
            1 => 0,
            2 => 3_000_000_000,
            _ => 1_000_000_000 + i64::try_from(self.random.below(700_000_000)).unwrap_or(0),
        };
        let nanoseconds = match self.random.below(4) {
            0 => 0,
            1 => 120_000_000,
            _ => self.random.below(1_000_000_000),
        };
        Timespec { tv_sec: seconds, tv_nsec: nanoseconds.try_into().expect("it is below a second") }
    }

    fn add_attributes(&mut self, path: &Path) {
        for _ in 0..self.random.below(4).saturating_sub(1) {
            let serial = self.random.below(1000);
            let len = *self.random.pick(&[0, 1, 17, 600]);
            let value = self.random.bytes(len);
            set_attribute(path, &format!("user.test{serial}"), &value);
        }
        if self.is_root && self.random.one_in(6) {
            set_attribute(path, "trusted.test", b"only root reads this");
        }
        if self.random.one_in(5) {
            set_attribute(path, "system.posix_acl_access", &access_list());
        }
        if path.is_dir() && self.random.one_in(5) {
            set_attribute(path, "system.posix_acl_default", &access_list());
        }
    }

    fn pick_file(&mut self) -> Option<PathBuf> {
        (!self.files.is_empty()).then(|| self.random.pick(&self.files).clone())
    }

    fn remove(&mut self) {
        if self.random.one_in(4) && self.folders.len() > 1 {
            let folder = self.folders.last().cloned().expect("it has more than one");
            fs::remove_dir_all(&folder).expect("an own folder");
            self.folders.pop();
            for list in [&mut self.folders, &mut self.files, &mut self.others] {
                list.retain(|path| !path.starts_with(&folder));
            }
        } else if let Some(file) = self.pick_file() {
            fs::remove_file(&file).expect("an own file");
            self.files.retain(|path| *path != file);
        }
    }

    fn rename(&mut self) {
        let Some(file) = self.pick_file() else { return };
        let path = self.new_path();
        fs::rename(&file, &path).expect("a name that is free");
        self.files.retain(|path| *path != file);
        self.files.push(path);
    }

    fn rewrite(&mut self) {
        let Some(file) = self.pick_file() else { return };
        let content = self.content();
        fs::write(&file, content).expect("an own file");
        self.dress(&file, FileType::RegularFile);
    }

    fn append(&mut self) {
        let Some(file) = self.pick_file() else { return };
        let mut content = fs::read(&file).expect("an own file");
        content.extend(self.random.bytes(777));
        fs::write(&file, content).expect("an own file");
    }

    /// Changes all but the content.
    fn touch(&mut self) {
        let Some(file) = self.pick_file() else { return };
        self.dress(&file, FileType::RegularFile);
    }
}

/// Sets an attribute, or not, where the file system has none of its kind or the file has no room for more.
fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("paths have no zeros");
    match lsetxattr(&path, name, value, XattrFlags::empty()).map_err(io::Error::from) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::StorageFull) => {}
        outcome => outcome.unwrap_or_else(|error| panic!("cannot set {name} on {path:?}: {error}")),
    }
}

/// A POSIX access list as the kernel wants it: owner, user 1000, group, mask, others.
fn access_list() -> Vec<u8> {
    let nobody = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(0x01, 6, nobody), (0x02, 4, 1000), (0x04, 5, nobody), (0x10, 5, nobody), (0x20, 0, nobody)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Digest, DigestOptions};

    fn digest(root: &Path) -> Digest {
        Digest::of(root, &DigestOptions { sparse: true, ..DigestOptions::default() }).unwrap()
    }

    #[test]
    fn a_seed_gives_the_same_tree_twice_and_a_mutation_changes_it() {
        let options =
            TreeOptions { sockets: true, raw_link_targets: true, entries: 200, ..TreeOptions::default() };
        let trees: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
        for tree in &trees {
            build(tree.path(), 7, &options);
        }
        let (first, second) = (digest(trees[0].path()), digest(trees[1].path()));
        first.assert_same(&second, "two trees of one seed");
        assert_eq!(first.id(), second.id());
        assert!(first.len() > 150, "{first}");
        mutate(trees[1].path(), 8, &options);
        let difference = first.difference(&digest(trees[1].path())).expect("a mutation changes something");
        assert!(difference.contains(": content: "), "{difference}");
    }

    #[test]
    fn a_digest_tells_every_kind_of_change() {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::write(at("file"), "content").unwrap();
        fs::write(at("other"), "content").unwrap();
        symlink("target", at("link")).unwrap();
        let before = digest(tree.path());
        type Change<'a> = (&'a str, Box<dyn Fn() + 'a>);
        let steps: [Change<'_>; 7] = [
            ("/file: mode", Box::new(|| chmod(at("file"), Mode::from_raw_mode(0o4711)).unwrap())),
            ("/file: content", Box::new(|| fs::write(at("file"), "cOntent").unwrap())),
            ("/file: size", Box::new(|| fs::write(at("file"), "cOntents").unwrap())),
            ("/file: attributes", Box::new(|| set_attribute(&at("file"), "user.a", b"b"))),
            (
                "/link: target",
                Box::new(|| fs::remove_file(at("link")).and(symlink("else", at("link"))).unwrap()),
            ),
            ("/another: is new", Box::new(|| fs::hard_link(at("file"), at("another")).unwrap())),
            ("/other: is missing", Box::new(|| fs::remove_file(at("other")).unwrap())),
        ];
        for (expected, change) in steps {
            change();
            let difference = before.difference(&digest(tree.path())).unwrap_or_default();
            assert!(difference.contains(expected), "{expected} is not in {difference}");
        }
        let difference = before.difference(&digest(tree.path())).unwrap();
        assert!(difference.contains("/file: linked: nothing -> /another"), "{difference}");
    }
}
