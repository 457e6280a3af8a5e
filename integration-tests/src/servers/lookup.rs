//! The search for a server: by URL, by Docker engine, by binary, in this order.

use std::io::Write;

use super::{Kind, Server, binary, docker, on_own_runtime, version};

/// A source of servers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Url,
    Docker,
    Binaries,
}

/// A server that was found.
pub(super) struct Found {
    pub(super) url: String,
    /// How it was found, for the report.
    pub(super) how: String,
}

/// Searches for a server and reports it; `None` if it is skipped.
pub(super) fn find(kind: Kind) -> Result<Option<Server>, String> {
    let name = kind.name();
    if is_skipped(name) {
        report(&format!("{name}: SKIPPED: SESSION_TEST_SKIP names it"));
        return Ok(None);
    }
    let found = look_everywhere(kind).map_err(|tried| advice(name, &url_variable(name), &tried))?;
    describe(name, kind, found).map(Some)
}

/// Searches for Valkey, which tests use besides Redis: by its URL or a binary, whatever the source
/// of the other servers.
pub(super) fn find_valkey() -> Result<Option<Server>, String> {
    let name = "valkey";
    if is_skipped(name) || is_skipped(Kind::Redis.name()) {
        report(&format!(
            "{name}: SKIPPED: SESSION_TEST_SKIP names it or redis"
        ));
        return Ok(None);
    }
    let variable = url_variable(name);
    let found = match url_in(&variable) {
        Ok(found) => found,
        Err(unset) => {
            let started = binary::start_shared_valkey();
            started.map_err(|why| advice(name, &variable, &[unset, why]))?
        }
    };
    describe(name, Kind::Redis, found).map(Some)
}

/// Reads the version of the server that was found, and reports it.
fn describe(name: &str, kind: Kind, found: Found) -> Result<Server, String> {
    let version = on_own_runtime(version::of(kind, &found.url));
    let version = version.map_err(|error| {
        let how = &found.how;
        format!("{name}: the server found by {how} does not answer: {error}")
    })?;
    let description = format!("{version}, {}", found.how);
    report(&format!("{name}: {description}"));
    Ok(Server {
        url: found.url,
        description,
    })
}

fn look_everywhere(kind: Kind) -> Result<Found, Vec<String>> {
    let only = only_source();
    let mut tried = Vec::new();
    for source in [Source::Url, Source::Docker, Source::Binaries] {
        if only.is_some_and(|only| only != source) {
            continue;
        }
        match look(kind, source) {
            Ok(found) => {
                for why in tried {
                    say(&format!("{}: not used: {why}", kind.name()));
                }
                return Ok(found);
            }
            Err(why) => tried.push(why),
        }
    }
    Err(tried)
}

fn look(kind: Kind, source: Source) -> Result<Found, String> {
    match source {
        Source::Url => url_in(&url_variable(kind.name())),
        Source::Docker => on_own_runtime(docker::start(kind)),
        Source::Binaries => binary::start_shared(kind),
    }
}

fn only_source() -> Option<Source> {
    match std::env::var("SESSION_TEST_SERVERS").ok()?.as_str() {
        "" => None,
        "url" => Some(Source::Url),
        "docker" => Some(Source::Docker),
        "binaries" => Some(Source::Binaries),
        other => panic!("SESSION_TEST_SERVERS is {other:?}: it can be url, docker or binaries"),
    }
}

fn is_skipped(name: &str) -> bool {
    let skip = std::env::var("SESSION_TEST_SKIP").unwrap_or_default();
    skip.split(',').any(|skipped| skipped.trim() == name)
}

/// Returns whether a test that needs the server of this name must return at once. Prints that it
/// does.
pub(super) fn is_test_skipped(name: &str) -> bool {
    let skipped = is_skipped(name);
    if skipped {
        say_not_run(name);
    }
    skipped
}

/// Says that the test on this thread is not run, for a test harness counts it as passed. A thread
/// without a name is the conformance suite's, which says so itself.
pub(super) fn say_not_run(name: &str) {
    let thread = std::thread::current();
    if let Some(test) = thread.name() {
        say(&format!("NOT RUN {test}: SESSION_TEST_SKIP names {name}"));
    }
}

fn url_variable(name: &str) -> String {
    format!("SESSION_TEST_{}_URL", name.to_uppercase())
}

fn url_in(variable: &str) -> Result<Found, String> {
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => Ok(Found {
            url,
            how: variable.to_owned(),
        }),
        _ => Err(format!("{variable} is not set")),
    }
}

fn advice(name: &str, variable: &str, tried: &[String]) -> String {
    format!(
        "no {name} server to test against:\n  {}\nSet {variable}, or start a Docker engine, or install a \
         server, or run ./test.sh, which does all of it; SESSION_TEST_SKIP={name} skips it.",
        tried.join("\n  ")
    )
}

/// Prints a line past the test harness's capture, and appends it to the file that collects such
/// lines.
pub(super) fn report(line: &str) {
    say(line);
    let line = format!("{line}\n");
    if let Some(path) = std::env::var_os("SESSION_TEST_REPORT") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        // If both fail, there is nowhere to report it.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Prints a line past the test harness's capture.
pub(super) fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
