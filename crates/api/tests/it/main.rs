//! The dialects before a real service on a catalog of SQLite, with real vaults: all but the sockets.

// `cfg(test)` tells clippy that the helpers in there are tests too.
#[cfg(test)]
mod access;
#[cfg(test)]
mod browsing;
#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod dialect_pages;
#[cfg(test)]
mod dialect_tasks;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod labels;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod native;
#[cfg(test)]
mod page;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod story;
#[cfg(test)]
mod vault_contents;
#[cfg(test)]
mod world;
