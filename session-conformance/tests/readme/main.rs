//! The stores "of your own" in the READMEs, run as they are written there.

mod readme;
mod suite_readme;

/// The first block of Rust in `document` after `heading`, without the lines that rustdoc hides.
fn block(document: &str, heading: &str) -> String {
    let (_, rest) = document.split_once(heading).expect("the heading");
    let (_, rest) = rest.split_once("```rust\n").expect("a block of Rust");
    let (block, _) = rest.split_once("```").expect("its end");
    let shown = block.lines().filter(|line| !line.starts_with("# "));
    shown.map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_readmes_show_what_is_run_here() {
    let readme = block(
        include_str!("../../../README.md"),
        "**A store of your own.**",
    );
    let suite_readme = block(include_str!("../../README.md"), "## Running it");
    assert_eq!(readme, include_str!("readme.rs"));
    assert_eq!(suite_readme, include_str!("suite_readme.rs"));
}
