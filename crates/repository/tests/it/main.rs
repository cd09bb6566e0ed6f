//! The engine from outside, with real programs as judges. (`cfg(test)` tells clippy that helpers are tests too.)

#[cfg(test)]
mod backup;
mod chunker;
mod index;
mod restic;
#[cfg(test)]
mod restic_patterns;
#[cfg(test)]
mod restic_retention;
#[cfg(test)]
mod rng;
mod tree_restic;
