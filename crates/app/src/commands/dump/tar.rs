//! Tar archives, written as a stream.
//!
//! Nanoseconds, large ids and extended attributes go into a pax record in front of an entry. Names of a hard
//! link are entries of their own, as in restic.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lifeboat_repository::tree::{Node, NodeKind, mode};
use tar::{Builder, EntryType, Header};

use super::Archive;

/// What the classic header has room for, as an id.
const MOST_ID: u32 = 0o777_7777;

pub(super) struct TarArchive<'a> {
    builder: Builder<&'a mut dyn Write>,
}

impl<'a> TarArchive<'a> {
    pub(super) fn new(writer: &'a mut dyn Write) -> Self {
        Self { builder: Builder::new(writer) }
    }
}

impl Archive for TarArchive<'_> {
    fn add(&mut self, path: &[u8], node: &Node, content: &mut dyn Read) -> io::Result<()> {
        let Some(kind) = entry_type(&node.kind) else { return Ok(()) };
        let records = pax_records(node);
        if !records.is_empty() {
            let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            self.builder.append_pax_extensions(records)?;
        }
        let mut header = header(kind, node)?;
        let path = Path::new(OsStr::from_bytes(path));
        match node.kind {
            NodeKind::Symlink => {
                let target = Path::new(OsStr::from_bytes(&node.link_target));
                self.builder.append_link(&mut header, path, target)
            }
            NodeKind::Dir => {
                let folder = [path.as_os_str().as_bytes(), b"/"].concat();
                self.builder.append_data(&mut header, OsStr::from_bytes(&folder), io::empty())
            }
            NodeKind::File => {
                let mut exactly = Exactly { content, left: node.size };
                self.builder.append_data(&mut header, path, &mut exactly)?;
                exactly.finish()
            }
            _ => self.builder.append_data(&mut header, path, io::empty()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.builder.finish()?;
        self.builder.get_mut().flush()
    }
}

/// Content that must be as long as the header in front of it says.
struct Exactly<'c> {
    content: &'c mut dyn Read,
    left: u64,
}

impl Exactly<'_> {
    fn finish(self) -> io::Result<()> {
        if self.left > 0 || self.content.read(&mut [0])? > 0 {
            return Err(io::Error::other("a file has not the size that the snapshot says"));
        }
        Ok(())
    }
}

impl Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.content.read(buffer.get_mut(..room).unwrap_or_default())?;
        if read == 0 && room > 0 {
            return Err(io::Error::other("a file is shorter than the snapshot says"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn header(kind: EntryType, node: &Node) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(unix_mode(node.mode));
    header.set_uid(node.uid.min(MOST_ID).into());
    header.set_gid(node.gid.min(MOST_ID).into());
    header.set_size(if node.kind == NodeKind::File { node.size } else { 0 });
    header.set_mtime(u64::try_from(node.mtime.seconds).unwrap_or(0));
    // Names too long for their field are left out; the number says it all.
    if node.user.len() < 32 {
        header.set_username(&node.user)?;
    }
    if node.group.len() < 32 {
        header.set_groupname(&node.group)?;
    }
    if matches!(node.kind, NodeKind::BlockDevice | NodeKind::CharDevice) {
        header.set_device_major(rustix::fs::major(node.device))?;
        header.set_device_minor(rustix::fs::minor(node.device))?;
    }
    Ok(header)
}

fn entry_type(kind: &NodeKind) -> Option<EntryType> {
    match kind {
        NodeKind::File => Some(EntryType::Regular),
        NodeKind::Dir => Some(EntryType::Directory),
        NodeKind::Symlink => Some(EntryType::Symlink),
        NodeKind::CharDevice => Some(EntryType::Char),
        NodeKind::BlockDevice => Some(EntryType::Block),
        NodeKind::Fifo => Some(EntryType::Fifo),
        NodeKind::Socket | NodeKind::Other(_) => None,
    }
}

/// Permissions with the bits for setuid, setgid and sticky where Unix has them.
pub(super) fn unix_mode(go_mode: u32) -> u32 {
    let special = [(mode::SETUID, 0o4000), (mode::SETGID, 0o2000), (mode::STICKY, 0o1000)];
    let special: u32 = special.iter().filter(|(bit, _)| go_mode & bit != 0).map(|(_, bit)| bit).sum();
    (go_mode & mode::PERMISSIONS) | special
}

/// What the classic header has no room for.
fn pax_records(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut records = Vec::new();
    for (key, id) in [("uid", node.uid), ("gid", node.gid)] {
        if id > MOST_ID {
            records.push((key.to_owned(), id.to_string().into_bytes()));
        }
    }
    if node.mtime.nanoseconds > 0 || node.mtime.seconds < 0 {
        let time = pax_time(node.mtime.seconds, node.mtime.nanoseconds);
        records.push(("mtime".to_owned(), time.into_bytes()));
    }
    for attribute in &node.extended_attributes {
        // A `=` would end the key; GNU tar writes and reads such names like this.
        let name = attribute.name.replace('%', "%25").replace('=', "%3D");
        records.push((format!("SCHILY.xattr.{name}"), attribute.value.clone()));
    }
    records
}

/// A decimal number of seconds, which may be negative.
fn pax_time(seconds: i64, nanoseconds: u32) -> String {
    if seconds < 0 && nanoseconds > 0 {
        let (whole, part) = (-(seconds + 1), 1_000_000_000 - nanoseconds);
        return format!("-{whole}.{part:09}");
    }
    format!("{seconds}.{nanoseconds:09}")
}

#[cfg(test)]
mod tests {
    use lifeboat_repository::tree::ExtendedAttribute;

    use super::*;

    #[test]
    fn times_before_1970_are_negative_decimals() {
        assert_eq!(pax_time(-1, 250_000_000), "-0.750000000");
        assert_eq!(pax_time(-2, 0), "-2.000000000");
        assert_eq!(pax_time(5, 1), "5.000000001");
    }

    #[test]
    fn an_equals_sign_in_the_name_of_an_attribute_does_not_end_the_key() {
        let attribute = ExtendedAttribute { name: "user.a=b%".into(), value: b"c=d".into() };
        let node = Node { extended_attributes: vec![attribute], ..Node::default() };
        let records = pax_records(&node);
        assert_eq!(records.last(), Some(&("SCHILY.xattr.user.a%3Db%25".to_owned(), b"c=d".to_vec())));
    }

    #[test]
    fn a_file_of_another_size_than_noted_breaks_the_archive_off() {
        for (content, size) in [(&b"abc"[..], 4), (b"abc", 2)] {
            let node = Node { name: b"f".into(), size, content: Some(Vec::new()), ..Node::default() };
            let (mut out, mut content) = (Vec::new(), content);
            let mut archive = TarArchive::new(&mut out);
            assert!(archive.add(b"f", &node, &mut content).is_err(), "{size}");
        }
    }
}
