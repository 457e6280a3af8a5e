//! The commands, one module each.

mod bench;
mod check;
mod clear;
mod copy;
mod count;
mod destroy;
mod list;
mod manual;
mod migrate;
mod reap;
mod serve;
mod show;
mod watch;

use session_store::{SessionDirectory, SessionStore};

use crate::arguments::Command;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) use serve::DEFAULT_ADDRESS;

pub(crate) async fn run(command: Command, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Check(arguments) => check::run(arguments, output).await,
        Command::Serve(arguments) => serve::run(arguments, output).await,
        Command::Migrate(arguments) => migrate::run(&arguments, output).await,
        Command::Count(arguments) => count::run(&arguments, output).await,
        Command::List(arguments) => list::run(arguments, output).await,
        Command::Show(arguments) => show::run(&arguments, output).await,
        Command::Destroy(arguments) => destroy::run(&arguments, output).await,
        Command::Reap(arguments) => reap::run(&arguments, output).await,
        Command::Clear(arguments) => clear::run(&arguments, output).await,
        Command::Copy(arguments) => copy::run(&arguments, output).await,
        Command::Bench(arguments) => bench::run(&arguments, output).await,
        Command::Watch(arguments) => watch::run(&arguments, output).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(dir.as_deref()),
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
