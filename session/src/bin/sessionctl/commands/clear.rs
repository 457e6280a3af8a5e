//! `clear`: ends all sessions of a store.

use std::io::{self, IsTerminal};

use serde_json::json;

use crate::arguments::Clear;
use crate::exit::{Exit, Failure};
use crate::output::{self, Output};
use crate::url::SetUp;

pub(super) async fn run(arguments: &Clear, output: Output) -> Result<Exit, Failure> {
    let url = arguments.store.read()?;
    if !arguments.yes && !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "clear ends all sessions: say --yes where nobody can be asked",
        ));
    }
    let store = url.connect(SetUp::Never).await?;
    let directory = super::directory(&*store)?;
    if !arguments.yes {
        confirm(directory.count().await?, url.scheme())?;
    }
    let cleared = directory.clear().await?;
    let text = format!("Ended: {cleared}.");
    output.print(&json!({ "destroyed": cleared }), text)?;
    Ok(Exit::Done)
}

fn confirm(count: u64, scheme: &str) -> Result<(), Failure> {
    output::note(&format!(
        "This ends all {count} sessions of the {scheme} store. Type the number to go on:"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() == count.to_string() {
        true => Ok(()),
        false => Err(Failure::usage("that is another number: nothing was ended")),
    }
}
