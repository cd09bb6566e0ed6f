//! Integration tests of the binary and of the house it lives in.

// `cfg(test)` tells clippy that the helpers in there are tests too.
#[cfg(test)]
mod floors;
