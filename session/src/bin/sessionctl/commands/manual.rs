//! `completions` and `man`: what a package of the program installs beside it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::{Exit, Failure};

pub(super) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "sessionctl", &mut script);
    print(&script)
}

pub(super) fn pages(directory: Option<&Path>) -> Result<Exit, Failure> {
    let command = Arguments::command();
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&page);
    };
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command, directory)?;
    Ok(Exit::Done)
}

/// As it is: the text is ours.
fn print(text: &[u8]) -> Result<Exit, Failure> {
    io::stdout().lock().write_all(text)?;
    Ok(Exit::Done)
}
