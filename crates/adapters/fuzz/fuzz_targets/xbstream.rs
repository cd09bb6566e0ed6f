//! Any bytes as the stream of `mariadb-backup`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lifeboat_testkit::fuzz::xbstream(bytes));
