//! Any bytes as a query or a form.
#![no_main]

#[path = "../promises.rs"]
#[expect(dead_code, reason = "each target runs one of them")]
mod promises;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| promises::params(bytes));
