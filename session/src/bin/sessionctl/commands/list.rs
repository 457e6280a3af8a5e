//! `list`: sessions, page by page.

use serde_json::json;
use session_store::{Cursor, Page, SessionInfo};

use crate::arguments::List;
use crate::exit::{Exit, Failure};
use crate::line;
use crate::output::{self, Output};
use crate::url::SetUp;

/// The most sessions that are asked for at once.
const PAGE: usize = 500;

pub(super) async fn run(arguments: List, output: Output) -> Result<Exit, Failure> {
    let store = arguments.store.read()?.connect(SetUp::Never).await?;
    let directory = super::directory(&*store)?;
    let mut cursor = arguments.cursor.clone();
    let mut printed = 0;
    loop {
        let limit = arguments.page_size(printed);
        let Page { sessions, next, .. } = match &arguments.owner {
            Some(owner) => directory.owned_by(owner, cursor.as_ref(), limit).await?,
            None => directory.list(cursor.as_ref(), limit).await?,
        };
        for info in sessions.iter().filter(|info| arguments.includes(info)) {
            if printed == 0 && !output.is_json() {
                output.text(line::heading())?;
            }
            output.print(&line::value(info), line::row(info))?;
            printed += 1;
        }
        match next {
            None => break,
            Some(next) if arguments.is_enough(printed) => {
                tell_next(&next, output)?;
                break;
            }
            Some(next) => cursor = Some(next),
        }
    }
    if printed == 0 && !output.is_json() {
        output::note("No session matches.");
    }
    Ok(Exit::Done)
}

/// A page is printed whole, because no cursor names a place inside one.
fn tell_next(next: &Cursor, output: Output) -> std::io::Result<()> {
    match output.is_json() {
        true => output.value(&json!({ "cursor": next.as_str() })),
        false => {
            output::note(&format!(
                "There are more: --cursor {}",
                quoted(next.as_str())
            ));
            Ok(())
        }
    }
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.:,=/+@".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

impl List {
    /// With filters, few of a page may be printed.
    fn page_size(&self, printed: u64) -> usize {
        let is_filtered =
            self.older_than.is_some() || self.idle_for.is_some() || self.expiring_within.is_some();
        match self.all || is_filtered {
            true => PAGE,
            false => {
                let missing = self.limit.saturating_sub(printed).max(1);
                usize::try_from(missing).map_or(PAGE, |missing| missing.min(PAGE))
            }
        }
    }

    fn is_enough(&self, printed: u64) -> bool {
        !self.all && printed >= self.limit
    }

    fn includes(&self, info: &SessionInfo) -> bool {
        let is_old = self.older_than.is_none_or(|least| info.age >= least);
        let is_idle = self
            .idle_for
            .is_none_or(|least| info.last_used().is_some_and(|idle| idle >= least));
        let is_ending = self
            .expiring_within
            .is_none_or(|most| info.ttl.left().is_some_and(|left| left <= most));
        is_old && is_idle && is_ending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_one_word_of_a_shell() {
        assert_eq!(quoted("abc-1:2"), "abc-1:2");
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
        assert_eq!(quoted(""), "''");
    }
}
