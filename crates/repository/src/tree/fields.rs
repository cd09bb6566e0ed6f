//! The fields of one node: which there are, and how each is read.
//!
//! A value of the wrong kind is stepped over and complained of, so that the node after it can still be read.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::input::{Input, Scan, ScanError};
use super::node::{ExtendedAttribute, Node, NodeKind, NodeTime};
use super::time::parse_time;
use super::unquote::{push_lossy, unescape_json, unquote_name};
use crate::id::{BlobId, Id, digit_value};

/// What all attributes of one node may take together.
const ATTRIBUTES_BYTES: usize = 64 << 20;

/// The fields that are known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Name,
    Type,
    Mode,
    Mtime,
    Atime,
    Ctime,
    Uid,
    Gid,
    User,
    Group,
    Inode,
    DeviceId,
    Size,
    Links,
    LinkTarget,
    LinkTargetRaw,
    ExtendedAttributes,
    GenericAttributes,
    Device,
    Content,
    Subtree,
    Error,
    Unknown,
}

impl Field {
    pub(super) fn named(key: &[u8]) -> Self {
        match key {
            b"name" => Self::Name,
            b"type" => Self::Type,
            b"mode" => Self::Mode,
            b"mtime" => Self::Mtime,
            b"atime" => Self::Atime,
            b"ctime" => Self::Ctime,
            b"uid" => Self::Uid,
            b"gid" => Self::Gid,
            b"user" => Self::User,
            b"group" => Self::Group,
            b"inode" => Self::Inode,
            b"device_id" => Self::DeviceId,
            b"size" => Self::Size,
            b"links" => Self::Links,
            b"linktarget" => Self::LinkTarget,
            b"linktarget_raw" => Self::LinkTargetRaw,
            b"extended_attributes" => Self::ExtendedAttributes,
            b"generic_attributes" => Self::GenericAttributes,
            b"device" => Self::Device,
            b"content" => Self::Content,
            b"subtree" => Self::Subtree,
            b"error" => Self::Error,
            _ => Self::Unknown,
        }
    }
}

/// Reads field values; remembers what was wrong with the node at hand.
#[derive(Debug)]
pub(super) struct FieldReader<R> {
    pub(super) input: Input<R>,
    pub(super) complaint: Option<&'static str>,
    /// Memory for the next content list.
    pub(super) spare: Vec<BlobId>,
    scratch: Vec<u8>,
    /// The time read last and its text: the times of a node are often the same.
    time: NodeTime,
    time_text: Vec<u8>,
    has_raw_target: bool,
    attributes_bytes: usize,
}

impl<R> FieldReader<R> {
    pub(super) fn new(input: Input<R>) -> Self {
        Self {
            input,
            complaint: None,
            spare: Vec::new(),
            scratch: Vec::new(),
            time: NodeTime::UNKNOWN,
            time_text: b"0001-01-01T00:00:00Z".to_vec(),
            has_raw_target: false,
            attributes_bytes: 0,
        }
    }

    /// Forgets what was particular to the node before.
    pub(super) fn begin(&mut self) {
        self.complaint = None;
        self.has_raw_target = false;
        self.attributes_bytes = 0;
    }

    fn complain(&mut self, what: &'static str) {
        self.complaint.get_or_insert(what);
    }
}

