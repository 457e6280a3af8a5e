//! `copy`: brings all sessions of one store into another.
//!
//! A session keeps its id, data, stamp, credential, description, owner and limits, so the same
//! token opens it in the other store. Its age and deadline go on where they were. The stamp tells a
//! session that is there already, and the trail of stamps in its credential which of two copies is
//! the newer one. So the command may run again: the second run brings what has changed.

mod compare;
mod extra;
mod progress;
mod session;
mod state;
mod tally;
mod verify;
mod walk;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use session_store::SessionStore;

use self::progress::Progress;
use self::session::Copier;
use self::state::State;
use self::tally::Tally;
use self::verify::Verified;
use self::walk::Walk;
use crate::arguments::CopyStore;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::{SetUp, Url};

/// Both stores, and what the command line says.
pub(super) struct Copy<'a> {
    from: Arc<dyn SessionStore>,
    to: Arc<dyn SessionStore>,
    arguments: &'a CopyStore,
}

pub(super) async fn run(arguments: &CopyStore, output: Output) -> Result<Exit, Failure> {
    let (from, to) = (arguments.from.read()?, arguments.to.read()?);
    if from.place() == to.place() {
        return Err(Failure::usage("FROM and TO are the same store"));
    }
    let copy = Copy::connect(arguments, &from, &to).await?;
    let mut tally = copy.sessions(&from, &to).await?;
    if arguments.delete {
        copy.delete_extra(&mut tally).await?;
    }
    let verified = match arguments.verify {
        true => Some(copy.verify().await?),
        false => None,
    };
    tell(&tally, verified.as_ref(), arguments.dry_run, output)?;
    let is_clean = !tally.needs_attention() && verified.is_none_or(|verified| verified.is_clean());
    Ok(match is_clean {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

fn tell(
    tally: &Tally,
    verified: Option<&Verified>,
    is_dry_run: bool,
    output: Output,
) -> std::io::Result<()> {
    let mut value = tally.value();
    value["dry_run"] = json!(is_dry_run);
    let mut text = tally.text(is_dry_run);
    if let Some(verified) = verified {
        value["verified"] = verified.value();
        text = format!("{text}\n{}", verified.text());
    }
    output.print(&value, text)
}

impl<'a> Copy<'a> {
    async fn connect(arguments: &'a CopyStore, from: &Url, to: &Url) -> Result<Copy<'a>, Failure> {
        let set_up = match arguments.dry_run {
            true => SetUp::Never,
            false => SetUp::Always,
        };
        let at = |what: &'static str| move |failure: Failure| failure.at(what);
        let from = from.connect(SetUp::Never).await.map_err(at("FROM"))?;
        let to = to.connect(set_up).await.map_err(at("TO"))?;
        if !to.capabilities().keeps_past {
            return Err(Failure::usage(
                "TO can't keep the age of a session, so copies would live too long",
            ));
        }
        if from.capabilities().plain_ids || to.capabilities().plain_ids {
            return Err(Failure::usage(
                "a layout whose ids are the tokens can't be copied: see docs/express.md for moving \
                 from Express while both run",
            ));
        }
        Ok(Self {
            from,
            to,
            arguments,
        })
    }

    fn walk(&self) -> Walk {
        Walk {
            concurrency: self.arguments.concurrency.into(),
        }
    }

    /// Copies the sessions of FROM, from where the state file says.
    async fn sessions(&self, from: &Url, to: &Url) -> Result<Tally, Failure> {
        let total = progress::total(super::directory(&*self.from)?).await?;
        let begin = async || -> Result<State, Failure> {
            let is_new = walk::is_empty(super::directory(&*self.to)?).await?;
            Ok(State::new(from.place(), to.place(), is_new))
        };
        let file = self.arguments.state.as_deref();
        let mut state = match file.map(State::read).transpose()?.flatten() {
            Some(state) => state.of(from, to, file)?,
            None => begin().await?,
        };
        let copier = Copier {
            from: &*self.from,
            to: &*self.to,
            looks_first: !state.is_new,
            overwrite: self.arguments.overwrite,
            dry_run: self.arguments.dry_run,
        };
        let mut progress = Progress::new("copied", state.tally.seen(), total);
        let start = state.cursor();
        let each = |info| copier.copy(info);
        self.walk()
            .over(super::directory(&*self.from)?, start, each, |next, done| {
                for outcome in done {
                    state.tally.add(outcome);
                }
                progress.show(state.tally.seen());
                match (file, next) {
                    (Some(file), Some(next)) => state.write(file, next),
                    _ => Ok(()),
                }
            })
            .await
            .map_err(|failure| self.stopped(failure))?;
        if let Some(file) = file {
            remove(file)?;
        }
        Ok(state.tally)
    }

    fn stopped(&self, failure: Failure) -> Failure {
        let how = match self.arguments.state {
            Some(_) => "run the same command again: it goes on where it stopped",
            None => "run the same command again: it goes over what is there already",
        };
        Failure::new(failure.exit, format!("{} ({how})", failure.message))
    }
}

fn remove(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(
            Exit::Failed,
            format!("cannot remove {}: {error}", file.display()),
        )),
        _ => Ok(()),
    }
}
