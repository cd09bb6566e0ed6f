//! Any bytes as a pack header.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::pack_header(bytes));
