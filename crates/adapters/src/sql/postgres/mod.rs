//! PostgreSQL: whole clusters as files over the replication protocol, databases as dumps of `pg_dump`, and back.
//!
//! A physical backup needs two sessions of the server and nothing on its disk; a logical one runs `pg_dump`. Either
//! goes straight into the vault. Sessions end with us, and temporary slots and the backup mode with them.

mod archive;
mod base_backup;
mod check;
mod connection;
mod files;
mod instance;
mod logical;
mod lsn;
mod manifest;
mod messages;
mod prepare;
mod programs;
mod records;
mod rename;
mod restore;
mod scratch;
mod stream;
mod tar;
mod tls;
mod wal;

pub use base_backup::{BaseBackup, BaseSummary, Tablespace};
pub use check::{Database, Facts, Lack, Server};
pub use instance::{Access, Instance, InstanceOptions};
pub use logical::{Dump, DumpedDatabase, Globals, LogicalSummary, dump_into, file_name};
pub use lsn::{Lsn, NotLsn};
pub use messages::ServerError;
pub use restore::{TableChoice, is_restored, restore_database, restore_tables};
