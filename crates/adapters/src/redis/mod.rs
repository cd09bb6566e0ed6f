//! Redis: backups taken as a replica takes its first copy, and restores by commands.
//!
//! [`Server`] says what there is to back up, [`Replica`] takes the RDB of one data node straight into the vault, and
//! [`restore()`] replays such RDBs into a server or a cluster. All of it speaks the protocol of Redis itself and holds
//! no more than some megabytes, however large a value is.

mod cluster;
mod connection;
mod dial;
mod error;
pub mod rdb;
mod replica;
mod restore;
mod server;
mod transfer;

pub use cluster::{Planned, key_slot};
pub use error::{RedisError, RedisErrorKind, Result};
pub use replica::{RdbSize, RdbSummary, Replica, survey};
pub use restore::{KeyFilter, RestoreOptions, RestoreSummary, rehearse, restore};
pub use server::{DataNode, Facts, Role, SINGLE_NODE, Server, Version};
