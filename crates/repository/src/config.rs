//! The config file: what a repository is.
