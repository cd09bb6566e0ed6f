//! The whole chain through the official Python SDK: from a vault to a restored folder.

use lifeboat_testkit::digest::{Digest, DigestOptions};

use super::Server;

#[test]
fn the_python_sdk_backs_up_and_restores_a_folder_with_either_signature() {
    let server = Server::start();
    server.sandbox.write("source/a.txt", "one");
    server.sandbox.write("source/below/b.txt", "two");
    for signature in ["v3", "v2"] {
        std::fs::create_dir(server.sandbox.path(signature)).unwrap();
        let (source, target) = (server.sandbox.arg("source"), server.sandbox.arg(signature));
        server.python("chain.py", &[signature, &source, &target]).ok();
        let digest =
            |folder: &str| Digest::of(&server.sandbox.path(folder), &DigestOptions::default()).unwrap();
        digest("source").assert_same(&digest(&format!("{signature}/source")), "what was restored");
    }
}