impl<R: Read> FieldReader<R> {
    /// Reads the value that comes next into its field. `null` leaves the field as it is, as Go does.
    pub(super) fn read(&mut self, field: Field, node: &mut Node) -> Scan<()> {
        if self.input.take_null()? {
            return Ok(());
        }
        match field {
            Field::Name => self.name(&mut node.name)?,
            Field::Type => node.kind = self.kind()?,
            Field::Mode => node.mode = self.small_number()?,
            Field::Mtime => node.mtime = self.time()?,
            Field::Atime => node.atime = self.time()?,
            Field::Ctime => node.ctime = self.time()?,
            Field::Uid => node.uid = self.small_number()?,
            Field::Gid => node.gid = self.small_number()?,
            Field::User => self.string(&mut node.user)?,
            Field::Group => self.string(&mut node.group)?,
            Field::Inode => node.inode = self.number()?,
            Field::DeviceId => node.device_id = self.number()?,
            Field::Size => node.size = self.number()?,
            Field::Links => node.links = self.number()?,
            Field::LinkTarget => self.link_target(&mut node.link_target)?,
            Field::LinkTargetRaw => {
                self.base64(&mut node.link_target)?;
                self.has_raw_target = true;
            }
            Field::ExtendedAttributes => self.attributes(&mut node.extended_attributes)?,
            Field::GenericAttributes => node.generic_attributes = self.generic_attributes()?,
            Field::Device => node.device = self.number()?,
            Field::Content => node.content = self.content()?,
            Field::Subtree => node.subtree = self.id()?,
            Field::Error => self.string(&mut node.error)?,
            Field::Unknown => self.input.value(None)?,
        }
        Ok(())
    }

    /// True if a value of the kind that begins with `open` comes next; any other is stepped over.
    fn opens(&mut self, open: u8, otherwise: &'static str) -> Scan<bool> {
        if self.input.peek()? == open {
            return Ok(true);
        }
        self.input.value(None)?;
        self.complain(otherwise);
        Ok(false)
    }

    fn number(&mut self) -> Scan<u64> {
        let number = match self.input.peek()? {
            b'0'..=b'9' => self.input.number(None)?,
            _ => {
                self.input.value(None)?;
                None
            }
        };
        if number.is_none() {
            self.complain("has something else where a number belongs");
        }
        Ok(number.unwrap_or(0))
    }

    fn small_number(&mut self) -> Scan<u32> {
        let number = u32::try_from(self.number()?);
        if number.is_err() {
            self.complain("has a number too large for its field");
        }
        Ok(number.unwrap_or(0))
    }

    fn time(&mut self) -> Scan<NodeTime> {
        if !self.opens(b'"', "has a time that is not a string")? {
            return Ok(NodeTime::UNKNOWN);
        }
        let text = self.input.string()?.text;
        if text == self.time_text {
            return Ok(self.time);
        }
        let Some(time) = parse_time(text) else {
            self.complain("has a time that is none");
            return Ok(NodeTime::UNKNOWN);
        };
        self.time_text.clear();
        self.time_text.extend_from_slice(text);
        self.time = time;
        Ok(time)
    }

    /// Takes a string and hands out its text: valid UTF-8, escapes undone.
    fn text(&mut self) -> Scan<&str> {
        if !self.opens(b'"', "has something else where a string belongs")? {
            return Ok("");
        }
        let string = self.input.string()?;
        if string.is_escaped {
            if !unescape_json(string.text, &mut self.scratch) {
                self.complaint.get_or_insert("has a string with an escape that is none");
            }
        } else if let Ok(text) = str::from_utf8(string.text) {
            return Ok(text);
        } else {
            self.scratch.clear();
            push_lossy(&mut self.scratch, string.text);
        }
        Ok(str::from_utf8(&self.scratch).unwrap_or_default())
    }

    fn string(&mut self, out: &mut String) -> Scan<()> {
        out.clear();
        out.push_str(self.text()?);
        Ok(())
    }

    fn name(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        let quoted = self.text()?.as_bytes();
        let is_name = unquote_name(quoted, out);
        if !is_name {
            self.complain("has a name that is not quoted as it should be");
        }
        Ok(())
    }

    fn kind(&mut self) -> Scan<NodeKind> {
        Ok(match self.text()? {
            "file" => NodeKind::File,
            "dir" => NodeKind::Dir,
            "symlink" => NodeKind::Symlink,
            "dev" => NodeKind::BlockDevice,
            "chardev" => NodeKind::CharDevice,
            "fifo" => NodeKind::Fifo,
            "socket" => NodeKind::Socket,
            other => NodeKind::Other(other.to_owned()),
        })
    }

