//! Nothing of the catalog escapes the two databases: each of its public methods is called by a fact in here.

use std::fs;
use std::path::Path;

#[test]
fn every_method_is_called_on_both_databases() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests: String = files(&source.join("tests/it")).concat();
    let sources = files(&source.join("src"));
    let methods = sources.iter().flat_map(|text| text.split("pub async fn ").skip(1));
    let names = methods.map(|text| text.split(['(', '<']).next().unwrap());
    let missing: Vec<_> = names.filter(|name| !is_called(name, &tests)).collect();
    assert!(missing.is_empty(), "no fact in tests/it calls {missing:?}");
}

fn is_called(name: &str, tests: &str) -> bool {
    tests.contains(&format!(".{name}(")) || tests.contains(&format!("Catalog::{name}("))
}

fn files(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(files(&path));
        } else {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    texts
}
