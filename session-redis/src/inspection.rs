//! Settings of a Redis or Valkey server that weaken what a store promises.
//!
//! `INFO` tells most of them. Services that are run by a provider often forbid `CONFIG`.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use redis::Cmd;
use session_core::backend::Call;
use session_core::{ErrorKind, Finding, Inspection, Result, Severity};

use crate::RedisClient;
use crate::backend::RedisBackend;
use crate::command::{convert, send};
use crate::compare::scores;
use crate::expiry::SHARDS;

/// Redis' settings that `INFO` does not tell.
const SETTINGS: [&str; 3] = ["appendfsync", "save", "min-replicas-to-write"];

/// What the server tells of itself, as names and values.
type Facts = HashMap<String, String>;

pub(crate) async fn run(backend: &RedisBackend, call: &Call<RedisClient>) -> Result<Inspection> {
    let mut unreadable = Vec::new();
    let mut facts = match ask::<String>(call, redis::cmd("INFO")).await? {
        Some(info) => facts_of(&info),
        None => {
            unreadable.push("INFO");
            Facts::new()
        }
    };
    for name in SETTINGS {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg(name);
        match ask::<Facts>(call, get).await? {
            Some(settings) => facts.extend(settings),
            None => unreadable.push(name),
        }
    }
    let mut found = Inspection::of(product(&facts));
    found.extend(role(&facts));
    found.extend(eviction(&facts));
    found.extend(persistence(&facts));
    found.extend(replication(&facts));
    if backend.is_cluster {
        found.add(Finding::new(
            "one-node",
            Severity::Note,
            "the settings are those of one node of the cluster",
            "The other nodes may have others",
            "check each node by a URL of its own, and set all alike",
        ));
    }
    found.add_unreadable(&unreadable);
    let asked = SystemTime::now();
    let time = send(call, &redis::cmd("TIME")).await?.answer;
    let (seconds, micros): (u64, u64) = convert(Some(time))?;
    found.compare_clock(
        asked,
        Duration::from_secs(seconds) + Duration::from_micros(micros),
    );
    found.check_overdue(overdue(backend, call, seconds).await?);
    Ok(found)
}

