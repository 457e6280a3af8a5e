//! The book has every page, and every page is checked.

use super::{read, root};

/// The pages, by file name.
fn pages() -> Vec<String> {
    let files = std::fs::read_dir(root().join("docs")).expect("a folder");
    let names = files.map(|file| file.expect("read").file_name().into_string());
    let names = names.map(|name| name.expect("UTF-8"));
    names
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect()
}

#[test]
fn every_page_is_in_the_contents_once_and_checked_as_the_others_are() {
    let (summary, checks) = (
        read("docs/SUMMARY.md"),
        read("integration-tests/tests/integration/docs.rs"),
    );
    let pages = pages();
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let links = summary.matches(&format!("]({page})")).count();
        assert_eq!(links, 1, "docs/SUMMARY.md links {page}");
        let is_checked = checks.contains(&format!("\"docs/{page}\""));
        assert!(is_checked, "DOCUMENTS in docs.rs has docs/{page}");
    }
}

#[test]
fn every_page_with_rust_code_is_a_doc_test() {
    let crates = [
        "integration-tests/src/lib.rs",
        "session-tower-sessions/src/lib.rs",
    ];
    let tested = crates.map(read).concat();
    for page in pages() {
        let text = read(&format!("docs/{page}"));
        let mut fences = text.lines().filter(|line| line.starts_with("```rust"));
        if fences.any(|line| !line.contains("ignore")) {
            let is_tested = tested.contains(&format!("docs/{page}\")"));
            // Its code is that of `own_backend`, word for word.
            let is_quoted = page == "own-store.md";
            assert!(is_tested || is_quoted, "docs/{page} is not compiled");
        }
    }
}
