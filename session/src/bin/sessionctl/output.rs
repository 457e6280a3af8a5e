//! What the program prints: text for people, or JSON, one value a line.
//!
//! Owners and descriptions are text that clients may have chosen, so control characters, which a
//! terminal would obey, are always written escaped.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

use crate::exit::Failure;

/// Prints to standard output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: this value with `--json`, else this text.
    pub(crate) fn print(self, value: &Value, text: impl Display) -> io::Result<()> {
        match self.json {
            true => self.value(value),
            false => self.text(text),
        }
    }

    /// Prints a line of JSON.
    pub(crate) fn value(self, value: &Value) -> io::Result<()> {
        write_line(&mut io::stdout().lock(), &escaped_json(&value.to_string()))
    }

    /// Prints lines of text.
    pub(crate) fn text(self, text: impl Display) -> io::Result<()> {
        write_line(&mut io::stdout().lock(), &escaped(&text.to_string()))
    }

    /// Prints a result in the place of the last one, where that is a terminal.
    pub(crate) fn redraw(self, value: &Value, text: impl Display) -> io::Result<()> {
        if !self.json && io::stdout().is_terminal() {
            write!(io::stdout().lock(), "\x1b[H\x1b[J")?;
        }
        self.print(value, text)
    }

    /// Tells why the command has failed, on standard error. If that is closed, the exit code tells.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure { exit, message } = failure;
        let text = match self.json {
            true => escaped_json(&json!({ "error": message, "exit": *exit as u8 }).to_string()),
            false => escaped(&format!("error: {message}")),
        };
        let _ = write_line(&mut io::stderr().lock(), &text);
    }
}

/// Tells something that is no result, on standard error.
pub(crate) fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    // A line of progress may stand there.
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\x1b[K");
    }
    let _ = write_line(&mut stderr, &escaped(text));
}

/// Warns on standard error.
pub(crate) fn warn(text: &str) {
    note(&format!("warning: {text}"));
}

/// A line on standard error that each call writes over, where that is a terminal.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn is_possible() -> bool {
        io::stderr().is_terminal()
    }

    pub(crate) fn show(&mut self, text: &str) {
        if Self::is_possible() {
            self.is_shown = true;
            let mut stderr = io::stderr().lock();
            let _ = write!(stderr, "\r\x1b[K{}", escaped(text)).and_then(|()| stderr.flush());
        }
    }

    /// Ends the line, so that other output has one of its own.
    pub(crate) fn finish(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// The program ends well if its reader has read enough (`sessionctl list | head`).
fn write_line(to: &mut impl Write, text: &str) -> io::Result<()> {
    let written = writeln!(to, "{text}").and_then(|()| to.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written,
    }
}

/// Whether a terminal obeys it, or shows other text than there is: control characters, and those that
/// change the direction of text or show nothing.
fn is_unsafe(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_invisible
}

/// The text, of several lines, without what a terminal obeys.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push(c),
            c if is_unsafe(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// JSON without what a terminal obeys: what is left of it stands in strings.
fn escaped_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match is_unsafe(c) {
            true => _ = write!(safe, "\\u{:04x}", u32::from(c)),
            false => safe.push(c),
        }
    }
    safe
}

/// The text as one cell of a table: without line ends.
pub(crate) fn cell(text: &str) -> String {
    escaped(text).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        let hostile = "a\u{1b}[2Jb\u{202e}c\u{9b}d\r";
        let text = "a\\u{1b}[2Jb\\u{202e}c\\u{9b}d\\u{d}";
        assert_eq!(escaped(hostile), text);
        let written = escaped_json(&json!({ "owner": hostile }).to_string());
        assert!(!written.chars().any(is_unsafe), "{written}");
        let read: Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read["owner"], hostile);
        assert_eq!(cell("two\nlines"), "two\\nlines");
    }
}
