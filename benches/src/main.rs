//! `compare`: our stores beside the raw drivers and the peers.
//!
//! ```text
//! cargo run --release -p benches -- compare
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program that prints"
)]

mod compare;

use std::process::ExitCode;

use compare::Options;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let options = match arguments.next().as_deref() {
        Some("compare") => Options::parse(arguments),
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
