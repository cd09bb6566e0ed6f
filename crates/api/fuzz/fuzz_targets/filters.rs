//! Any bytes as the filters of a listing.
#![no_main]

#[path = "../promises.rs"]
#[expect(dead_code, reason = "each target runs one of them")]
mod promises;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promises::filters(bytes));
