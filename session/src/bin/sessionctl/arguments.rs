//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command as Cmd, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use session_store::{Cursor, Owner, SessionId};

use crate::commands::DEFAULT_ADDRESS;
use crate::span;
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
    /// Create or upgrade the store's tables and indexes, and check its rights.
    Migrate(StoreUrl),

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

    /// List sessions.
    List(List),

    /// Show one session.
    Show(Show),

    /// End sessions: one, or all of an owner.
    Destroy(Destroy),

    /// Remove expired sessions. The observers of your programs do not hear of these.
    Reap(Reap),

    /// End all sessions of the store.
    Clear(Clear),

    /// Copy all sessions to another store, with their ids, tokens, ages, limits and owners.
    Copy(CopyStore),

    /// Measure the store, by sessions that are removed afterwards.
    Bench(Bench),

    /// Show how many sessions there are and how that changes, until Ctrl-C.
    Watch(Watch),

    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Print the man page, or write one for each command.
    Man {
        /// Write a page for each command into this directory.
        #[arg(long, value_name = "DIRECTORY")]
        dir: Option<PathBuf>,
    },
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

#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// Only sessions of this owner.
    #[arg(long, value_parser = owner, allow_hyphen_values = true)]
    pub(crate) owner: Option<Owner>,

    /// Only sessions that began, or whose owner signed in, at least this long ago, such as 7d.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    pub(crate) older_than: Option<Duration>,

    /// Only sessions that were last used at least this long ago.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    pub(crate) idle_for: Option<Duration>,

    /// Only sessions that end within this time unless they are used.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    pub(crate) expiring_within: Option<Duration>,

    /// Go on where an earlier list has stopped.
    #[arg(long, value_parser = cursor, allow_hyphen_values = true)]
    pub(crate) cursor: Option<Cursor>,

    /// Stop after about so many sessions.
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,

    /// List all sessions.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The session's id, as `list` shows it.
    #[arg(value_parser = id)]
    pub(crate) id: SessionId,

    /// Show the session's data too. It may hold what only its user should see.
    #[arg(long)]
    pub(crate) data: bool,

    #[command(flatten)]
    pub(crate) store: StoreOption,
}

#[derive(Args, Debug)]
pub(crate) struct Destroy {
    /// The id of the session to end.
    #[arg(value_parser = id, required_unless_present = "owner", conflicts_with = "owner")]
    pub(crate) id: Option<SessionId>,

    /// End all sessions of this owner.
    #[arg(long, value_parser = owner, allow_hyphen_values = true)]
    pub(crate) owner: Option<Owner>,

    /// Keep this session of the owner.
    #[arg(long, value_name = "ID", value_parser = id, requires = "owner", conflicts_with = "id")]
    pub(crate) except: Option<SessionId>,

    #[command(flatten)]
    pub(crate) store: StoreOption,
}

#[derive(Args, Debug)]
pub(crate) struct Reap {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// Remove so many at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Clear {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct CopyStore {
    /// URL of the store to copy from, @FILE or env:NAME.
    pub(crate) from: UrlArgument,

    /// URL of the store to copy to, @FILE or env:NAME. It is set up if it is new.
    pub(crate) to: UrlArgument,

    /// Say what would be done, and change nothing.
    #[arg(long, conflicts_with_all = ["verify", "state"])]
    pub(crate) dry_run: bool,

    /// Then end the sessions in TO that are not in FROM: they were signed out meanwhile.
    #[arg(long)]
    pub(crate) delete: bool,

    /// Replace a session in TO that differs even if it is not known which is newer. Use it only
    /// while no program uses TO.
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Then read both stores and compare them.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Keep the place in this file, so that the same command goes on after it was killed.
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,

    /// How many sessions are under way at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub(crate) concurrency: u16,

    /// End sessions in TO though FROM has none, which more often is a wrong URL.
    #[arg(long, requires = "delete")]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// How many sessions to create.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sessions: u32,

    /// How many operations are under way at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 64,
        value_parser = clap::value_parser!(u16).range(1..=4_096))]
    pub(crate) concurrency: u16,

    /// Bytes of data in each session.
    #[arg(long, value_name = "BYTES", default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    pub(crate) size: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) store: StoreUrl,

    /// How long to wait between two looks.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = span::parse)]
    pub(crate) interval: Duration,

    /// Stop after so many looks.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) times: Option<u64>,
}

/// Stands before an id that begins with a hyphen, which would be read as an option.
const ID_MARK: &str = "id:";

/// The command line with a mark before each session id that begins with a hyphen, as one of 64 does.
pub(crate) fn with_marked_ids(
    arguments: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let command = Arguments::command();
    let subcommands = command.get_subcommands().flat_map(Cmd::get_arguments);
    let options: Vec<String> = subcommands
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .collect();
    arguments.map(move |argument| {
        let text = argument.to_str().unwrap_or_default();
        let is_id = text.len() == 16
            && text.starts_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !options.iter().any(|option| option == text);
        match is_id {
            true => format!("{ID_MARK}{text}").into(),
            false => argument,
        }
    })
}

/// `clap` takes only errors that are no `session_store::Error`s.
fn owner(text: &str) -> Result<Owner, String> {
    Owner::new(text).map_err(|error| error.to_string())
}

fn id(text: &str) -> Result<SessionId, String> {
    let text = text.strip_prefix(ID_MARK).unwrap_or(text);
    text.parse()
        .map_err(|error: session_store::Error| error.to_string())
}

fn cursor(text: &str) -> Result<Cursor, String> {
    Ok(Cursor::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_begin_with_a_hyphen() {
        for id in ["-hIvRZi2rWUswP4x", "--vp8VZi2rWUswP4", "-0QO4QEMBaW4_PeU"] {
            let line = ["sessionctl", "show", id, "--json"].map(OsString::from);
            let parsed = Arguments::try_parse_from(with_marked_ids(line.into_iter()));
            let Command::Show(show) = parsed.expect("an id").command else {
                panic!("another command");
            };
            assert_eq!(show.id.as_str(), id);
            let line = ["sessionctl", "destroy", "--owner", "-1", "--except", id];
            let line = line.map(OsString::from);
            Arguments::try_parse_from(with_marked_ids(line.into_iter())).expect("an id");
        }
    }

    #[test]
    fn the_command_line_is_well_defined() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        for line in [
            "sessionctl destroy",
            "sessionctl destroy an-id --owner user-1",
            "sessionctl destroy an-id --except another",
            "sessionctl count sqlite:a.db --url-file b",
            "sessionctl list --limit 5 --all",
            "sessionctl list --limit 0",
            "sessionctl copy sqlite:a.db sqlite:b.db --yes",
            "sessionctl copy sqlite:a.db sqlite:b.db --dry-run --verify",
        ] {
            parse(line).expect_err(line);
        }
        for line in [
            "sessionctl destroy an-id",
            "sessionctl destroy --owner user-1 --except an-id --json",
            "sessionctl copy sqlite:a.db sqlite:b.db --delete --yes",
        ] {
            parse(line).expect(line);
        }
    }
}
