//! What one `stat` tells, as a node of a tree.
//!
//! Fields are filled as restic fills them, so that equal files give equal trees: names of users and groups come from
//! `/etc/passwd` and `/etc/group`, and links are counted for what is not a folder, fifo or socket.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use lifeboat_repository::tree::{Node, NodeKind, NodeTime, mode};
use rustix::fs::{FileType, Mode, Stat};

/// Turns stats into nodes.
#[derive(Debug, Default)]
pub(super) struct NodeMaker {
    with_atime: bool,
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl NodeMaker {
    /// Reads the names of users and groups; a system without the files has no names.
    pub(super) fn new(with_atime: bool) -> Self {
        Self {
            with_atime,
            users: names(Path::new("/etc/passwd"), 7),
            groups: names(Path::new("/etc/group"), 4),
        }
    }

    pub(super) fn node(&self, name: &[u8], stat: &Stat) -> Node {
        let (kind, kind_bits) = kind_of(stat);
        let mtime = time(stat.st_mtime, stat.st_mtime_nsec);
        let atime = if self.with_atime { time(stat.st_atime, stat.st_atime_nsec) } else { mtime };
        let is_device = matches!(kind, NodeKind::BlockDevice | NodeKind::CharDevice);
        let counts_links = is_device || matches!(kind, NodeKind::File | NodeKind::Symlink);
        Node {
            name: name.to_vec(),
            mode: kind_bits | mode_bits(stat.st_mode),
            mtime,
            atime,
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: self.users.get(&stat.st_uid).cloned().unwrap_or_default(),
            group: self.groups.get(&stat.st_gid).cloned().unwrap_or_default(),
            inode: stat.st_ino,
            device_id: stat.st_dev,
            size: if kind == NodeKind::File { size(stat) } else { 0 },
            #[expect(clippy::useless_conversion, reason = "the width differs between architectures")]
            links: if counts_links { u64::from(stat.st_nlink) } else { 0 },
            device: if is_device { stat.st_rdev } else { 0 },
            kind,
            ..Node::default()
        }
    }
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn kind_of(stat: &Stat) -> (NodeKind, u32) {
    match file_type(stat) {
        FileType::RegularFile => (NodeKind::File, 0),
        FileType::Directory => (NodeKind::Dir, mode::DIR),
        FileType::Symlink => (NodeKind::Symlink, mode::SYMLINK),
        FileType::BlockDevice => (NodeKind::BlockDevice, mode::DEVICE),
        FileType::CharacterDevice => (NodeKind::CharDevice, mode::DEVICE | mode::CHAR_DEVICE),
        FileType::Fifo => (NodeKind::Fifo, mode::FIFO),
        FileType::Socket => (NodeKind::Socket, mode::SOCKET),
        FileType::Unknown => (NodeKind::Other("irregular".to_owned()), 0),
    }
}

pub(super) fn mode_bits(raw: u32) -> u32 {
    let special = Mode::from_raw_mode(raw);
    let mut bits = raw & mode::PERMISSIONS;
    for (flag, bit) in [(Mode::SUID, mode::SETUID), (Mode::SGID, mode::SETGID), (Mode::SVTX, mode::STICKY)] {
        if special.contains(flag) {
            bits |= bit;
        }
    }
    bits
}

#[expect(clippy::useless_conversion, reason = "the width differs between architectures")]
fn time(seconds: i64, nanoseconds: impl TryInto<u32>) -> NodeTime {
    NodeTime { seconds: i64::from(seconds), nanoseconds: nanoseconds.try_into().unwrap_or_default() }
}

/// The names by id of a colon-separated file: the first line for an id counts, `+` and `-` lines are for NIS.
fn names(file: &Path, fields: usize) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in fs::read(file).unwrap_or_default().split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let parts: Vec<&[u8]> = line.splitn(fields, |byte| *byte == b':').collect();
        let (Some(name), Some(id)) = (parts.first(), parts.get(2)) else { continue };
        if parts.len() < fields || name.is_empty() || matches!(name.first(), Some(b'+' | b'-' | b'#')) {
            continue;
        }
        let id = str::from_utf8(id).ok().and_then(|id| Some((id, id.parse::<u32>().ok()?)));
        if let Some((text, id)) = id
            && id.to_string() == text
        {
            names.entry(id).or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        }
    }
    names
}
