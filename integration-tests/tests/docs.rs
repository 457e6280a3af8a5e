//! The tests that the documentation names are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a workspace").to_owned()
}

/// All Rust sources of the workspace.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, text);
        } else if name.ends_with(".rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

/// What stands in backticks and reads like a test's name.
fn named(document: &str) -> BTreeSet<String> {
    let quoted = document.split('`').skip(1).step_by(2);
    let last = quoted.filter_map(|name| name.rsplit("::").next());
    let reads_like_one = |name: &&str| {
        let words = name.split('_').count();
        words > 3
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    last.filter(reads_like_one).map(str::to_owned).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut text = String::new();
    sources(&root(), &mut text);
    let mut count = 0;
    for document in [
        "security.md",
        "express-tests.md",
        "expiry.md",
        "architecture.md",
    ] {
        let path = root().join("docs").join(document);
        for name in named(&std::fs::read_to_string(path).expect("a document")) {
            count += 1;
            assert!(
                text.contains(&format!("fn {name}(")),
                "{document} names {name}"
            );
        }
    }
    assert!(count > 50, "only {count} names were found");
}
