//! Expiries that are told, from the expiry index.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, Event, Lifetime, Observer, Owner, Reaper, SessionDirectory, SessionId, SessionStore,
    Sessions, Timeout,
};
use session_redis::redis::aio::ConnectionManager;
use session_redis::redis::{self, Value};
use session_redis::{ErrorKind, RedisBackend, RedisStore};

use super::proxy::Proxy;
use super::{MILLI, SECOND, ask, draft, id, number, owner};
use crate::redis::user_without_scripts;

/// Counts what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<SessionId, Vec<Option<Owner>>>>>);

impl Observer for Told {
    fn expired(&self, event: Event<'_>) {
        let mut told = self.0.lock().expect("whole");
        let owners = told.entry(event.id.clone()).or_default();
        owners.push(event.owner.cloned());
    }
}

impl Told {
    fn len(&self) -> usize {
        self.0.lock().expect("whole").len()
    }

    fn take(&self) -> BTreeMap<SessionId, Vec<Option<Owner>>> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }
}

pub(super) async fn store(url: &str) -> RedisStore {
    let builder = RedisStore::builder().expiry_reports(true);
    builder.connect(url).await.expect("set up")
}

async fn manager(url: &str, told: &Told) -> Sessions {
    let sessions = Sessions::builder(store(url).await).observer(told.clone());
    sessions.build().expect("good rules")
}

fn living(limit: Duration) -> Draft {
    Draft::new("{}", Lifetime::idle(limit))
}

/// Creates so many sessions of these limits and this owner.
async fn create(store: &RedisStore, count: usize, limit: Duration, whose: &str) -> Vec<SessionId> {
    let creates = stream::iter(0..count).map(|n| {
        let (id, store) = (id(), store.clone());
        // Spread over half of the limit.
        let limit = limit.mul_f64(1.0 - 0.5 * n as f64 / count as f64);
        let draft = living(limit).with_owner(owner(whose));
        async move {
            assert!(store.create(&id, &draft).await.expect("up").is_done());
            id
        }
    });
    creates.buffer_unordered(128).collect().await
}

async fn reap_all(sessions: &Sessions) -> usize {
    let mut count = 0;
    loop {
        match sessions.reap(100).await.expect("up") {
            0 => return count,
            reaped => count += reaped,
        }
    }
}

/// The keys of the index that hold something.
pub(super) async fn index_keys(url: &str) -> Vec<String> {
    let keys = ask(url, &["KEYS", "session:expiry:*"]).await;
    redis::from_redis_value(keys).expect("keys")
}

