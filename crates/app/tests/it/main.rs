//! Integration tests of the binary and of the house it lives in.

// `cfg(test)` tells clippy that the helpers in there are tests too.
#[cfg(test)]
mod backups;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod interruptions;
#[cfg(test)]
mod key_kills;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod pty;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod restores;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod server;
#[cfg(test)]
mod shared_vault;
#[cfg(test)]
mod snapshot_lists;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod trees;
#[cfg(test)]
mod verbose;
