//! The words of the service: ids, states, specifications, outcomes.
//!
//! Nothing here knows blobs, wire names, column names, or how any of it is done. Behind a type of this crate a
//! value has been checked once and for all.

pub mod database;
pub mod files;
pub mod filter;
pub mod id;
pub mod job;
pub mod plan;
pub mod policy;
pub mod resource;
pub mod retention;
pub mod schedule;
pub mod speed_limit;
pub mod tag;
pub mod time;
