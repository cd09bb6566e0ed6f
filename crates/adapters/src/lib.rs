//! The outside world: one folder per kind of thing that can be backed up.

pub mod child;
pub mod endpoint;
pub mod files;
pub mod patience;
pub mod redis;
pub mod sql;
pub mod stream;
mod wire;
