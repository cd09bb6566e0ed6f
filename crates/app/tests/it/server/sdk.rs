//! The dialect through every client there is for it: what works, and what is refused.

use std::fs::{self, File};

use lifeboat_testkit::digest::{Digest, DigestOptions};

use super::Server;

/// Files whose names and contents no client may spoil on the way, and the server they are to be backed up by.
fn server_with_files() -> Server {
    let server = Server::start();
    for (name, content) in [("a.txt", "one"), ("below/b.txt", "two"), ("with blank & <ä>.txt", "three")] {
        server.sandbox.write(&format!("source/{name}"), content);
    }
    server
}

/// Runs a chain into a folder of its own and compares what came back.
fn restores(server: &Server, name: &str, chain: impl FnOnce(&str, &str)) {
    fs::create_dir(server.sandbox.path(name)).unwrap();
    chain(&server.sandbox.arg("source"), &server.sandbox.arg(name));
    let digest = |folder: &str| Digest::of(&server.sandbox.path(folder), &DigestOptions::default()).unwrap();
    digest("source").assert_same(&digest(&format!("{name}/source")), name);
}

#[test]
fn the_old_core_backs_up_and_restores_by_get_and_post_in_json_and_xml() {
    let server = server_with_files();
    for (method, format) in [("GET", "JSON"), ("POST", "JSON"), ("GET", "XML"), ("POST", "XML")] {
        restores(&server, &format!("{method}-{format}"), |source, target| {
            server.python("core_chain.py", &[method, format, source, target]).ok();
        });
    }
}

#[test]
fn pop_core_backs_up_and_restores_by_get_and_post() {
    let server = server_with_files();
    for method in ["GET", "POST"] {
        restores(&server, method, |source, target| {
            server.node("pop_chain.js", &[method, source, target]).ok();
        });
    }
}

#[test]
fn clients_are_told_what_is_wrong_with_their_keys_clocks_nonces_and_names() {
    let server = Server::start();
    let mut wrong = server.root();
    wrong["access_key_secret"] = "wrong".into();
    server.sandbox.write("wrong.json", &wrong.to_string());
    server.python("refusals.py", &[&server.sandbox.arg("wrong.json")]).ok();
}

#[test]
fn jobs_are_cancelled_end_in_part_or_fail_as_what_happened_to_them() {
    let server = server_with_files();
    fs::create_dir(server.sandbox.path("big")).unwrap();
    // Nobody reads that in the time a cancel takes.
    File::create(server.sandbox.path("big/file")).unwrap().set_len(1 << 40).unwrap();
    restores(&server, "target", |source, target| {
        let (big, missing) = (server.sandbox.arg("big"), server.sandbox.arg("missing"));
        server.python("trouble.py", &[&big, source, &missing, target]).ok();
    });
}
