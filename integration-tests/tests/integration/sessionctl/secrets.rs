//! What the program never shows: passwords, tokens, values; and what a terminal would obey.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use integration_tests::servers;
use session_core::Description;

use super::{Place, Ran, program, run};
use crate::redis::user_without_scripts;

const PASSWORD: &str = "secret";
const VALUE: &str = "a-value-of-a-session";

/// A store whose URL has a password.
fn with_password() -> Option<Place> {
    let valkey = servers::valkey()?;
    let url = user_without_scripts(&valkey.url);
    assert!(url.contains(PASSWORD));
    let server = servers::Server {
        url,
        description: String::new(),
    };
    Place::at("Valkey", Some(&server), "prefix")
}

fn check(ran: &Ran, secrets: &[&str], what: &str) {
    for secret in secrets {
        let shown = ran.stdout.contains(secret) || ran.stderr.contains(secret);
        assert!(!shown, "{what} shows {secret:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_password_a_token_or_a_value() {
    let Some(place) = with_password() else { return };
    let session = place.sessions().await.start();
    session.insert("name", VALUE).expect("it fits");
    session.sign_in("ann").await.expect("signed in");
    let (token, id) = (
        session.token().expect("saved"),
        session.id().expect("saved"),
    );
    // The part after the id, which is no secret.
    let token = &token.expose()[16..];
    let secrets = [PASSWORD, VALUE, token];
    let other = Place::sqlite();
    for arguments in [
        &["migrate"][..],
        &["count"],
        &["list"],
        &["list", "--json"],
        &["show", id.as_str()],
        &["show", id.as_str(), "--json"],
        &["copy", "env:SESSION_STORE_URL", &other.url, "--verify"],
        &["watch", "--times", "1"],
        &["bench", "--sessions", "20"],
        &["destroy", "no-such-session"],
        &["reap"],
        &["destroy", id.as_str()],
        &["clear"],
        &["clear", "--yes"],
    ] {
        check(&place.run(arguments), &secrets, &arguments.join(" "));
    }
}

#[test]
fn a_wrong_url_shows_no_password() {
    for url in [
        "redis://ann:pass-word@127.0.0.1:1/",
        "mysql://ann:pass-word@127.0.0.1:1/db",
        "postgres://ann:pass-word@127.0.0.1:1/db?table=a b",
        "mongodb://ann:pass-word@127.0.0.1:1/?timeout=300ms&serverSelectionTimeoutMS=300",
        "oracle://ann:pass-word@127.0.0.1/",
        "redis://ann:pass-word?@127.0.0.1/",
        "mysql://ann:pass-word@127.0.0.1/db?prefix=pass-word",
        "pass-word",
    ] {
        let by_variable = run(program(&["count"]).env("SESSION_STORE_URL", url));
        let by_argument = run(&mut program(&["count", url]));
        let too_many = run(&mut program(&["count", url, url]));
        for ran in [by_variable, by_argument, too_many] {
            assert!(ran.code.is_some_and(|code| code != 0), "{url}: {ran:?}");
            if url != "pass-word" {
                check(&ran, &["pass-word@", ":pass-word"], url);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_on_the_command_line_is_taken_out_of_it() {
    let Some(place) = with_password() else { return };
    for arguments in [
        vec!["watch".to_owned(), place.url.clone()],
        vec![
            "destroy".to_owned(),
            "x".to_owned(),
            format!("--url={}", place.url),
        ],
    ] {
        let given: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = program(&given);
        let mut running = command.stdout(Stdio::null()).spawn().expect("it runs");
        let line = format!("/proc/{}/cmdline", running.id());
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let shown = fs::read(&line).unwrap_or_default();
            let shown = String::from_utf8_lossy(&shown);
            if !shown.contains(PASSWORD) && (shown.contains("env:") || shown.is_empty()) {
                break;
            }
            assert!(Instant::now() < patience, "still shown: {shown:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // It works all the same: until it is killed, or to its end.
        if given[0] == "watch" {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(running.try_wait().expect("asked").is_none(), "it watches");
        }
        let _ = running.kill();
        running.wait().expect("it has ended");
    }
    let counted = run(&mut program(&["count", &place.url]));
    assert_eq!(
        (counted.code, &*counted.stdout),
        (Some(0), "0\n"),
        "{counted:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_comes_from_a_file_a_variable_or_the_command_line() {
    let place = Place::sqlite();
    place.must(&["migrate"]);
    let directory = tempfile::TempDir::new().expect("a directory");
    let file = directory.path().join("url");
    fs::write(&file, format!("{}\n", place.url)).expect("written");
    let (file, at) = (file.display().to_string(), format!("@{}", file.display()));
    for arguments in [
        &["count", &place.url][..],
        &["count", &at],
        &["count", "--url-file", &file],
        &["count", "env:ANOTHER"],
    ] {
        let ran = run(program(arguments).env("ANOTHER", &place.url));
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    }
    for arguments in [&["count"][..], &["count", "env:NONE"], &["count", "@/none"]] {
        let ran = run(&mut program(arguments));
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
    }
    let memory = run(&mut program(&["count", "memory:"]));
    assert_eq!(memory.code, Some(2), "{memory:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_choose_does_not_reach_the_terminal_unescaped() {
    let place = Place::sqlite();
    let session = place.sessions().await.start();
    let hostile = "ann\u{1b}[2J\u{202e}\r\n";
    session.sign_in(hostile).await.expect("signed in");
    session
        .describe(Description::new().with_label(hostile))
        .expect("it fits");
    session.save().await.expect("saved");
    let id = session.id().expect("saved");
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", id.as_str()],
        &["show", id.as_str(), "--data"],
    ] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!ran.stdout.contains(is_bad), "{arguments:?}: {ran:?}");
    }
    assert_eq!(place.must(&["list"])[0]["owner"], hostile);
    assert_eq!(place.must(&["list", "--owner", hostile]).len(), 1);
}

#[test]
fn completions_and_pages_are_printed() {
    for (arguments, says) in [
        (&["completions", "bash"][..], "--dry-run"),
        (&["completions", "zsh"], "--dry-run"),
        (&["completions", "fish"], "dry-run"),
        (&["man"], "sessionctl"),
        (&["--help"], "Exit codes"),
    ] {
        let ran = run(&mut program(arguments));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains(says), "{arguments:?}");
    }
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().to_str().expect("UTF-8");
    assert_eq!(run(&mut program(&["man", "--dir", path])).code, Some(0));
    let page = fs::read_to_string(directory.path().join("sessionctl-copy.1"));
    assert!(page.expect("a page").contains("concurrency"));
}
