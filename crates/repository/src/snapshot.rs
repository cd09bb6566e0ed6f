//! Snapshot files: the root of one backup.
