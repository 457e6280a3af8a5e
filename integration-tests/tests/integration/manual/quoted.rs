//! The tables of docs/logging.md and the events in the sources are the same.

use std::path::Path;

use super::{read, root, rows};

/// An event of the library: its level and its message, as it is in the source.
type Event = (String, String);

/// Every `tracing` event of our crates.
fn events() -> Vec<Event> {
    let mut events = Vec::new();
    for folder in std::fs::read_dir(root()).expect("the workspace") {
        let folder = folder.expect("read").path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("session") {
            visit(&folder.join("src"), &mut events);
        }
    }
    events
}

fn visit(folder: &Path, events: &mut Vec<Event>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("read").path();
        if path.is_dir() {
            if !path.ends_with("tests") {
                visit(&path, events);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]\nmod tests {").next();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code: Vec<&str> = code.unwrap_or_default().lines().filter(is_code).collect();
            events.extend(code.join("\n").split("tracing::").skip(1).filter_map(event));
        }
    }
}

/// The event that this text behind `tracing::` is, if it is one.
fn event(text: &str) -> Option<Event> {
    let (level, rest) = text.split_once("!(")?;
    if !["error", "warn", "info", "debug", "trace"].contains(&level) {
        return None;
    }
    // Of our events, only the message is a text in quotes.
    let (_, rest) = rest.split_once('"')?;
    let (message, _) = rest.split_once('"')?;
    let words: Vec<&str> = message.split(['\\', '\n', ' ']).collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Some((level.to_owned(), words.join(" ")))
}

/// Events whose message a variable has: file, level, and the message, which is in the file.
const PASSED_ON: [(&str, &str, &str); 6] = [
    (
        "session-web/src/conclude.rs",
        "warn",
        "a session could not be extended",
    ),
    (
        "session-web/src/conclude.rs",
        "warn",
        "a session could not be renewed",
    ),
    (
        "session-web/src/conclude.rs",
        "warn",
        "a session could not get a new token",
    ),
    (
        "session-core/src/manager/watch/bus.rs",
        "warn",
        "no notices of ended sessions: streams close up to a lease late",
    ),
    (
        "session-cached/src/listener.rs",
        "warn",
        "no invalidations of copies: sessions that other processes end are served",
    ),
    (
        "session-redis/src/notices.rs",
        "warn",
        "sessions that this process ends are not announced to others, whose streams",
    ),
];

/// Levels and messages of the tables, each up to the first `…`.
fn documented() -> Vec<Event> {
    let page = read("docs/logging.md");
    let mut documented = Vec::new();
    let (_, page) = page.split_once("\n## Events\n").expect("a chapter");
    let page = page.split("\n## ").next().unwrap_or_default();
    for section in page.split("\n### ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        let of_section = heading.strip_prefix("At ").map(|level| {
            let end = level.find(':').unwrap_or(level.len());
            &level[..end]
        });
        for row in rows(section) {
            let (level, messages) = match of_section {
                Some(level) => (level, row[0]),
                None if heading.contains("LogObserver") => (row[0], row[1]),
                None => continue,
            };
            let quoted = messages.split('`').skip(1).step_by(2);
            let starts = quoted.map(|text| text.split('…').next().unwrap_or_default());
            documented.extend(starts.map(|text| (level.to_owned(), text.to_owned())));
        }
    }
    documented
}

/// Whether an event may have this message: what is in braces there is any text here.
fn is_message(message: &str, start: &str) -> bool {
    let fixed = message.split('{').next().unwrap_or_default();
    match message.contains('{') {
        true => start.starts_with(fixed) || fixed.starts_with(start),
        false => message.starts_with(start),
    }
}

#[test]
fn every_event_is_in_the_tables_at_its_level_and_no_other_is() {
    let (mut events, documented) = (events(), documented());
    assert!(events.len() > 25, "{events:?}");
    events.retain(|(_, message)| !message.starts_with('{'));
    for (file, level, message) in PASSED_ON {
        assert!(read(file).contains(message), "{file} has {message:?}");
        events.push((level.to_owned(), message.to_owned()));
    }
    let is_same = |event: &Event, row: &Event| event.0 == row.0 && is_message(&event.1, &row.1);
    let missing: Vec<&Event> = events
        .iter()
        .filter(|event| !documented.iter().any(|row| is_same(event, row)))
        .collect();
    assert!(missing.is_empty(), "docs/logging.md lacks {missing:?}");
    let wrong: Vec<&Event> = documented
        .iter()
        .filter(|row| !events.iter().any(|event| is_same(event, row)))
        .collect();
    assert!(
        wrong.is_empty(),
        "no event is as docs/logging.md says: {wrong:?}"
    );
}
