//! The manual says what is so: log lines, events, features, versions of formats, and its contents.

mod book;
mod lines;
mod quoted;
mod tables;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").to_owned()
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of each row of each table, without spaces around them.
fn rows(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| {
        row.trim_end_matches(" |")
            .split(" | ")
            .map(str::trim)
            .collect()
    })
}

/// The package names of our crates and their `Cargo.toml`s.
fn packages() -> Vec<(String, String)> {
    let folders = std::fs::read_dir(root()).expect("the workspace");
    let manifests = folders.filter_map(|folder| {
        let manifest = folder.expect("read").path().join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).ok()?;
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = \""))?;
        let name = name.trim_end_matches('"').to_owned();
        name.starts_with("session-").then_some((name, text))
    });
    manifests.collect()
}

/// Whether `text` is `pattern`, in which each `…` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let (first, rest) = pattern.split_once('…').unwrap_or((pattern, ""));
    if !pattern.contains('…') {
        return pattern == text;
    }
    let Some(mut left) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts = rest.split('…').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        let Some(at) = left.find(part) else {
            return false;
        };
        left = &left[at + part.len()..];
    }
    true
}

#[test]
fn a_pattern_is_matched_from_end_to_end() {
    for (pattern, text, is) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a…", "ab", true),
        ("a…c", "abc", true),
        ("a…c", "abcd", false),
        ("a…b…d", "abcd", true),
        ("a…c…b", "abcd", false),
    ] {
        assert_eq!(is_like(pattern, text), is, "{pattern}: {text}");
    }
}
