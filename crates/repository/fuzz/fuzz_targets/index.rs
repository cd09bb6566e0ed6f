//! Any bytes as an index file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::index(bytes));
