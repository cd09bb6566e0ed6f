//! Content-defined chunking with the repository's own Rabin polynomial.
