//! Locks, as restic takes them.
