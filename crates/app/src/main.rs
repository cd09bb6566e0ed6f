//! The one binary of Lifeboat.

fn main() {}
