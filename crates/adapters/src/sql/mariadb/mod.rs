//! MariaDB, through its own programs.
//!
//! A physical backup is the stream of `mariadb-backup`, unpacked into files on its way to the vault; a logical one is
//! what `mariadb-dump` prints, one file for each database. Nothing of either touches a disk of ours. The programs die
//! with us, and their connections and locks with them.

mod client;
pub mod facts;
pub mod instance;
pub mod logical;
mod names;
pub mod physical;
mod settings;
mod unpack;
pub mod xbstream;

pub use facts::{Database, Facts, Lack, Method};
pub use physical::{Binlog, Physical, PhysicalSummary};
