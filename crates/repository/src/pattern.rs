//! Path patterns, as restic matches them.
