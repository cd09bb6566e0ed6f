//! RDB, the format in which Redis saves and replicates: a parser that reads any size of it with constant memory.
//!
//! [`Parser`] goes from key to key and knows nothing of where the bytes come from. A value is skipped, captured whole
//! up to a bound, or read piece by piece. The format is that of `rdb.c` of Redis 6 and 7 (versions 9 to 12 of RDB;
//! older ones differ in nothing but types that Redis no longer writes). Values of modules are refused by the name of
//! the module: only the module can read them.

mod crc64;
mod error;
mod input;
mod packed;
mod parser;
mod stream;
mod text;
mod value;

pub use crc64::Crc64;
pub use error::{RdbError, RdbErrorKind, Result};
pub(crate) use input::Input;
pub(crate) use packed::{Packed, PackedForm};
pub(crate) use parser::captured;
pub use parser::{Item, Key, Parser};
pub(crate) use stream::{GroupState, Pending, StreamId, StreamState, skip_consumer_times};
pub(crate) use text::{Pieces, Text};
pub(crate) use value::{PackedKind, StreamVersion, ValueKind, text_score};
