//! Trees: one blob of JSON per directory, byte for byte as restic writes them.

mod node;

pub use node::{ExtendedAttribute, Node, NodeKind, NodeTime, mode};
