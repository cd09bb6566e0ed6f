//! What fuzzing has found, and what reaches far into the parsers, once more.

// `cfg(test)` tells clippy that the helpers in there are tests too.
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod fuzzed;
