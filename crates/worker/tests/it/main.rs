//! Whole jobs on real folders, judged by walks of their own and by the real restic.

#[cfg(test)]
mod databases;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod scene;
