//! Where a copy stands, in a file, so that it goes on after it was killed.
//!
//! The file names both stores, without their users and passwords, so that it is used for no others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use session_store::Cursor;

use super::tally::Tally;
use crate::exit::{Exit, Failure};
use crate::url::Url;

const VERSION: u64 = 1;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    from: String,
    to: String,
    cursor: Option<String>,
    /// Whether TO was empty when the copy began.
    pub(super) is_new: bool,
    /// What was done before the cursor.
    pub(super) tally: Tally,
}

impl State {
    /// Of a copy that begins.
    pub(super) fn new(from: String, to: String, is_new: bool) -> Self {
        Self {
            from,
            to,
            cursor: None,
            is_new,
            tally: Tally::default(),
        }
    }

    /// The state in `file`, if there is one.
    pub(super) fn read(file: &Path) -> Result<Option<Self>, Failure> {
        let wrong = |why: String| {
            let file = file.display();
            Failure::usage(format!(
                "cannot go on by the state in {file}: {why}; remove it to begin anew"
            ))
        };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let state = Self::of_value(&value).ok_or_else(|| wrong("it is of another kind".into()))?;
        Ok(Some(state))
    }

    /// The same state, if it is one of a copy between these stores.
    pub(super) fn of(self, from: &Url, to: &Url, file: Option<&Path>) -> Result<Self, Failure> {
        if self.from == from.place() && self.to == to.place() {
            return Ok(self);
        }
        let file = file.unwrap_or(Path::new("the file"));
        Err(Failure::usage(format!(
            "the state in {} is of a copy from {} to {}: name another file",
            file.display(),
            self.from,
            self.to
        )))
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.cursor.as_ref().map(Cursor::new)
    }

    /// Keeps that everything before `next` is done. A program that is killed meanwhile leaves the old
    /// state or the new one.
    pub(super) fn write(&mut self, file: &Path, next: &Cursor) -> Result<(), Failure> {
        self.cursor = Some(next.as_str().to_owned());
        let mut other = file.as_os_str().to_owned();
        other.push(".new");
        let other = PathBuf::from(other);
        let written = fs::write(&other, format!("{}\n", self.value()));
        written
            .and_then(|()| fs::rename(&other, file))
            .map_err(|error| {
                let text = format!("cannot keep the state in {}: {error}", file.display());
                Failure::new(Exit::Failed, text)
            })
    }

    fn value(&self) -> Value {
        json!({
            "version": VERSION,
            "from": self.from,
            "to": self.to,
            "cursor": self.cursor,
            "is_new": self.is_new,
            "tally": self.tally.value(),
        })
    }

    fn of_value(value: &Value) -> Option<Self> {
        let text = |name| value.get(name)?.as_str().map(str::to_owned);
        (value.get("version")?.as_u64()? == VERSION).then_some(())?;
        Some(Self {
            from: text("from")?,
            to: text("to")?,
            cursor: text("cursor"),
            is_new: value.get("is_new")?.as_bool()?,
            tally: Tally::read(value.get("tally")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("copy.state");
        assert_eq!(State::read(&file).expect("none"), None);
        let mut state = State::new("sqlite:a".into(), "redis://h/".into(), true);
        state.write(&file, &Cursor::new("17")).expect("written");
        let read = State::read(&file).expect("readable").expect("there");
        assert_eq!(read, state);
        assert_eq!(read.cursor(), Some(Cursor::new("17")));
        fs::write(&file, "{}").expect("written");
        State::read(&file).expect_err("of another kind");
    }
}
