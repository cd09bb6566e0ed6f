//! Key files: passwords that open the repository.
