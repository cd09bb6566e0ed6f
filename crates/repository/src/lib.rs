//! The engine of Lifeboat: the restic repository format (versions 1 and 2), and nothing else.
//!
//! Jobs, HTTP, SQL and the environment are unknown here. Everything blocks; threads are the engine's own.

pub mod backup;
pub mod blob;
pub mod check;
pub mod chunker;
pub mod clock;
pub mod config;
pub mod copy;
pub mod crypto;
pub mod ctx;
pub mod error;
pub mod id;
pub mod index;
pub mod intake;
pub mod key;
mod live;
pub mod lock;
pub mod pack;
pub mod pattern;
pub mod prune;
pub mod repository;
pub mod restore;
pub mod retention;
mod save;
pub mod snapshot;
pub mod source;
pub mod spool;
pub mod storage;
pub mod target;
mod threads;
mod transfer;
pub mod tree;

pub use ctx::{Cancel, Counters, Ctx};
pub use error::{Error, ErrorKind, Result};
