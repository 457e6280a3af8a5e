//! `compare` measures this project's stores, the raw drivers and other libraries; `charts` makes
//! the tables and charts in `benches/results` from the figures.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml -- compare --write benches/results/compare.jsonl
//! cargo run --manifest-path benches/Cargo.toml -- charts
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program that prints"
)]

mod compare;

use std::path::Path;
use std::process::ExitCode;

use benches::results::files;
use compare::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let options = match arguments.next().as_deref() {
        Some("compare") => Options::parse(arguments),
        Some("charts") => return charts(),
        _ => Err("the command is missing".to_owned()),
    };
    let options = match options {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{}", compare::USAGE);
            return ExitCode::from(2);
        }
    };
    match compare::compare(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Generates the tables and charts.
fn charts() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let written = files::read(&folder).and_then(|runs| {
        for (name, text) in files::generate(&runs) {
            std::fs::write(folder.join(&name), text)?;
            println!("{name}");
        }
        Ok(())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot make the charts: {error}");
            ExitCode::FAILURE
        }
    }
}
