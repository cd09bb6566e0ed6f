//! Backup: a source becomes a snapshot.
