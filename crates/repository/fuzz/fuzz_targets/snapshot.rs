//! Any bytes as a snapshot file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::snapshot(bytes));
