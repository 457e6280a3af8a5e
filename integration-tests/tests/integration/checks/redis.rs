//! Redis and Valkey.

use integration_tests::servers::{self, Kind, Private};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::check;
use crate::redis_backend::ask;

#[test]
fn a_server_that_goes_back_to_snapshots_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &["--save", "3600 1"]);
    let checked = check(&[&server.url]);
    checked.names("redis-appendonly", "broken");
}

#[test]
fn a_server_that_forgets_all_at_a_restart_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    check(&[&server.url])
        .names("redis-appendonly", "weaker")
        .is_good();
}

#[test]
fn a_server_that_does_not_wait_for_its_disk_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &["--appendonly", "yes", "--appendfsync", "no"]);
    check(&[&server.url]).names("redis-appendfsync", "weaker");
}

#[test]
fn a_server_that_evicts_sessions_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let arguments = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let server = Private::start(Kind::Redis, &arguments);
    check(&[&server.url]).names("redis-eviction", "broken");
}

#[test]
fn a_replica_in_the_place_of_its_primary_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let primary = Private::start(Kind::Redis, &[]);
    let of = format!("127.0.0.1 {}", primary.port);
    let replica = Private::start(Kind::Redis, &["--replicaof", &of]);
    check(&[&replica.url]).names("read-only-server", "broken");
    let checked = check(&[&primary.url]);
    checked.names("asynchronous-replicas", "weaker");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_scripts_and_no_compare_and_set_are_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    // Redis before 8.4 compares by scripts only.
    let server = Private::start(Kind::Redis, &[]);
    let url = user(&server, "~* &* +@all -@scripting").await;
    let checked = check(&[&url]);
    checked.names("refused", "broken");
    assert!(
        checked.what("refused").contains("script"),
        "{:#}",
        checked.report
    );
    assert!(!checked.report.to_string().contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_the_user_may_not_run_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let url = user(&server, "~* &* +@all -zadd").await;
    let checked = check(&[&url]);
    checked.names("refused", "broken");
    let what = checked.what("refused").to_lowercase();
    assert!(what.contains("zadd"), "{what}");
}

/// Providers forbid `CONFIG`, and let a user have the keys of one prefix.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_user_may_not_read_is_told_and_no_finding_that_needs_attention() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let server = Private::start(Kind::Redis, &arguments);
    let url = user(&server, "~session:* &* +@all -config -info").await;
    let checked = check(&[&url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    let findings = checked.findings();
    assert!(
        findings.contains(&("unreadable-settings", "note")),
        "{findings:?}"
    );
    assert!(findings.contains(&("no-scratch", "note")), "{findings:?}");
}

async fn user(server: &Private, rules: &str) -> String {
    let rules = format!("ACL SETUSER app reset on >hunter2 {rules}");
    let words: Vec<&str> = rules.split_whitespace().collect();
    ask(&server.url, &words).await;
    format!("redis://app:hunter2@127.0.0.1:{}/", server.port)
}

/// The server is real; what stands in front of it adds two hours to the times that it tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let to = server.port;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(in_front(client, to));
        }
    });
    let url = format!("redis://127.0.0.1:{port}/");
    let checked = tokio::task::spawn_blocking(move || check(&[&url, "--settings-only"]));
    let checked = checked.await.expect("no panic");
    checked.names("clock-difference", "weaker");
    let what = checked.what("clock-difference");
    assert!(
        what.contains("ahead") && (what.contains("2 h") || what.contains("119 min")),
        "{what}"
    );
}

async fn in_front(client: TcpStream, port: u16) {
    let server = TcpStream::connect(("127.0.0.1", port)).await.expect("up");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut bytes = vec![0; 65_536];
    while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
        let answer = later(&bytes[..count]);
        if to_client.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The answer, two hours later if it is one to `TIME`.
fn later(answer: &[u8]) -> Vec<u8> {
    const START: &[u8] = b"*2\r\n$10\r\n";
    let seconds = answer.strip_prefix(START).and_then(|rest| rest.get(..10));
    let seconds = seconds.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
    let mut answer = answer.to_vec();
    if let Some(seconds) = seconds {
        let later = (seconds + 7_200).to_string();
        answer[START.len()..START.len() + 10].copy_from_slice(later.as_bytes());
    }
    answer
}

/// The oldest session is one that has expired two hours ago, by an index that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_no_reaper_serves_is_named() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    ask(
        &server.url,
        &["ZADD", "session:expiry:{03}.due", "1000", "gone"],
    )
    .await;
    let url = format!("{}?expiry_reports=true", server.url);
    check(&[&url, "--settings-only"]).names("no-reaper", "weaker");
}