/// The answer to a command; `None` if the user may not send it, or the server does not know it.
async fn ask<T: redis::FromRedisValue>(
    call: &Call<RedisClient>,
    command: Cmd,
) -> Result<Option<T>> {
    match send(call, &command).await {
        Ok(sent) => convert(Some(sent.answer)).map(Some),
        Err(error) if [ErrorKind::Misconfigured, ErrorKind::Refused].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn facts_of(info: &str) -> Facts {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn product(facts: &Facts) -> String {
    let told = |name: &str| facts.get(name).map(String::as_str);
    match (told("valkey_version"), told("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "Redis or Valkey of an unknown version".to_owned(),
    }
}

fn number(facts: &Facts, name: &str) -> u64 {
    let value = facts.get(name).and_then(|value| value.parse().ok());
    value.unwrap_or_default()
}

fn role(facts: &Facts) -> Option<Finding> {
    let is_replica = facts.get("role").is_some_and(|role| role == "slave");
    is_replica.then(|| Finding::read_only("the server is a replica"))
}

/// Any policy but `noeviction` takes sessions, because each has a time to live, and the indexes of
/// owners, without which a session is missed by "log out everywhere".
fn eviction(facts: &Facts) -> Option<Finding> {
    let policy = facts.get("maxmemory_policy")?;
    if policy == "noeviction" {
        return None;
    }
    let (severity, when) = match number(facts, "maxmemory") {
        0 => (Severity::Weaker, "Once maxmemory is set and reached"),
        _ => (Severity::Broken, "When maxmemory is reached"),
    };
    Some(Finding::new(
        "redis-eviction",
        severity,
        format!("maxmemory-policy is {policy}"),
        format!(
            "{when}, the server removes live sessions, and owner indexes, without which \"log out \
             everywhere\" misses sessions"
        ),
        "set maxmemory-policy noeviction: writes then fail, and nothing is lost; give sessions a server \
         of their own if others need a cache",
    ))
}

/// Without the append-only file, a crash goes back to the last snapshot, or to nothing.
fn persistence(facts: &Facts) -> Option<Finding> {
    let appends = facts.get("aof_enabled")? != "0";
    if appends {
        return sync(facts.get("appendfsync")?);
    }
    let remedy = "set appendonly yes, and appendfsync always or everysec";
    // Where it is not told, the default is to make snapshots.
    let snapshots = facts.get("save").is_none_or(|save| !save.is_empty());
    Some(match snapshots {
        true => Finding::new(
            "redis-appendonly",
            Severity::Broken,
            "appendonly is no, and the server makes snapshots",
            "A crash of the server goes back to the last snapshot, which is minutes or an hour old: \
             sessions that were signed out since are there again, and new ones are lost",
            remedy,
        ),
        false => Finding::new(
            "redis-appendonly",
            Severity::Weaker,
            "appendonly is no, and the server makes no snapshots",
            "A restart ends all sessions: all users sign in again. No ended session comes back",
            remedy,
        ),
    })
}

fn sync(appendfsync: &str) -> Option<Finding> {
    let (severity, lost) = match appendfsync {
        "no" => (Severity::Weaker, "about 30 seconds"),
        "everysec" => (Severity::Note, "up to two seconds"),
        _ => return None,
    };
    Some(Finding::new(
        "redis-appendfsync",
        severity,
        format!("appendfsync is {appendfsync}"),
        format!(
            "A power failure undoes {lost} of acknowledged writes: a session that was signed out may be \
             there again. A crash of the server alone undoes nothing"
        ),
        "set appendfsync always if that is too much; it makes each write wait for the disk",
    ))
}

fn replication(facts: &Facts) -> Option<Finding> {
    let replicas = number(facts, "connected_slaves");
    let waits_for = facts.get("min-replicas-to-write")?;
    (replicas > 0 && waits_for == "0").then(|| {
        Finding::new(
            "asynchronous-replicas",
            Severity::Weaker,
            format!("{replicas} replicas follow, and min-replicas-to-write is 0"),
            "A failover undoes the writes that had not reached the replica: a session that was signed \
             out is there again. A primary that is cut off goes on taking writes that are lost",
            "set min-replicas-to-write 1 and min-replicas-max-lag, which bounds what is lost",
        )
    })
}

/// How long the entry of the expiry index that is due first has waited, at `now` in seconds; zero
/// without one.
async fn overdue(backend: &RedisBackend, call: &Call<RedisClient>, now: u64) -> Result<Duration> {
    let mut oldest = Duration::ZERO;
    if backend.expiry.is_none() {
        return Ok(oldest);
    }
    for shard in 0..SHARDS {
        let mut first = redis::cmd("ZRANGE");
        first.arg(backend.keys.expiry_due(shard)).arg(0).arg(0);
        let answer = send(call, first.arg("WITHSCORES")).await?.answer;
        if let Some(due) = scores(answer)?.pop().filter(|due| due.is_finite()) {
            let waits = now.saturating_sub((due / 1_000.0) as u64);
            oldest = oldest.max(Duration::from_secs(waits));
        }
    }
    Ok(oldest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        pairs.iter().map(owned).collect()
    }

    fn severity(finding: Option<Finding>) -> Option<Severity> {
        finding.map(|finding| finding.severity)
    }

    #[test]
    fn facts_are_read_from_info() {
        let facts = facts_of("# Server\r\nredis_version:7.0.15\r\nrole:slave\r\n\r\n");
        assert_eq!(product(&facts), "Redis 7.0.15");
        assert_eq!(severity(role(&facts)), Some(Severity::Broken));
    }

    #[test]
    fn eviction_is_broken_where_there_is_a_limit() {
        let of = |policy, max| {
            severity(eviction(&facts(&[
                ("maxmemory_policy", policy),
                ("maxmemory", max),
            ])))
        };
        assert_eq!(of("allkeys-lru", "1000"), Some(Severity::Broken));
        assert_eq!(of("volatile-ttl", "1000"), Some(Severity::Broken));
        assert_eq!(of("allkeys-lru", "0"), Some(Severity::Weaker));
        assert_eq!(of("noeviction", "1000"), None);
    }

    #[test]
    fn a_snapshot_brings_ended_sessions_back_and_nothing_does_not() {
        let of = |pairs: &[_]| severity(persistence(&facts(pairs)));
        let no = ("aof_enabled", "0");
        assert_eq!(of(&[no, ("save", "3600 1")]), Some(Severity::Broken));
        assert_eq!(of(&[no]), Some(Severity::Broken));
        assert_eq!(of(&[no, ("save", "")]), Some(Severity::Weaker));
        let yes = ("aof_enabled", "1");
        assert_eq!(of(&[yes, ("appendfsync", "no")]), Some(Severity::Weaker));
        assert_eq!(
            of(&[yes, ("appendfsync", "everysec")]),
            Some(Severity::Note)
        );
        assert_eq!(of(&[yes, ("appendfsync", "always")]), None);
    }

    #[test]
    fn replicas_that_are_not_waited_for_are_told() {
        let of = |replicas, min| {
            severity(replication(&facts(&[
                ("connected_slaves", replicas),
                ("min-replicas-to-write", min),
            ])))
        };
        assert_eq!(of("1", "0"), Some(Severity::Weaker));
        assert_eq!(of("1", "1"), None);
        assert_eq!(of("0", "0"), None);
    }
}
