//! The servers of Redis' tests: a cluster with replicas, sentinels, a user without scripts, TLS with
//! client certificates.

use std::collections::BTreeMap;
use std::process::Command;

use integration_tests::servers::{
    self, Authority, Certificate, ClientCertificates, Kind, Passwords, SentinelGroup,
    valkey_cluster,
};
use session_redis::redis::{self, FromRedisValue, RedisResult};

/// Sends one command on a connection of its own.
fn ask<T: FromRedisValue>(url: &str, words: &[&str]) -> RedisResult<T> {
    let mut connection = redis::Client::open(url)?.get_connection()?;
    redis::Cmd::new().arg(words).query(&mut connection)
}

#[test]
fn each_primary_of_the_valkey_cluster_has_a_replica_that_follows_it() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = valkey_cluster();
    let mut followers: BTreeMap<String, usize> = BTreeMap::new();
    for url in cluster.urls() {
        let server: String = ask(&url, &["INFO", "server"]).expect("up");
        assert!(server.contains("valkey_version:9."), "{server}");
        let info: String = ask(&url, &["INFO", "replication"]).expect("up");
        if info.contains("role:slave") {
            assert!(info.contains("master_link_status:up"), "{info}");
            let port = info.lines().find(|line| line.starts_with("master_port:"));
            *followers.entry(port.expect("one").to_owned()).or_default() += 1;
        }
    }
    let counts: Vec<usize> = followers.into_values().collect();
    assert_eq!(counts, [1; 3]);
}

#[test]
fn sentinels_promote_the_replica_on_request_and_when_the_primary_is_killed() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let with = Passwords {
        servers: "hunter2",
        sentinels: "hunter3",
    };
    for (binary, passwords) in [("redis-server", None), ("valkey-server", Some(with))] {
        let mut group = SentinelGroup::start(binary, passwords);
        let [first, second] = [0, 1].map(|n| group.servers[n].port);
        assert_eq!(group.primary().map(|server| server.port), Some(first));
        assert_eq!(group.addresses().len(), 3);
        assert_eq!(group.service(), "sessions");

        assert_eq!(group.failover(), second);
        let put = |group: &SentinelGroup, key: &str| {
            ask::<()>(&group.primary().expect("one").url, &["SET", key, "x"])
        };
        put(&group, "a").expect("a primary");
        assert_eq!(group.settle(), second);
        let readonly = ask::<()>(&group.servers[0].url, &["SET", "b", "x"]);
        assert!(readonly.is_err(), "{binary}: a replica");

        assert_eq!(group.kill_primary(), first, "{binary}");
        put(&group, "c").expect("a primary");
        let kept: u8 = ask(&group.servers[0].url, &["EXISTS", "a", "c"]).expect("up");
        assert_eq!(kept, 2, "what was copied is there");
        group.servers[1].restart();
        assert_eq!(group.settle(), first);

        if passwords.is_some() {
            for server in group.servers.iter().chain(&group.sentinels) {
                let bare = format!("redis://127.0.0.1:{}/", server.port);
                let refused = ask::<String>(&bare, &["INFO"]).expect_err("no password");
                assert!(refused.to_string().contains("NOAUTH"), "{refused}");
            }
        }
    }
}

#[test]
fn the_user_without_scripts_may_run_everything_but_scripts() {
    let Some(url) = servers::valkey_without_scripts() else {
        return;
    };
    for words in [
        &["EVAL", "return 1", "0"][..],
        &["SCRIPT", "LOAD", "return 1"],
        &["FCALL", "f", "0"],
    ] {
        let refused = ask::<redis::Value>(&url, words).expect_err("a script");
        assert!(refused.to_string().contains("no permissions"), "{refused}");
    }
    let key = "the_user_without_scripts";
    let set = |words: &[&str]| ask::<Option<String>>(&url, words).expect("allowed");
    set(&["SET", key, "one"]);
    assert!(set(&["SET", key, "three", "IFEQ", "two"]).is_none());
    assert!(set(&["SET", key, "two", "IFEQ", "one"]).is_some());
    let client = redis::Client::open(url.as_str()).expect("a URL");
    let mut connection = client.get_connection().expect("up");
    let mut both = redis::pipe();
    both.atomic().get(key).del(key);
    let (found, removed): (String, u8) = both.query(&mut connection).expect("allowed");
    assert_eq!((found.as_str(), removed), ("two", 1));
}

#[test]
fn a_redis_that_requires_client_certificates_takes_those_of_its_authority_alone() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let [ours, another] = [Authority::new(), Authority::new()];
    let (_server, port) = ours.redis(ClientCertificates::Required);
    let (_open, unasked) = ours.redis(ClientCertificates::Unasked);
    let [client, stranger] = [&ours, &another].map(|by| by.issue("client", "DNS:client"));
    assert!(answers(port, &ours, Some(&client)));
    assert!(!answers(port, &ours, Some(&stranger)), "a stranger");
    assert!(!answers(port, &ours, None), "no certificate");
    assert!(!answers(port, &another, Some(&client)), "another server");
    assert!(answers(unasked, &ours, None));
}

/// Whether the Redis at this port answers a client that trusts the authority.
fn answers(port: u16, trusted: &Authority, client: Option<&Certificate>) -> bool {
    let mut cli = Command::new("redis-cli");
    cli.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--tls"]);
    cli.arg("--cacert").arg(trusted.file());
    if let Some(client) = client {
        cli.arg("--cert").arg(&client.certificate);
        cli.arg("--key").arg(&client.key);
    }
    let output = cli.arg("PING").output().expect("redis-cli is on PATH");
    output.stdout.starts_with(b"PONG")
}
