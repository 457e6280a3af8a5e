//! `sessionctl`: looks into a store of sessions, changes it and moves it.
//!
//! Each command is a module of `commands`. A URL comes from the command line, a file or the
//! environment (`url`) and is never printed. Output is text or JSON (`output`), and the exit code
//! says how it went (`exit`).
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod exit;
mod hide;
mod line;
mod output;
mod span;
mod url;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;

fn main() -> ExitCode {
    let given = hide::hide_passwords();
    // Ends the program by itself for `--help` and for what it does not understand.
    let arguments = Arguments::parse_from(arguments::with_marked_ids(given.into_iter()));
    let output = Output::new(arguments.json);
    let exit = match run(arguments, output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.failure(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn run(arguments: Arguments, output: Output) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start threads: {error}")))?;
    runtime.block_on(commands::run(arguments.command, output))
}
