//! Which snapshots a policy keeps, and why.
