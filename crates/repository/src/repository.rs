//! An open repository.
