//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use session_store::Lifetime;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A small site with sessions.

Usage: cargo run -p examples --bin tutorial -- [OPTIONS]

  --store URL        memory:, sqlite:FILE, postgres://USER:PASSWORD@HOST/DB, mysql://USER:PASSWORD@HOST/DB,
                     mongodb://HOST/DB, redis://HOST; default a SQLite file in your data folder, so that sign-ins outlive a restart
  --cookie-only      keep sessions in the cookie, encrypted; needs no store, and can't list or end sessions
  --secret TEXT      encrypt cookies by this secret of 32 bytes or more, so that sessions outlive a restart
  --addr HOST:PORT   listen there; default 127.0.0.1:3000, and port 0 is a free one
  --idle SECONDS     end a session that is not used for so long; default 1800
  --help             print this

Two sites on one store share their sessions, also on one file. Ctrl-C stops the site after the requests in flight.";

pub(crate) struct Options {
    /// The URL of the store; `None` for a file in the user's data folder.
    pub(crate) store: Option<String>,
    pub(crate) cookie_only: bool,
    pub(crate) address: SocketAddr,
    pub(crate) secret: Option<String>,
    pub(crate) lifetime: Lifetime,
}

impl Options {
    /// `None` if only help is wanted.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            store: None,
            cookie_only: false,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 3000)),
            secret: None,
            lifetime: Lifetime::default(),
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--store" => options.store = Some(value()?),
                "--cookie-only" => options.cookie_only = true,
                "--secret" => options.secret = Some(value()?),
                "--addr" => {
                    let wrong =
                        |_| "--addr needs HOST:PORT with the host's IP, such as 127.0.0.1:3000";
                    options.address = value()?.parse().map_err(wrong)?;
                }
                "--idle" => {
                    let seconds = value()?.parse().map_err(|_| "--idle needs seconds")?;
                    options.lifetime.idle = Duration::from_secs(seconds).into();
                }
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option {word}; --help lists them")),
            }
        }
        Ok(Some(options))
    }
}
