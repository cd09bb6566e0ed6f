//! Restore: a snapshot becomes entries of a target.
