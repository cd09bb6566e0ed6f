//! Trees: one blob of JSON per directory, byte for byte as restic writes them.

mod encode;
mod fields;
mod input;
mod node;
mod parse;
mod printable;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod unquote;

pub(crate) use encode::Paused;
pub use encode::{TreeEncodeError, TreeEncoder};
pub use node::{ExtendedAttribute, Node, NodeKind, NodeTime, mode};
pub(crate) use parse::parse_nodes_ahead;
pub use parse::{TreeParseError, TreeParser, parse_nodes};
pub use time::{ZoneOffsets, format_time, parse_time};
