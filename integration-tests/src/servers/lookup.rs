//! The search for a server: by URL, by Docker engine, by binary, in this order.

use std::io::Write;

use super::product::Product;
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

/// Searches for a server and reports it; `None` if it, or all of its kind, is skipped.
pub(super) fn find(product: &Product) -> Result<Option<Server>, String> {
    let name = product.name;
    for skipped in [name, product.kind.name()] {
        if is_skipped(skipped) {
            report(&format!(
                "{name}: SKIPPED: SESSION_TEST_SKIP names {skipped}"
            ));
            return Ok(None);
        }
    }
    let found = look_everywhere(product).map_err(|tried| advice(product, &tried))?;
    describe(name, product.kind, found).map(Some)
}

/// The Redis or Valkey server at `place`: a URL, or the path of a binary to start.
pub(super) fn redis_at(place: &str) -> Result<Server, String> {
    let found = if place.contains("://") {
        Found {
            url: place.to_owned(),
            how: "a URL".to_owned(),
        }
    } else {
        binary::start_shared(Kind::Redis, &[place])?
    };
    describe(Kind::Redis.name(), Kind::Redis, found)
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

fn look_everywhere(product: &Product) -> Result<Found, Vec<String>> {
    let only = only_source();
    let mut tried = Vec::new();
    for source in [Source::Url, Source::Docker, Source::Binaries] {
        let is_asked = match product.image {
            Some(_) => only.is_none_or(|only| only == source),
            // It comes from a binary whatever the source of the others.
            None => source != Source::Docker,
        };
        if !is_asked {
            continue;
        }
        match look(product, source) {
            Ok(found) => {
                if only.is_none() {
                    for why in tried {
                        say(&format!("{}: not used: {why}", product.name));
                    }
                }
                return Ok(found);
            }
            Err(why) => tried.push(why),
        }
    }
    Err(tried)
}

fn look(product: &Product, source: Source) -> Result<Found, String> {
    match source {
        Source::Url => url_in(&product.variable("URL")),
        Source::Docker => on_own_runtime(docker::start(product)),
        Source::Binaries => binary::start_shared(product.kind, product.binaries),
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

fn url_in(variable: &str) -> Result<Found, String> {
    match std::env::var(variable) {
        Ok(url) if !url.is_empty() => Ok(Found {
            url,
            how: variable.to_owned(),
        }),
        _ => Err(format!("{variable} is not set")),
    }
}

fn advice(product: &Product, tried: &[String]) -> String {
    let (name, variable) = (product.name, product.variable("URL"));
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
