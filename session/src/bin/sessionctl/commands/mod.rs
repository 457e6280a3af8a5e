//! The commands, one module each.

mod count;

use session_store::{SessionDirectory, SessionStore};

use crate::arguments::Command;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Count(arguments) => count::run(arguments, output).await,
    }
}

/// The store's administrative side.
fn directory(store: &dyn SessionStore) -> Result<&dyn SessionDirectory, Failure> {
    store
        .directory()
        .ok_or_else(|| Failure::new(Exit::Failed, "this store can't list its sessions"))
}
