//! The committed tables and charts are those that the generator makes of the committed figures.
//!
//! It stands here because a test in `benches` itself would have to be linked with all the libraries
//! that the benchmarks compare with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[expect(
    unreachable_pub,
    reason = "the programs of the benchmarks use the rest"
)]
#[path = "../../../benches/src/results/mod.rs"]
mod generator;

use generator::{Run, files};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/results")
}

fn runs() -> BTreeMap<String, Run> {
    files::read(&folder()).expect("files in the format")
}

#[test]
fn the_committed_tables_and_charts_are_what_is_generated_from_the_committed_figures() {
    let generated = files::generate(&runs());
    assert!(generated.contains_key("compare.md"));
    for chart in ["loads.svg", "saves.svg", "latency.svg"] {
        assert!(generated.contains_key(chart), "{chart} lacks its figures");
    }
    for (name, text) in generated {
        let committed = std::fs::read_to_string(folder().join(&name)).unwrap_or_default();
        assert!(
            committed == text,
            "{name} differs: run `cargo run --manifest-path benches/Cargo.toml -- charts` and commit what it writes"
        );
    }
}

#[test]
fn no_chart_or_table_of_a_deleted_run_is_left_behind() {
    let generated = files::generate(&runs());
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        let text = std::fs::read_to_string(folder().join(&*name)).expect("text");
        let is_made = name.ends_with(".svg") || text.starts_with("<!-- Generated from");
        assert!(
            !is_made || generated.contains_key(&*name),
            "{name} is made from nothing"
        );
    }
}

#[test]
fn a_run_is_read_as_it_was_written() {
    for (name, run) in runs() {
        let text = run.write().expect("JSON");
        assert_eq!(Run::read(&text).expect("JSON"), run, "{name}");
    }
}

#[test]
fn charts_carry_a_title_a_text_alternative_and_colours_for_light_and_dark_pages() {
    for (name, text) in files::generate(&runs()) {
        if name.ends_with(".svg") {
            for part in [
                "<title ",
                "<desc ",
                "role=\"img\"",
                "prefers-color-scheme:dark",
            ] {
                assert!(text.contains(part), "{name} lacks {part}");
            }
        }
    }
}
