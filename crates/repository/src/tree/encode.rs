//! Writes a tree as restic does: one JSON object, nodes in strictly ascending order of their names.
//!
//! The bytes name the blob, so they are exactly those of Go's encoder. Nodes leave as they come; a directory of
//! any size needs one small buffer. A tree cut short by a crash is never referred to by anything.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::node::{ExtendedAttribute, Node, NodeTime};
use super::text::{hex_digit, push_name, push_string};
use super::time::{TimeWriter, ZoneOffsets};
use crate::id::BlobId;

/// Bytes collected before the writer is called.
const BUFFER_BYTES: usize = 64 << 10;
const HEAD: &[u8] = b"{\"nodes\":[";
const TAIL: &[u8] = b"]}\n";

/// A node that was not written.
#[derive(Debug, thiserror::Error)]
pub enum TreeEncodeError {
    /// Names must come in strictly ascending byte order and be not empty.
    #[error("tree entry {:?} does not come after {:?}", .name.escape_ascii().to_string(), .previous.escape_ascii().to_string())]
    Order { name: Vec<u8>, previous: Vec<u8> },
    #[error("cannot write an encoded tree")]
    Write(#[from] io::Error),
}

/// Where a tree stopped for one within it; to be handed back to [`TreeEncoder::end_inner`].
#[derive(Debug)]
pub(crate) struct Paused {
    last_name: Vec<u8>,
}

/// Encodes one tree, node by node. Trees within it may be encoded in between, each ended before the one around it
/// goes on: they need no encoders of their own.
#[derive(Debug)]
pub struct TreeEncoder<'a, W: Write> {
    writer: W,
    buffer: Vec<u8>,
    times: TimeWriter<'a>,
    last_name: Vec<u8>,
}

impl<'a, W: Write> TreeEncoder<'a, W> {
    /// Starts a tree whose times are written in `zone`.
    pub fn new(writer: W, zone: &'a ZoneOffsets) -> Self {
        Self { writer, buffer: HEAD.to_vec(), times: TimeWriter::new(zone), last_name: Vec::new() }
    }

    /// Appends `node`.
    pub fn push(&mut self, node: &Node) -> Result<(), TreeEncodeError> {
        if node.name <= self.last_name {
            return Err(TreeEncodeError::Order { name: node.name.clone(), previous: self.last_name.clone() });
        }
        if !self.last_name.is_empty() {
            self.buffer.push(b',');
        }
        self.last_name.clear();
        self.last_name.extend_from_slice(&node.name);
        self.push_stat(node);
        self.push_rest(node)?;
        self.flush_if_full()?;
        Ok(())
    }

    /// Begins a tree within this one. All that is of this one has been written when this returns.
    pub(crate) fn begin_inner(&mut self) -> io::Result<Paused> {
        self.flush()?;
        self.buffer.extend_from_slice(HEAD);
        Ok(Paused { last_name: std::mem::take(&mut self.last_name) })
    }

    /// Ends the innermost tree, all of which has then been written, and goes on with the one around it.
    pub(crate) fn end_inner(&mut self, outer: Paused) -> io::Result<()> {
        self.buffer.extend_from_slice(TAIL);
        self.last_name = outer.last_name;
        self.flush()
    }

    pub(crate) fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Ends the tree and hands the writer back.
    pub fn finish(mut self) -> Result<W, TreeEncodeError> {
        self.buffer.extend_from_slice(TAIL);
        self.flush()?;
        Ok(self.writer)
    }

