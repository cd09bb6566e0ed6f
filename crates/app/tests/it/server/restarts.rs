//! What outlives a server.

use std::os::unix::fs::PermissionsExt;

use super::Server;

#[test]
fn a_server_that_was_killed_starts_again_with_the_same_keys_and_vaults() {
    let server = Server::start();
    server.node("vaults.js", &["0"]).ok();
    server.python("vault.py", &["one"]).ok();
    let root = server.root();
    let sandbox = server.kill();
    let server = Server::start_in(sandbox, &[]);
    assert_eq!(server.root(), root);
    server.node("vaults.js", &["1"]).ok();
}

#[test]
fn the_keys_are_for_the_owner_alone_and_never_logged() {
    let server = Server::start();
    server.node("vaults.js", &["0"]).ok();
    for name in ["data/root.json", "data/server.key"] {
        let mode = std::fs::metadata(server.sandbox.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let secret = server.root()["access_key_secret"].as_str().unwrap().to_owned();
    assert!(!server.log().contains(&secret));
}
