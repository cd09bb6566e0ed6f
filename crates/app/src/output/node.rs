//! How an entry of a snapshot looks: as a line, and as JSON.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_repository::tree::{Node, NodeKind, NodeTime, ZoneOffsets, format_time, mode};
use serde::Serialize;

use super::text;

/// `drwxr-xr-x`, with the letters that Go puts in front of special modes.
pub(crate) fn permissions(go_mode: u32) -> String {
    const LETTERS: [(u32, char); 8] = [
        (mode::DIR, 'd'),
        (mode::SYMLINK, 'L'),
        (mode::DEVICE, 'D'),
        (mode::FIFO, 'p'),
        (mode::SOCKET, 'S'),
        (mode::SETUID, 'u'),
        (mode::SETGID, 'g'),
        (mode::CHAR_DEVICE, 'c'),
    ];
    let mut text: String =
        LETTERS.iter().filter(|(bit, _)| go_mode & bit != 0).map(|(_, letter)| letter).collect();
    if go_mode & mode::STICKY != 0 {
        text.push('t');
    }
    if text.is_empty() {
        text.push('-');
    }
    for (at, letter) in "rwxrwxrwx".chars().enumerate() {
        let is_set = go_mode >> (8 - at) & 1 == 1;
        text.push(if is_set { letter } else { '-' });
    }
    text
}

/// A point in time as people here write it.
fn local_time(time: NodeTime, zone: &TimeZone) -> String {
    let nanoseconds = i32::try_from(time.nanoseconds).unwrap_or(0);
    match Timestamp::new(time.seconds, nanoseconds) {
        Ok(time) => text::time(time, zone),
        Err(_) => format!("{} s", time.seconds),
    }
}

/// One line as `ls -l` prints it: mode, owner, size, time, path, target.
pub(crate) fn long_line(path: &[u8], node: &Node, zone: &TimeZone) -> Vec<u8> {
    let head = format!(
        "{} {:5} {:5} {:6} {} ",
        permissions(node.mode),
        node.uid,
        node.gid,
        node.size,
        local_time(node.mtime, zone)
    );
    let mut line = head.into_bytes();
    line.extend_from_slice(&text::path(path));
    if node.kind == NodeKind::Symlink {
        line.extend_from_slice(b" -> ");
        line.extend_from_slice(&text::path(&node.link_target));
    }
    line
}

/// An entry as JSON, with restic's names. Bytes that are not UTF-8 become U+FFFD.
#[derive(Serialize)]
pub(crate) struct NodeJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    message_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    struct_type: &'static str,
    name: String,
    #[serde(rename = "type")]
    kind: &'a str,
    path: String,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    mode: u32,
    permissions: String,
    mtime: String,
    atime: String,
    ctime: String,
    #[serde(skip_serializing_if = "is_zero")]
    inode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    device_id: u64,
    #[serde(skip_serializing_if = "is_zero")]
    links: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_target: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> NodeJson<'a> {
    pub(crate) fn new(path: &[u8], node: &'a Node, zone: &ZoneOffsets) -> Self {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            message_type: "",
            struct_type: "",
            name: lossy(&node.name),
            kind: node.kind.name(),
            path: lossy(path),
            uid: node.uid,
            gid: node.gid,
            user: &node.user,
            group: &node.group,
            size: (node.kind == NodeKind::File).then_some(node.size),
            mode: node.mode,
            permissions: permissions(node.mode),
            mtime: format_time(node.mtime, zone),
            atime: format_time(node.atime, zone),
            ctime: format_time(node.ctime, zone),
            inode: node.inode,
            device_id: node.device_id,
            links: node.links,
            link_target: lossy(&node.link_target),
        }
    }

    /// Marked as a message of its own.
    pub(crate) fn into_message(self) -> Self {
        Self { message_type: "node", struct_type: "node", ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_in_go() {
        for (bits, expected) in [
            (0o644, "-rw-r--r--"),
            (mode::DIR | mode::STICKY | 0o777, "dtrwxrwxrwx"),
            (mode::SYMLINK | 0o777, "Lrwxrwxrwx"),
            (mode::SETUID | 0o755, "urwxr-xr-x"),
            (mode::DEVICE | mode::CHAR_DEVICE | 0o620, "Dcrw--w----"),
        ] {
            assert_eq!(permissions(bits), expected);
        }
    }
}
