//! What the README shows of the server is run as it stands, but for the server's address and the home folder.

use std::process::Command;

use super::{Server, tool};
use crate::sandbox::Ran;

#[test]
fn the_python_lines_of_the_readme_make_a_plan_whose_job_can_be_watched() {
    let server = Server::start();
    server.sandbox.write("home/Documents/a.txt", "one");
    let readme = include_str!("../../../../../README.md");
    let (_, rest) = readme.split_once("```python\n").expect("the README has Python in it");
    let (program, _) = rest.split_once("```").unwrap();
    let root_file = server.sandbox.arg("data/root.json");
    let program = program
        .replace("127.0.0.1:8787", &server.address)
        .replace("~/.local/share/lifeboat/server/root.json", &root_file);
    let mut python = Command::new(tool("LIFEBOAT_TEST_PYTHON"));
    python.arg("-c").arg(program).env("HOME", server.sandbox.path("home"));
    let job = Ran::new(python.output().unwrap()).ok().text();
    server.ask(&["job", "watch", job.trim()]).ok();
    let listed = server.ask(&["vault", "snapshots", "home", "--json"]).ok().text();
    assert!(listed.contains(job.trim()), "{listed}");
}
