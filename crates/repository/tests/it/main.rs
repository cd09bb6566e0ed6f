//! The engine from outside, with real programs as judges. (`cfg(test)` tells clippy that helpers are tests too.)

#[cfg(test)]
mod backup;
#[cfg(test)]
mod backup_locks;
#[cfg(test)]
mod check;
mod chunker;
#[cfg(test)]
mod copy;
mod corpus;
#[cfg(test)]
mod craft;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hazards;
mod index;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod made;
#[cfg(test)]
mod pipeline;
#[cfg(test)]
mod prune;
#[cfg(test)]
mod prune_packs;
#[cfg(test)]
mod restic_patterns;
#[cfg(test)]
mod restic_retention;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod rng;
mod snapshot_restic;
#[cfg(test)]
mod storage;
mod tree_restic;
#[cfg(test)]
mod vault;