/// Lets a minute pass for claims.
async fn let_claims_lapse(url: &str) {
    for key in index_keys(url).await {
        if key.ends_with(".claims") {
            let members = ask(url, &["ZRANGE", &key, "0", "-1"]).await;
            let members: Vec<String> = redis::from_redis_value(members).expect("claims");
            for member in members {
                number(url, &["ZADD", &key, "1", &member]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_expiries_among_live_sessions_are_each_told_once_in_time() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let told = Told::default();
    let writer = store(&server.url).await;
    create(&writer, 100_000, 7_200 * SECOND, "live").await;
    let mut reapers = Vec::new();
    for _ in 0..3 {
        let sessions = manager(&server.url, &told).await;
        reapers.push(Reaper::spawn_with(sessions, SECOND, 500).expect("it has a directory"));
    }
    let brief = create(&writer, 10_000, 3 * SECOND, "brief").await;
    // The last ones live half as long.
    let last = Instant::now() + SECOND * 3 / 2;
    // A pause of a reaper is at most one and a half intervals.
    let limit = last + SECOND * 3 / 2 + 5 * SECOND;
    while told.len() < 10_000 && Instant::now() < limit {
        tokio::time::sleep(20 * MILLI).await;
    }
    let late = Instant::now().saturating_duration_since(last);
    assert_eq!(told.len(), 10_000, "told {late:?} after the last deadline");
    // Nothing more comes, and nothing twice.
    tokio::time::sleep(3 * SECOND).await;
    for reaper in reapers {
        reaper.stop().await;
    }
    let told = told.take();
    for id in &brief {
        assert_eq!(told.get(id), Some(&vec![Some(owner("brief"))]), "{id:?}");
    }
    assert_eq!(told.len(), brief.len(), "no other");
    let_claims_lapse(&server.url).await;
    let again = Told::default();
    assert_eq!(reap_all(&manager(&server.url, &again).await).await, 0);
}

const URL: &str = "SESSION_REDIS_TEST_REAPER";

/// Says each expiry, slowly.
struct Slow;

impl Observer for Slow {
    fn expired(&self, event: Event<'_>) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "expired {}", event.id.as_str()).expect("read by the test");
        std::thread::sleep(2 * MILLI);
    }
}

/// Reaps until it is killed.
#[tokio::test]
#[ignore = "a process of another test"]
async fn reaps_until_it_is_killed() {
    let url = std::env::var(URL).expect("set");
    let sessions = Sessions::builder(store(&url).await).observer(Slow);
    let sessions = sessions.build().expect("good rules");
    loop {
        sessions.reap(100).await.expect("up");
    }
}

/// The ids that a process has told before it was killed, in mid-batch.
async fn told_by_a_killed_process(url: &str, count: usize) -> Vec<SessionId> {
    let name = "redis_backend::expiry::reaps_until_it_is_killed";
    let mut process = Command::new(std::env::current_exe().expect("this test"))
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env(URL, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let work = move || {
        let mut told = Vec::new();
        for line in lines {
            let line = line.expect("text");
            let Some((_, id)) = line.split_once("expired ") else {
                continue;
            };
            told.push(SessionId::from_stored(id).expect("an id"));
            if told.len() == count {
                process.kill().expect("running");
            }
        }
        process.wait().expect("ended");
        told
    };
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_has_claimed_is_told_by_others() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let created = create(&store(&server.url).await, 1_000, 2 * MILLI, "ann").await;
        tokio::time::sleep(5 * MILLI).await;
        // In the middle of the third batch.
        let before = told_by_a_killed_process(&server.url, 250).await;
        assert!(before.len() >= 250, "{}", before.len());
        let told = Told::default();
        let others = [
            manager(&server.url, &told).await,
            manager(&server.url, &told).await,
        ];
        let (one, two) = tokio::join!(reap_all(&others[0]), reap_all(&others[1]));
        assert!(one + two < 1_000, "a claim is valid for a minute");
        let unclaimed = told.len();
        let_claims_lapse(&server.url).await;
        tokio::join!(reap_all(&others[0]), reap_all(&others[1]));
        let told = told.take();
        assert!(told.len() > unclaimed, "what was claimed");
        for (id, owners) in &told {
            assert_eq!(owners, &[Some(owner("ann"))], "{id:?}");
        }
        for id in &created {
            assert!(told.contains_key(id) || before.contains(id), "{id:?}");
        }
        let twice = before.iter().filter(|id| told.contains_key(id)).count();
        assert!(twice < 100, "only what was not confirmed: {twice}");
        assert_eq!(index_keys(&server.url).await, [""; 0], "nothing is left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_deadline_and_owner_count() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let told = Told::default();
        let sessions = manager(&server.url, &told).await;
        let new = || {
            let session = sessions.start();
            session.insert("n", 1).expect("JSON");
            session
        };
        let lifetime = |millis: u32| Lifetime::idle(millis * MILLI);
        // One is used, one is signed in, one gets less time, one ends otherwise, one lives.
        let all = [new(), new(), new(), new(), new()];
        let [used, signed_in, shortened, ended, lives] = &all;
        for (session, millis) in all.iter().zip([300, 300, 60_000, 300, 60_000]) {
            session.set_lifetime(lifetime(millis)).expect("good");
            session.save().await.expect("saved");
        }
        let ids = all.each_ref().map(|session| session.id().expect("stored"));
        signed_in.sign_in(owner("ann")).await.expect("signed in");
        shortened.set_lifetime(lifetime(300)).expect("good");
        shortened.save().await.expect("saved");
        ended.destroy().await.expect("ended");
        let store = sessions.store();
        let longer = Timeout::After(1_500 * MILLI);
        store.touch(&ids[0], longer).await.expect("up");
        tokio::time::sleep(400 * MILLI).await;
        reap_all(&sessions).await;
        let expected = [
            (ids[1].clone(), vec![Some(owner("ann"))]),
            (ids[2].clone(), vec![None]),
        ];
        assert_eq!(
            told.take(),
            BTreeMap::from(expected),
            "signed in, shortened"
        );
        tokio::time::sleep(1_300 * MILLI).await;
        reap_all(&sessions).await;
        let expected = [(ids[0].clone(), vec![None])];
        assert_eq!(told.take(), BTreeMap::from(expected), "used");
        assert!(store.load(&ids[4]).await.expect("up").is_some());
        let _ = (used, lives);
        sessions
            .store()
            .directory()
            .expect("it lists")
            .clear()
            .await
            .expect("cleared");
        assert_eq!(index_keys(&server.url).await, [""; 0], "cleared too");
    }
}

/// As after a new release: this process does not know how long others' sessions live.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_limit_that_another_process_limits_is_told() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let told = Told::default();
        let (id, unlimited) = (id(), Lifetime::new(Timeout::Never, Timeout::Never));
        let created = Draft::new("{}", unlimited).with_owner(owner("ann"));
        let earlier = store(&server.url).await;
        assert!(earlier.create(&id, &created).await.expect("up").is_done());
        let sessions = manager(&server.url, &told).await;
        let later = store(&server.url).await;
        let record = later.load(&id).await.expect("up").expect("it lives");
        let limited = living(300 * MILLI).with_owner(owner("ann"));
        let saved = later.save(&id, &limited, &record.version).await;
        assert!(saved.expect("up").is_done());
        tokio::time::sleep(400 * MILLI).await;
        reap_all(&sessions).await;
        let expected = [(id, vec![Some(owner("ann"))])];
        assert_eq!(told.take(), BTreeMap::from(expected));
    }
}

/// A create writes the entries before the session, so a clear may meet the entries alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_clear_keeps_the_entries_of_a_session_that_is_being_created() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = store(&server.url).await;
        create(&store, 30, 600 * SECOND, "ann").await;
        let (url, far) = (&*server.url, "9007199254740000");
        let mut with_pending = Vec::new();
        for pattern in ["session:owner:*", "session:expiry:*.due"] {
            let keys = ask(url, &["KEYS", pattern]).await;
            let mut keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
            let key = keys.pop().expect("an index");
            number(url, &["ZADD", &key, far, "pending"]).await;
            with_pending.push(key);
        }
        assert_eq!(store.clear().await.ok(), Some(30));
        for key in &with_pending {
            let left = ask(url, &["ZRANGE", key, "0", "-1"]).await;
            let left: Vec<String> = redis::from_redis_value(left).expect("entries");
            assert_eq!(left, ["pending"], "{key}");
        }
        assert_eq!(index_keys(url).await, with_pending[1..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lane_enters_and_removes_what_the_other_one_reports() {
    if servers::valkey().is_none() {
        return;
    }
    let server = Private::valkey(&[]);
    let url = user_without_scripts(&server.url);
    let compare = store(&url).await;
    // The connection is not the store's own, so it uses scripts.
    let client = redis::Client::open(&*server.url).expect("a good URL");
    let manager = ConnectionManager::new(client).await.expect("it is up");
    let builder = RedisStore::builder().expiry_reports(true);
    let scripts = builder.build(manager).await.expect("set up");
    for (name, lane) in [("compare", &compare), ("scripts", &scripts)] {
        let found = RedisBackend::lane(lane).await.expect("connected");
        assert_eq!(found, name);
    }
    for (one, other) in [(&compare, &scripts), (&scripts, &compare)] {
        let created = async |limit: Duration| {
            let (id, draft) = (id(), living(limit).with_owner(owner("ann")));
            assert!(one.create(&id, &draft).await.expect("up").is_done());
            (id, draft)
        };
        let saved = async |id: &SessionId, old: &Draft, limit: Duration| {
            let draft = living(limit).with_owner(owner("ann"));
            let saved = other.save(id, &draft, &old.stamp.into()).await;
            assert!(saved.expect("up").is_done());
        };
        let (lives, first) = created(60 * SECOND).await;
        saved(&lives, &first, 60 * SECOND).await;
        let (shortened, first) = created(60 * SECOND).await;
        saved(&shortened, &first, SECOND).await;
        let (used, first) = created(2 * SECOND).await;
        saved(&used, &first, 2 * SECOND).await;
        let (ended, _) = created(2 * SECOND).await;
        assert!(other.destroy(&ended, None).await.expect("up").is_some());
        let touched = other.touch(&used, Timeout::After(60 * SECOND)).await;
        assert!(touched.expect("up").is_some());
        tokio::time::sleep(2_100 * MILLI).await;
        let reaped = other.reap(10).await.expect("up");
        let ids: Vec<_> = reaped.iter().map(|ended| &ended.id).collect();
        assert_eq!(ids, [&shortened]);
        assert_eq!(reaped[0].owner, Some(owner("ann")));
        let age = reaped[0].age.expect("known");
        assert!((2 * SECOND..60 * SECOND).contains(&age), "{age:?}");
        other.confirm_reaped(&reaped).await.expect("up");
        for id in [&lives, &used] {
            assert!(one.destroy(id, None).await.expect("up").is_some());
        }
        tokio::time::sleep(100 * MILLI).await;
        assert_eq!(index_keys(&server.url).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_longer_the_primary_ends_nothing() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = store(&server.url).await;
        create(&store, 3, 2 * MILLI, "ann").await;
        tokio::time::sleep(5 * MILLI).await;
        ask(&server.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
        let error = store.reap(10).await.expect_err("a replica");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        ask(&server.url, &["REPLICAOF", "NO", "ONE"]).await;
        assert_eq!(store.reap(10).await.expect("up").len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_forgets_no_expiry() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = store(&server.url).await;
        create(&store, 3, 2 * MILLI, "ann").await;
        tokio::time::sleep(5 * MILLI).await;
        for lapses in [false, true] {
            if lapses {
                // Some were claimed and not told.
                store.reap(2).await.expect("up");
                let_claims_lapse(&server.url).await;
            }
            ask(&server.url, &["CONFIG", "SET", "maxmemory", "1"]).await;
            let error = store.reap(10).await.expect_err("full");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            ask(&server.url, &["CONFIG", "SET", "maxmemory", "0"]).await;
        }
        assert_eq!(store.reap(10).await.expect("up").len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_a_demoted_server_lacks_is_looked_for_at_the_primary() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let [one, two] = [(); 2].map(|()| Private::start(Kind::Redis, &[]));
    let proxy = Proxy::start(one.port).await;
    let relayed = store(&proxy.url()).await;
    let (id, draft) = (id(), living(3_600 * SECOND));
    for server in [&one, &two] {
        let created = store(&server.url).await.create(&id, &draft).await;
        assert!(created.expect("up").is_done());
        for key in index_keys(&server.url).await {
            if key.ends_with(".due") {
                number(&server.url, &["ZADD", &key, "1", id.as_str()]).await;
            }
        }
    }
    let key = format!("session:{{{}}}", id.as_str());
    assert_eq!(number(&one.url, &["DEL", &key]).await, 1);
    ask(&one.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
    proxy.lead_to(two.port);
    assert_eq!(relayed.reap(10).await.expect("up"), []);
    assert!(relayed.load(&id).await.expect("up").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_refused_leaves_no_entry() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for (server, right) in [
        (Private::start(Kind::Redis, &[]), "-getrange"),
        (Private::valkey(&[]), "-set"),
    ] {
        let store = store(&server.url).await;
        ask(&server.url, &["ACL", "SETUSER", "default", right]).await;
        let error = store.create(&id(), &draft()).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        tokio::time::sleep(100 * MILLI).await;
        assert_eq!(index_keys(&server.url).await, [""; 0]);
        for right in [
            "zadd", "zrange", "zrem", "hset", "hmget", "hdel", "pttl", "time",
        ] {
            let rules = [
                "ACL", "SETUSER", "app", "reset", "on", ">secret", "~*", "&*", "+@all",
            ];
            let less = format!("-{right}");
            ask(&server.url, &[&rules[..], &[less.as_str()]].concat()).await;
            let url = format!("redis://app:secret@127.0.0.1:{}/", server.port);
            let connected = RedisStore::builder().expiry_reports(true).connect(&url);
            let error = connected.await.expect_err(right);
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
            assert!(error.to_string().to_lowercase().contains(right), "{error}");
        }
        let plain: Value = ask(&server.url, &["EXISTS", "session:scratch:"]).await;
        assert_eq!(plain, Value::Int(0));
    }
}
