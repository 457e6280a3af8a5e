//! Where a server comes from: a URL, a Docker engine, a binary, in this order.

use std::io::Write;

use super::{Kind, Server, binary, docker, on_own_runtime, version};

/// A place to look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Url,
    Docker,
    Binaries,
}

/// A server found somewhere.
pub(super) struct Found {
    pub(super) url: String,
    /// How it was found, for the report.
    pub(super) how: String,
}

/// Looks for a server, and reports what it is; `None` if it shall be skipped.
pub(super) fn find(kind: Kind) -> Result<Option<Server>, String> {
    let name = kind.name();
    if is_skipped(name) {
        report(&format!("{name}: SKIPPED, for SESSION_TEST_SKIP names it"));
        return Ok(None);
    }
    let found = look_everywhere(kind).map_err(|tried| advice(name, &url_variable(name), &tried))?;
    describe(name, kind, found).map(Some)
}

/// Looks for Valkey, which the tests run on besides Redis: by its URL, or a binary whatever the
/// others come from.
pub(super) fn find_valkey() -> Result<Option<Server>, String> {
    let name = "valkey";
    if is_skipped(name) || is_skipped(Kind::Redis.name()) {
        report(&format!(
            "{name}: SKIPPED, for SESSION_TEST_SKIP names it or redis"
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

/// Asks the server that was found what it is, and reports it.
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
    let only = only_place();
    let mut tried = Vec::new();
    for place in [Place::Url, Place::Docker, Place::Binaries] {
        if only.is_some_and(|only| only != place) {
            continue;
        }
        match look(kind, place) {
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

fn look(kind: Kind, place: Place) -> Result<Found, String> {
    match place {
        Place::Url => url_in(&url_variable(kind.name())),
        Place::Docker => on_own_runtime(docker::start(kind)),
        Place::Binaries => binary::start_shared(kind),
    }
}

fn only_place() -> Option<Place> {
    match std::env::var("SESSION_TEST_SERVERS").ok()?.as_str() {
        "" => None,
        "url" => Some(Place::Url),
        "docker" => Some(Place::Docker),
        "binaries" => Some(Place::Binaries),
        other => panic!("SESSION_TEST_SERVERS is {other:?}: it can be url, docker or binaries"),
    }
}

fn is_skipped(name: &str) -> bool {
    let skip = std::env::var("SESSION_TEST_SKIP").unwrap_or_default();
    skip.split(',').any(|skipped| skipped.trim() == name)
}

/// Whether a test that needs what has this name shall return at once. Says so if it shall.
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
         server, or run ./test.sh, which does it all; SESSION_TEST_SKIP={name} goes without.",
        tried.join("\n  ")
    )
}

/// Says a line past the test harness's capturing, and in the file that collects such lines.
pub(super) fn report(line: &str) {
    say(line);
    let line = format!("{line}\n");
    if let Some(path) = std::env::var_os("SESSION_TEST_REPORT") {
        let file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path);
        // If neither takes it there is nobody to tell.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Says a line past the test harness's capturing.
pub(super) fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
