//! Any bytes as a config.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::config(bytes));
