//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::DEFAULT_ADDRESS;
use crate::url::UrlArgument;

/// Looks into a store of sessions, changes it and moves it.
#[derive(Debug, Parser)]
#[command(name = "sessionctl", version, propagate_version = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Print JSON, one value a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
A URL names the store as session_store::connect takes it: sqlite:sessions.db, redis://127.0.0.1/,
postgres://…, mysql://…, mongodb://…. In the place of a URL, @FILE names a file that holds it, and
env:NAME a variable. Without a URL, the variable SESSION_STORE_URL names the store. A URL with a
password is taken out of what `ps` shows, and is never printed.

Exit codes: 0 done; 1 failed; 2 wrong command line or URL; 3 no such session; 4 findings that need
attention; 5 the store can't be reached or does not answer.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Count the live sessions.
    Count(StoreUrl),

    /// Say what this very server can keep: settings that break promises, and promises that it breaks.
    ///
    /// Looks at the server's settings and the user's rights, and tries the promises of a store on scratch
    /// tables, collections or keys beside the store's own, which it removes. Takes at most 10 s.
    Check(CheckArguments),

    /// Show the store on a page for the browser of this machine: figures, search, ending sessions.
    ///
    /// The page is at a loopback address, and opens by the URL that is printed, which has a random
    /// token. Values of sessions are never shown.
    Serve(ServeArguments),
}

/// What `serve` does.
#[derive(Args, Debug)]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// Address to listen at, of this machine only; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = DEFAULT_ADDRESS)]
    pub(crate) listen: SocketAddr,
}

/// What `check` does.
#[derive(Args, Debug)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// Look at settings and rights only, and write nothing.
    #[arg(long)]
    pub(crate) settings_only: bool,
}

/// The store that a command is about.
#[derive(Args, Debug)]
pub(crate) struct StoreUrl {
    /// URL of the store, @FILE or env:NAME [default: the variable SESSION_STORE_URL].
    #[arg(value_name = "URL", conflicts_with = "url_file")]
    pub(crate) url: Option<UrlArgument>,

    /// Read the URL from this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) url_file: Option<PathBuf>,
}

/// The store that a command with other arguments is about.
#[derive(Args, Debug)]
pub(crate) struct StoreOption {
    /// URL of the store, @FILE or env:NAME [default: the variable SESSION_STORE_URL].
    #[arg(long, value_name = "URL", conflicts_with = "url_file")]
    pub(crate) url: Option<UrlArgument>,

    /// Read the URL from this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) url_file: Option<PathBuf>,
}
