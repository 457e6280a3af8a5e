//! Every finding is in docs/checks.md, and nothing else is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").to_owned()
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// The names in the sources: the first argument of each finding.
fn named() -> BTreeSet<String> {
    let mut files = Vec::new();
    for package in ["core", "redis", "mongo", "mysql", "postgres", "sqlite"] {
        sources(&root().join(format!("session-{package}/src")), &mut files);
    }
    sources(&root().join("session/src"), &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        let text = text
            .split("#[cfg(test)]")
            .next()
            .unwrap_or_default()
            .to_owned();
        for made in ["Finding::new(", "Self::new("] {
            let arguments = text.split(made).skip(1);
            let first = arguments.filter_map(|rest| rest.trim_start().strip_prefix('"'));
            let names_here = first.filter_map(|rest| rest.split_once("\",").map(|(name, _)| name));
            let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            names.extend(names_here.filter(is_name).map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_finding_is_documented_and_nothing_else_is() {
    let document = std::fs::read_to_string(root().join("docs/checks.md")).expect("the page");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`').map(|(name, _)| name.to_owned()))
        .collect();
    let named = named();
    assert!(named.len() >= 30, "{named:?}");
    assert_eq!(documented, named);
}
