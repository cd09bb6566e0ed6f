//! Backups of databases and of Redis, and what is made of them again.
//!
//! A backup goes through its phases in one function, one line for each: look whether it can be done, wait for a place,
//! let the server get ready, take in what it sends, read back what was stored, and only then write the snapshot file. What
//! ends before that leaves no set. Of the server nothing is held but connections and children that end with this process.

mod backup;
mod error;
mod mariadb;
mod postgres;
mod redis;
mod restore;
mod slots;
mod sql;
mod stored;
mod tables;

pub use self::backup::{DatabaseBackupOrder, back_up_database};
pub use self::error::DatabaseError;
pub use self::redis::{check_key_filter, data_nodes, find_nodes};
pub use self::restore::{DatabaseRestoreOrder, MadeServer, restore_database};
pub use self::slots::Slots;
pub use self::sql::{start_server, stop_server, url_at};

fn not_a_url(error: &lifeboat_adapters::endpoint::EndpointError) -> crate::JobError {
    crate::JobError::Database(DatabaseError::new("INVALID_REQUEST", error.to_string()))
}
