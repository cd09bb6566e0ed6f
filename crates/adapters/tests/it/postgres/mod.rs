//! PostgreSQL, with the real server: backups under load, restores that start, and every way to fail.

mod encrypted;
mod failures;
mod logical;
mod physical;
mod proxy;
mod world;
