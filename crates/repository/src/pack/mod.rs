//! Pack files: many sealed blobs in one file, with an encrypted header at the end.
