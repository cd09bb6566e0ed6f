//! The outside world: one folder per kind of thing that can be backed up.

pub mod files;
pub mod stream;
