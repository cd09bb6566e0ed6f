//! Reads a tree node by node, whoever wrote it: restic of any age, rustic, or us.
//!
//! A tree of any size needs one small buffer and the node at hand. Fields may come in any order; unknown ones are
//! skipped. A node that cannot be (its name would leave the folder, an id is none) is an error of its own, and
//! the next one follows; JSON that ends or makes no sense ends the tree. No input makes this panic or recurse.

use std::io::{self, Read};

use super::fields::{Field, FieldReader};
use super::input::{Input, Scan, ScanError};
use super::node::{Node, NodeKind};

/// Content lists up to this many blobs keep their memory from node to node.
const SPARE_BLOBS: usize = 4096;

/// A tree, or one node of it, that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeParseError {
    #[error("cannot read a tree")]
    Read(#[source] io::Error),
    /// The tree cannot be read beyond this.
    #[error("tree {what}, at byte {offset}")]
    Malformed { what: &'static str, offset: u64 },
    /// One node is of no use; the tree goes on.
    #[error("tree entry \"{}\" {what}, before byte {offset}", .name.escape_ascii())]
    Node { name: Vec<u8>, what: &'static str, offset: u64 },
}

impl TreeParseError {
    /// False if more nodes may follow.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Node { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    FirstNode,
    NextNode,
    End,
}

/// The nodes of one tree.
#[derive(Debug)]
pub struct TreeParser<R> {
    fields: FieldReader<R>,
    place: Place,
    has_nodes: bool,
}

/// The nodes of the tree that `reader` yields.
pub fn parse_nodes<R: Read>(reader: R) -> TreeParser<R> {
    parse(Input::new(reader))
}

/// The nodes of the tree that is in `ahead`, or begins there and goes on in `reader`; takes no further buffer.
pub(crate) fn parse_nodes_ahead<R: Read>(ahead: Vec<u8>, reader: R) -> TreeParser<R> {
    parse(Input::behind(ahead, reader))
}

fn parse<R: Read>(input: Input<R>) -> TreeParser<R> {
    TreeParser { fields: FieldReader::new(input), place: Place::Start, has_nodes: false }
}

impl<R: Read> TreeParser<R> {
    /// Replaces `node` with the next one, reusing its memory. False at the end of the tree.
    ///
    /// After an error that is not final, and leaves `node` half filled, the next call reads the next node.
    pub fn read_into(&mut self, node: &mut Node) -> Result<bool, TreeParseError> {
        match self.advance(node) {
            Ok(Place::End) => {
                self.place = Place::End;
                Ok(false)
            }
            Ok(place) => {
                self.place = place;
                self.judge(node)
            }
            Err(error) => {
                self.place = Place::End;
                Err(match error {
                    ScanError::Read(error) => TreeParseError::Read(error),
                    ScanError::Malformed(what) => {
                        TreeParseError::Malformed { what, offset: self.fields.input.offset() }
                    }
                })
            }
        }
    }

    /// Reads up to the end of the next node, or of the tree.
    fn advance(&mut self, node: &mut Node) -> Scan<Place> {
        let mut place = self.place;
        if place == Place::Start {
            self.fields.input.expect(b'{', "is not a JSON object")?;
            place = if self.fields.input.take(b'}')? { self.end()? } else { self.seek_nodes()? };
        }
        let has_node = match place {
            Place::FirstNode => !self.fields.input.take(b']')?,
            Place::NextNode => {
                let has_node = self.fields.input.take(b',')?;
                if !has_node {
                    self.fields.input.expect(b']', "has nodes without a comma between")?;
                }
                has_node
            }
            Place::Start | Place::End => return Ok(Place::End),
        };
        if has_node {
            self.read_node(node)?;
            return Ok(Place::NextNode);
        }
        if self.fields.input.take(b',')? { self.seek_nodes() } else { self.close() }
    }

    /// From one of the outer object's keys to the first node, or to the end.
    fn seek_nodes(&mut self) -> Scan<Place> {
        loop {
            let is_nodes = self.fields.input.string()?.text == b"nodes";
            self.fields.input.expect(b':', "has a key without a colon")?;
            if is_nodes {
                if self.has_nodes {
                    return Err(ScanError::Malformed("has two lists of nodes"));
                }
                self.has_nodes = true;
                if !self.fields.input.take_null()? {
                    self.fields.input.expect(b'[', "has nodes that are not a list")?;
                    return Ok(Place::FirstNode);
                }
            } else {
                self.fields.input.value(None)?;
            }
            if !self.fields.input.take(b',')? {
                return self.close();
            }
        }
    }

    fn close(&mut self) -> Scan<Place> {
        self.fields.input.expect(b'}', "has fields without a comma between")?;
        self.end()
    }

    fn end(&mut self) -> Scan<Place> {
        if self.fields.input.peek_or_end()?.is_some() {
            return Err(ScanError::Malformed("goes on after its end"));
        }
        // A snapshot taken for a tree must not pass for an empty folder.
        if !self.has_nodes {
            return Err(ScanError::Malformed("has no list of nodes"));
        }
        Ok(Place::End)
    }

    fn read_node(&mut self, node: &mut Node) -> Scan<()> {
        reset(node, &mut self.fields);
        self.fields.input.expect(b'{', "has a node that is not an object")?;
        if self.fields.input.take(b'}')? {
            return Ok(());
        }
        loop {
            let field = Field::named(self.fields.input.string()?.text);
            self.fields.input.expect(b':', "has a key without a colon")?;
            self.fields.read(field, node)?;
            if !self.fields.input.take(b',')? {
                return self.fields.input.expect(b'}', "has fields without a comma between");
            }
        }
    }

    /// Accepts the node just read, or says what is wrong with it.
    fn judge(&mut self, node: &Node) -> Result<bool, TreeParseError> {
        let of_name = match node.name.as_slice() {
            _ if self.fields.complaint.is_some() => None,
            b"" => Some("has no name"),
            b"." | b".." => Some("has a name that leads elsewhere"),
            name if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Some("has a name that is a path"),
            _ => None,
        };
        let offset = self.fields.input.offset();
        match self.fields.complaint.take().or(of_name) {
            Some(what) => Err(TreeParseError::Node { name: node.name.clone(), what, offset }),
            None => Ok(true),
        }
    }
}

/// Empties `node` but keeps its memory.
fn reset<R>(node: &mut Node, fields: &mut FieldReader<R>) {
    let mut old = std::mem::take(node);
    old.name.clear();
    old.user.clear();
    old.group.clear();
    old.link_target.clear();
    old.extended_attributes.clear();
    if let Some(content) = old.content.take().filter(|content| content.capacity() <= SPARE_BLOBS) {
        fields.spare = content;
    }
    *node = Node {
        name: old.name,
        kind: NodeKind::Other(String::new()),
        user: old.user,
        group: old.group,
        link_target: old.link_target,
        extended_attributes: old.extended_attributes,
        ..Node::default()
    };
    fields.begin();
}

impl<R: Read> Iterator for TreeParser<R> {
    type Item = Result<Node, TreeParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut node = Node::default();
        match self.read_into(&mut node) {
            Ok(true) => Some(Ok(node)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
