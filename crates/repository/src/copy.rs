//! Copy: snapshots of one repository into another.
