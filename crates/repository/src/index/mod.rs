//! Which pack holds which blob.
