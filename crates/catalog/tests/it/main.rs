//! The catalog on both databases: the same facts on SQLite and on a real PostgreSQL.

// `cfg(test)` tells clippy that the helpers in there are tests too.
#[cfg(test)]
mod access;
#[cfg(test)]
mod backup_sets;
#[cfg(test)]
mod databases;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod found;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod nouns;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod waiting;
