//! `check`: what this very server can keep.
//!
//! First the server is asked for its settings, and the store is connected to as an application would;
//! then the promises are tried on scratch tables, keys or collections, which are removed afterwards.

mod miniature;
mod report;
mod scratch;

use std::time::Duration;

use session_store::{Error, ErrorKind, Finding, Severity};
use tokio::time::{Instant, timeout_at};

use crate::arguments::CheckArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::Url;
use report::Report;
use scratch::Scratch;

/// How long questions and tries may take in all. Removing what they left takes at most
/// [`CLEANING`](scratch::CLEANING) more.
const LIMIT: Duration = Duration::from_secs(8);

pub(super) async fn run(arguments: CheckArguments, output: Output) -> Result<Exit, Failure> {
    let began = Instant::now();
    let url = arguments.store.read()?;
    let mut report = Report::default();
    let until = began + LIMIT;
    let asked = timeout_at(until, ask(&url, &mut report)).await;
    asked.unwrap_or_else(|_| Err(slow("the server does not answer in time")))?;
    match arguments.settings_only {
        true => report.skip("only the settings were to be looked at (--settings-only)"),
        false if report.is_read_only() => report.skip("the server takes no writes"),
        false if report.is_refused() => report.skip("the store can't be opened"),
        false => attempt(&url, until, &mut report).await?,
    }
    report.took = began.elapsed();
    output.print(&report.json(), report.text())?;
    Ok(report.exit())
}

/// Asks the server for its settings, and connects as an application does.
async fn ask(url: &Url, report: &mut Report) -> Result<(), Failure> {
    let store = match session_store::connect(url.with("migrate", "false").secret()).await {
        Ok(store) => store,
        Err(error) => return report.refused(error),
    };
    if let Some(inspect) = store.inspect() {
        match inspect.inspection().await {
            Ok(inspection) => report.inspected(inspection),
            Err(error) => report.refused(error)?,
        }
    }
    // There, setting up creates nothing, and tries the user's rights.
    if scratch::option(url.scheme()) == Some("prefix")
        && !report.is_read_only()
        && let Err(error) = session_store::connect(url.with("migrate", "true").secret()).await
    {
        report.refused(error)?;
    }
    Ok(())
}

/// Tries the promises on scratch tables, and removes these whatever happens.
async fn attempt(url: &Url, until: Instant, report: &mut Report) -> Result<(), Failure> {
    let Some(scratch) = Scratch::of(url) else {
        report.skip("there is no place beside the store to try them in");
        return Ok(());
    };
    let tried = tokio::select! {
        tried = try_promises(&scratch, until) => Ok(tried),
        () = super::interrupted() => Err(Failure::new(Exit::Failed, "interrupted")),
    };
    let left = scratch.remove().await;
    if !left.is_empty() {
        report.add(leftovers(&left));
    }
    match tried? {
        Ok(tried) => report.tried(tried),
        Err(error) => report.add(no_scratch(&error)),
    }
    Ok(())
}

async fn try_promises(scratch: &Scratch, until: Instant) -> Result<Vec<miniature::Tried>, Error> {
    // A user who may create a table and not drop it would be left with many.
    scratch.rehearse().await?;
    Ok(miniature::run(scratch, until).await)
}

fn slow(what: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("{what}: within {LIMIT:?}"))
}

/// The store refuses to work with this server, user or URL: a finding by itself.
fn refusal(why: &str) -> Finding {
    Finding::new(
        "refused",
        Severity::Broken,
        why,
        "The store does not open here, so no session can be kept",
        "the message names the option, right, table or setting to change",
    )
}

fn no_scratch(error: &Error) -> Finding {
    Finding::new(
        "no-scratch",
        Severity::Note,
        format!("no scratch table can be made and removed: {error}"),
        "The promises were not tried, and only the settings were looked at",
        "check as a user who may create and drop tables or collections, or use keys of any name",
    )
}

fn leftovers(names: &[String]) -> Finding {
    Finding::new(
        "leftovers",
        Severity::Note,
        format!("could not be removed: {}", names.join(", ")),
        "The check made these, and nothing uses them",
        "drop them, or delete the keys that begin so",
    )
}

/// Whether an error says that there is no server to ask.
fn is_unreachable(error: &Error) -> bool {
    [ErrorKind::Unavailable, ErrorKind::Timeout].contains(&error.kind())
}