    /// The readable form of a link's target; the raw form, where there is one, counts.
    fn link_target(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        let has_raw_target = self.has_raw_target;
        let text = self.text()?;
        if !has_raw_target {
            out.clear();
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    }

    fn base64(&mut self, out: &mut Vec<u8>) -> Scan<()> {
        out.clear();
        let is_base64 = STANDARD.decode_vec(self.text()?, out).is_ok();
        if !is_base64 {
            self.complain("has bytes that are not base64");
        }
        Ok(())
    }

    fn id(&mut self) -> Scan<Option<BlobId>> {
        if !self.opens(b'"', "has an id that is not a string")? {
            return Ok(None);
        }
        let id = decode_id(self.input.string()?.text);
        if id.is_none() {
            self.complain("has an id that is none");
        }
        Ok(id)
    }

    fn content(&mut self) -> Scan<Option<Vec<BlobId>>> {
        if !self.opens(b'[', "has content that is not a list")? {
            return Ok(None);
        }
        let mut content = std::mem::take(&mut self.spare);
        content.clear();
        self.list(|fields| {
            let id = fields.id()?;
            content.extend(id);
            Ok(())
        })?;
        Ok(Some(content))
    }

    /// Takes a list, calling `item` where each item begins.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Scan<()>) -> Scan<()> {
        self.input.expect(b'[', "expected a list")?;
        if self.input.take(b']')? {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.input.take(b',')? {
                return self.input.expect(b']', "has a list without an end");
            }
        }
    }

    fn attributes(&mut self, out: &mut Vec<ExtendedAttribute>) -> Scan<()> {
        out.clear();
        if !self.opens(b'[', "has attributes that are not a list")? {
            return Ok(());
        }
        self.list(|fields| {
            if fields.opens(b'{', "has an attribute that is not an object")? {
                let attribute = fields.attribute()?;
                let bytes = size_of_val(&attribute) + attribute.name.len() + attribute.value.len();
                fields.attributes_bytes += bytes;
                out.push(attribute);
            }
            if fields.attributes_bytes > ATTRIBUTES_BYTES {
                return Err(ScanError::Malformed("has a node with more attributes than there can be"));
            }
            Ok(())
        })
    }

    fn attribute(&mut self) -> Scan<ExtendedAttribute> {
        let mut attribute = ExtendedAttribute { name: String::new(), value: Vec::new() };
        self.input.expect(b'{', "expected an attribute")?;
        if self.input.take(b'}')? {
            return Ok(attribute);
        }
        loop {
            let key = self.input.string()?.text;
            let (is_name, is_value) = (key == b"name", key == b"value");
            self.input.expect(b':', "has a key without a colon")?;
            match () {
                () if self.input.take_null()? => {}
                () if is_name => self.string(&mut attribute.name)?,
                () if is_value => self.base64(&mut attribute.value)?,
                () => self.input.value(None)?,
            }
            if !self.input.take(b',')? {
                self.input.expect(b'}', "has an attribute without an end")?;
                return Ok(attribute);
            }
        }
    }

    /// The object as compact JSON text; `None` if it is empty.
    fn generic_attributes(&mut self) -> Scan<Option<String>> {
        if !self.opens(b'{', "has generic attributes that are not an object")? {
            return Ok(None);
        }
        let mut json = Vec::new();
        self.input.value(Some(&mut json))?;
        let json = String::from_utf8_lossy(&json).into_owned();
        if serde_json::from_str::<serde::de::IgnoredAny>(&json).is_err() {
            self.complain("has generic attributes that are not JSON");
        }
        Ok(Some(json).filter(|json| json != "{}"))
    }
}

fn decode_id(text: &[u8]) -> Option<BlobId> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let mut bytes = [0; 32];
    let mut invalid = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.as_chunks::<2>().0) {
        let [high, low] = pair.map(digit_value);
        invalid |= high | low;
        *byte = high << 4 | (low & 15);
    }
    (invalid < 16).then(|| BlobId::new(Id::from_bytes(bytes)))
}
