//! Databases that speak SQL: one folder for each engine, and what they share.

pub mod error;
mod journal;
pub mod mariadb;
pub mod postgres;

pub use error::{SqlError, SqlErrorKind};
pub use journal::Journal;