    /// The fields that a `stat` fills.
    fn push_stat(&mut self, node: &Node) {
        let out = &mut self.buffer;
        out.extend_from_slice(b"{\"name\":");
        push_name(out, &node.name);
        out.extend_from_slice(b",\"type\":");
        push_string(out, node.kind.name().as_bytes());
        push_number_field(out, b",\"mode\":", node.mode.into());
        self.push_time(b",\"mtime\":\"", node.mtime);
        self.push_time(b"\",\"atime\":\"", node.atime);
        self.push_time(b"\",\"ctime\":\"", node.ctime);
        let out = &mut self.buffer;
        out.extend_from_slice(b"\",\"uid\":");
        push_number(out, node.uid.into());
        out.extend_from_slice(b",\"gid\":");
        push_number(out, node.gid.into());
        push_text_field(out, b",\"user\":", node.user.as_bytes());
        push_text_field(out, b",\"group\":", node.group.as_bytes());
        push_number_field(out, b",\"inode\":", node.inode);
        push_number_field(out, b",\"device_id\":", node.device_id);
        push_number_field(out, b",\"size\":", node.size);
        push_number_field(out, b",\"links\":", node.links);
    }

    fn push_rest(&mut self, node: &Node) -> io::Result<()> {
        let out = &mut self.buffer;
        push_text_field(out, b",\"linktarget\":", &node.link_target);
        if str::from_utf8(&node.link_target).is_err() {
            out.extend_from_slice(b",\"linktarget_raw\":");
            push_base64(out, &node.link_target);
        }
        push_attributes(out, &node.extended_attributes);
        if let Some(json) = &node.generic_attributes {
            out.extend_from_slice(b",\"generic_attributes\":");
            out.extend_from_slice(json.as_bytes());
        }
        push_number_field(out, b",\"device\":", node.device);
        self.push_content(node.content.as_deref())?;
        let out = &mut self.buffer;
        if let Some(subtree) = &node.subtree {
            out.extend_from_slice(b",\"subtree\":");
            push_id(out, subtree);
        }
        push_text_field(out, b",\"error\":", node.error.as_bytes());
        out.push(b'}');
        Ok(())
    }

    fn push_content(&mut self, content: Option<&[BlobId]>) -> io::Result<()> {
        self.buffer.extend_from_slice(b",\"content\":");
        let Some(content) = content else {
            self.buffer.extend_from_slice(b"null");
            return Ok(());
        };
        self.buffer.push(b'[');
        for (at, id) in content.iter().enumerate() {
            if at > 0 {
                self.buffer.push(b',');
            }
            push_id(&mut self.buffer, id);
            self.flush_if_full()?;
        }
        self.buffer.push(b']');
        Ok(())
    }

    fn push_time(&mut self, field: &[u8], time: NodeTime) {
        self.buffer.extend_from_slice(field);
        self.times.push(&mut self.buffer, time);
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn push_number(out: &mut Vec<u8>, value: u64) {
    let start = out.len();
    let mut rest = value;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

fn push_number_field(out: &mut Vec<u8>, field: &[u8], value: u64) {
    if value != 0 {
        out.extend_from_slice(field);
        push_number(out, value);
    }
}

fn push_text_field(out: &mut Vec<u8>, field: &[u8], text: &[u8]) {
    if !text.is_empty() {
        out.extend_from_slice(field);
        push_string(out, text);
    }
}

fn push_attributes(out: &mut Vec<u8>, attributes: &[ExtendedAttribute]) {
    for (at, attribute) in attributes.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"extended_attributes\":[" } else { b"," });
        out.extend_from_slice(b"{\"name\":");
        push_string(out, attribute.name.as_bytes());
        out.extend_from_slice(b",\"value\":");
        push_base64(out, &attribute.value);
        out.push(b'}');
    }
    if !attributes.is_empty() {
        out.push(b']');
    }
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let room = bytes.len().div_ceil(3) * 4;
    out.resize(start + room, 0);
    if let Some(space) = out.get_mut(start..) {
        STANDARD.encode_slice(bytes, space).expect("base64 needs four bytes for every three");
    }
    out.push(b'"');
}

fn push_id(out: &mut Vec<u8>, id: &BlobId) {
    let mut text = [b'"'; 66];
    let (_, digits) = text.split_at_mut(1);
    for (pair, &byte) in digits.chunks_exact_mut(2).zip(id.as_bytes()) {
        if let [high, low] = pair {
            *high = hex_digit(u32::from(byte >> 4));
            *low = hex_digit(byte.into());
        }
    }
    out.extend_from_slice(&text);
}
