//! The rules of the house that a compiler does not check: who may import whom, what every source file begins
//! with, and what no tracked file may say.
//!
//! Only files that git tracks (or would track) are looked at, so a scratch file under `target/` breaks nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our own crates each crate may import outside its tests. A crate that is not here has no floor yet.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("repository", &[]),
    ("adapters", &["model", "repository"]),
    ("catalog", &["model"]),
    ("worker", &["adapters", "repository", "model"]),
    ("service", &["worker", "catalog", "model"]),
    ("api", &["service", "model"]),
    ("app", &["api", "service", "model", "adapters", "repository"]),
    ("testkit", &["model", "repository", "adapters"]),
];

/// Foreign crates that a floor must not know: asynchronous runtimes, the command line, untyped errors.
const MUST_NOT_KNOW: &[(&str, &[&str])] = &[
    ("repository", &["tokio", "hyper", "reqwest", "sqlx", "clap", "anyhow", "indicatif"]),
    ("adapters", &["sqlx", "clap", "anyhow", "indicatif"]),
    ("model", &["tokio", "hyper", "reqwest", "sqlx", "axum", "http", "clap", "anyhow", "indicatif"]),
    ("catalog", &["axum", "hyper", "http", "reqwest", "clap", "anyhow", "indicatif"]),
    ("worker", &["tokio", "hyper", "reqwest", "sqlx", "axum", "http", "clap", "anyhow", "indicatif"]),
    ("service", &["axum", "hyper", "http", "reqwest", "sqlx", "clap", "anyhow", "indicatif"]),
    ("api", &["sqlx", "axum", "clap", "anyhow", "indicatif"]),
];

const MOST_LINES_PER_FILE: usize = 600;

/// Places that exist only on the machine of whoever wrote the file. Cut in two so that this file does not match.
const MACHINE_PLACES: &[&str] =
    &[concat!("../sha", "red"), concat!("/wo", "rk/"), concat!("/tmp", "/w/"), concat!("/ro", "ot/")];

#[test]
fn imports_only_go_down() {
    let wrong: Vec<String> = crates()
        .iter()
        .flat_map(|name| {
            let allowed =
                row(MAY_IMPORT, name).unwrap_or_else(|| panic!("crate {name} has no row in MAY_IMPORT"));
            imports(name)
                .into_iter()
                .filter_map(|import| import.strip_prefix("lifeboat-").map(str::to_owned))
                .filter(|import| !allowed.contains(&import.as_str()))
                .map(move |import| format!("{name} must not import {import}"))
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn no_floor_knows_what_is_above_it() {
    let wrong: Vec<String> = MUST_NOT_KNOW
        .iter()
        .flat_map(|(name, banned)| {
            imports(name)
                .into_iter()
                .filter(|import| banned.contains(&import.as_str()))
                .map(move |import| format!("{name} must not know {import}"))
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_crate_inherits_the_lints_of_the_workspace() {
    let wrong: Vec<String> = crates()
        .iter()
        .filter(|name| !section(&manifest(name), "lints").contains(&"workspace = true".to_owned()))
        .map(|name| format!("crates/{name}/Cargo.toml has no `[lints] workspace = true`"))
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_source_file_opens_with_a_header() {
    let wrong = sources(|text| !text.starts_with("//! ")).collect::<Vec<_>>();
    assert_none(&wrong);
}

#[test]
fn no_source_file_is_longer_than_anybody_reads() {
    let wrong = sources(|text| text.lines().count() > MOST_LINES_PER_FILE).collect::<Vec<_>>();
    assert_none(&wrong);
}

#[test]
fn no_test_is_ignored() {
    let ignored = concat!("#[ign", "ore");
    let wrong = sources(|text| text.contains(ignored)).collect::<Vec<_>>();
    assert_none(&wrong);
}

#[test]
fn the_engine_does_not_read_the_environment() {
    let wrong: Vec<String> = sources(|text| text.contains("std::env") || text.contains(" env::"))
        .filter(|path| path.starts_with("crates/repository/src") || path.starts_with("crates/adapters/src"))
        .filter(|path| !path.ends_with("tests.rs"))
        .collect();
    assert_none(&wrong);
}

#[test]
fn no_tracked_file_names_a_place_on_somebodys_machine() {
    let wrong: Vec<String> = tracked()
        .into_iter()
        .filter_map(|path| Some((fs::read_to_string(root().join(&path)).ok()?, path)))
        .flat_map(|(text, path)| {
            MACHINE_PLACES
                .iter()
                .filter(|place| names_place(&text, place))
                .map(|place| format!("{path} names {place}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let wrong: Vec<String> = tracked()
        .into_iter()
        .filter(|path| path.ends_with(".md"))
        .flat_map(|path| {
            let text = fs::read_to_string(root().join(&path)).unwrap();
            let folder = root().join(&path).parent().unwrap().to_owned();
            links(&text)
                .into_iter()
                .filter(|link| !link.contains("://") && !link.starts_with('#'))
                .filter(|link| !folder.join(link.split('#').next().unwrap()).exists())
                .map(|link| format!("{path} links to {link}, which does not exist"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_none(&wrong);
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn crates() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() >= 4, "the crates folder is not where this test looks for it");
    names
}

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap()
}

/// The lines of one table of a manifest, comments and empty lines left out.
fn section(manifest: &str, table: &str) -> Vec<String> {
    manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != format!("[{table}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// What a crate imports when it is built, its tests left out.
fn imports(name: &str) -> Vec<String> {
    let manifest = manifest(name);
    ["dependencies", "build-dependencies"]
        .iter()
        .flat_map(|table| section(&manifest, table))
        .filter_map(|line| line.split(['.', '=', ' ']).next().map(str::to_owned))
        .collect()
}

fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(key, _)| *key == name).map(|(_, values)| *values)
}

/// The paths of our own Rust sources whose text is `wrong`.
fn sources(wrong: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    let paths: Vec<String> = tracked().into_iter().filter(|path| path.ends_with(".rs")).collect();
    assert!(paths.len() > 20, "git lists only {} Rust files", paths.len());
    paths.into_iter().filter(move |path| wrong(&fs::read_to_string(root().join(path)).unwrap()))
}

/// The files that git tracks or would track, deleted ones left out.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("these tests need git");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect()
}

/// Whether `place` stands in `text` as the beginning of a path, not as the middle of a longer one.
fn names_place(text: &str, place: &str) -> bool {
    text.match_indices(place).any(|(at, _)| {
        !text[..at].ends_with(|before: char| before.is_alphanumeric() || "._-*}/".contains(before))
    })
}

/// The targets of the inline links of a Markdown text.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn a_place_counts_only_at_the_beginning_of_a_path() {
    let place = concat!("/wo", "rk/");
    assert!(names_place(&format!("see {place}x"), place));
    assert!(!names_place(&format!("/home/me{place}x"), place));
}

#[test]
fn a_section_ends_where_the_next_begins() {
    let text = "[a]\nx = 1\n\n# no\n[b]\ny = 2\n";
    assert_eq!(section(text, "a"), ["x = 1"]);
    assert_eq!(section(text, "b"), ["y = 2"]);
}
