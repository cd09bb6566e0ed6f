//! Policies, their bindings and plans that change, through the official Python SDK.

use super::Server;

#[test]
fn the_python_sdk_makes_runs_changes_and_deletes_policies_and_plans_with_either_signature() {
    let server = Server::start();
    server.sandbox.write("source/a.txt", "one");
    server.sandbox.write("source/below/b.txt", "three");
    server.sandbox.write("source/c.tmp", "nothing");
    server.sandbox.write("other/d.txt", "seventeen");
    for signature in ["v3", "v2"] {
        let (source, other) = (server.sandbox.arg("source"), server.sandbox.arg("other"));
        server.python("policies.py", &[signature, &source, &other]).ok();
    }
}
