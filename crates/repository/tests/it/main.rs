//! The engine from outside, with real programs as judges.

mod chunker;
mod restic;
