//! The commands, one module each.

mod check;
mod count;
mod serve;

use session_store::{SessionDirectory, SessionStore};

use crate::arguments::Command;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) use serve::DEFAULT_ADDRESS;

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments, output).await,
        Command::Count(arguments) => count::run(arguments, output).await,
        Command::Serve(arguments) => serve::run(arguments, output).await,
    }
}

/// Ctrl-C, or the end that a supervisor asks for.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        if let Ok(mut end) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = end.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// The store's administrative side.
fn directory(store: &dyn SessionStore) -> Result<&dyn SessionDirectory, Failure> {
    store
        .directory()
        .ok_or_else(|| Failure::new(Exit::Failed, "this store can't list its sessions"))
}
