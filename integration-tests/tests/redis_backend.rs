//! What only Redis has: a cluster, scripts that are forgotten, keys that expire by themselves.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private, redis_cluster};
use session_core::{
    Anchor, Draft, Lifetime, Owner, Saved, SessionDirectory, SessionId, SessionStore, SessionToken,
    Sessions, Stamp, Timeout, Ttl,
};
use session_redis::redis::cluster::ClusterClient;
use session_redis::redis::{self, Value};
use session_redis::{ErrorKind, RedisStore};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn draft() -> Draft {
    Draft::new("{}", Lifetime::default())
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

async fn ask(url: &str, words: &[&str]) -> Value {
    let client = redis::Client::open(url).expect("a good URL");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("it is up");
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
        .query_async(&mut connection)
        .await
        .expect("it answers")
}

async fn number(url: &str, words: &[&str]) -> i64 {
    redis::from_redis_value(ask(url, words).await).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_renames_in_one_slot_and_keeps_owners_on_any() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster)
        .await
        .expect("started");
    let client = ClusterClient::new(cluster.urls()).expect("good URLs");
    let connection = client.get_async_connection().await.expect("up");
    let store = RedisStore::builder()
        .build(connection.clone())
        .await
        .expect("set up");

    let mut ids = Vec::new();
    for n in 0..200 {
        let token = SessionToken::generate();
        let (from, to) = (token.id(), token.cycled().id());
        let first = draft().with_owner(owner(&format!("u{}", n % 3)));
        store.create(&from, &first).await.expect("created");
        let next = draft().with_owner(first.owner.clone());
        let renamed = store
            .rename(&from, &to, &next, first.stamp)
            .await
            .expect("no CROSSSLOT");
        assert_eq!(renamed, Saved::Done(next.stamp));
        assert_eq!(store.load(&from).await.expect("up"), None);
        assert!(
            store
                .touch(&to, Timeout::Never)
                .await
                .expect("up")
                .is_some()
        );
        ids.push(to);
    }
    assert_eq!(store.count().await.ok(), Some(200));
    let mut listed = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.list(cursor.as_ref(), 50).await.expect("listed");
        listed.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    listed.sort();
    listed.dedup();
    ids.sort();
    assert_eq!(listed, ids);
    assert_eq!(store.owned_by(&owner("u0")).await.expect("up").len(), 67);
    let spared = store.owned_by(&owner("u0")).await.expect("up")[0]
        .id
        .clone();
    let ended = store
        .destroy_owned_by(&owner("u0"), Some(&spared))
        .await
        .expect("up");
    assert_eq!(ended.len(), 66);
    assert_eq!(store.clear().await.ok(), Some(134));
    for url in cluster.urls() {
        assert_eq!(number(&url, &["DBSIZE"]).await, 0, "nothing is left");
    }

    let tagless = RedisStore::builder().prefix("a{}b").build(connection).await;
    assert_eq!(
        tagless.expect_err("not routable").kind(),
        ErrorKind::Misconfigured
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_scripts_are_taught_again_and_broken_connections_come_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("set up");
    let sessions = Sessions::new(std::sync::Arc::new(store.clone()));
    let session = sessions.start();
    session.set_owner(owner("u")).expect("allowed");
    session.save().await.expect("saved");
    for round in 0..20 {
        if round % 2 == 0 {
            ask(&server.url, &["SCRIPT", "FLUSH"]).await;
        } else {
            ask(
                &server.url,
                &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
            )
            .await;
        }
        let count = session
            .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await;
        assert_eq!(count.expect("repeated"), round + 1);
        session.cycle_id().await.expect("repeated");
    }
    assert_eq!(sessions.count().await.ok(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_killed_under_load_lose_nothing() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("set up");
    let sessions = Sessions::new(std::sync::Arc::new(store));
    let first = sessions.start();
    first.insert("n", 0).expect("a number");
    first.save().await.expect("saved");
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let session = sessions.open(first.token().as_ref()).await.expect("there");
        tasks.push(tokio::spawn(async move {
            let mut done = 0;
            while done < 100 {
                match session
                    .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                    .await
                {
                    Ok(_) => done += 1,
                    Err(error) => assert!(error.is_temporary(), "{error:?}"),
                }
            }
        }));
    }
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(15)).await;
        ask(
            &server.url,
            &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        )
        .await;
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let last = sessions.open(first.token().as_ref()).await.expect("there");
    let count: Option<u32> = last.get("n").expect("a number");
    // An update that failed for its caller may have happened, but none that succeeded is missing.
    assert!(count >= Some(800), "{count:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_indexes_forget_the_dead_without_any_event() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::builder()
        .prefix("x:")
        .connect(&server.url)
        .await
        .expect("set up");
    let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(50))).with_owner(owner("u"));
    let ids: Vec<SessionId> = (0..100).map(|_| SessionToken::generate().id()).collect();
    for id in &ids {
        let mut draft = brief.clone();
        draft.stamp = session_core::Stamp::generate();
        store.create(id, &draft).await.expect("created");
    }
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(store.owned_by(&owner("u")).await.expect("up"), []);

    // An hour's slack is kept for clocks; pretend that it has passed.
    let keys = ask(&server.url, &["KEYS", "x:owner:*"]).await;
    let keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
    let [key] = &keys[..] else {
        panic!("one index: {keys:?}")
    };
    let left = number(&server.url, &["PTTL", key]).await;
    assert!(
        (3_500_000..=3_600_000).contains(&left),
        "the index expires by itself: {left}"
    );
    for id in &ids {
        ask(&server.url, &["ZINCRBY", key, "-3700000", id.as_str()]).await;
    }
    let alive = SessionToken::generate().id();
    store
        .create(&alive, &draft().with_owner(owner("u")))
        .await
        .expect("created");
    assert_eq!(
        number(&server.url, &["ZCARD", key]).await,
        1,
        "the next write trims it"
    );

    store.destroy(&alive).await.expect("destroyed");
    assert_eq!(
        number(&server.url, &["EXISTS", key]).await,
        0,
        "an empty index is no key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_expires_when_the_session_does() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::builder()
        .prefix("x:")
        .connect(&server.url)
        .await
        .expect("set up");
    let id = SessionToken::generate().id();
    let key = format!("x:{{{}}}{}", id.routing_tag(), id.after_tag());
    let first = Draft::new("{}", Lifetime::new(10 * SECOND, 60 * SECOND));
    store.create(&id, &first).await.expect("created");
    let near = |left: i64, expected: i64| (expected - 500..=expected).contains(&left);
    assert!(near(number(&server.url, &["PTTL", &key]).await, 10_000));
    let touched = store
        .touch(&id, Timeout::After(30 * SECOND))
        .await
        .expect("up");
    assert!(touched > Some(Ttl::Left(29 * SECOND)));
    assert!(near(number(&server.url, &["PTTL", &key]).await, 30_000));
    store.touch(&id, Timeout::Never).await.expect("up");
    assert!(
        near(number(&server.url, &["PTTL", &key]).await, 60_000),
        "the absolute limit stays"
    );

    let endless = Draft::new("{}", Lifetime::new(Timeout::Never, Timeout::Never));
    assert_eq!(
        store.save(&id, &endless, first.stamp).await.ok(),
        Some(Saved::Done(endless.stamp))
    );
    assert_eq!(number(&server.url, &["PTTL", &key]).await, -1);
    let record = store.load(&id).await.expect("up").expect("there");
    assert!(
        record.ttl == Ttl::Never && record.age < 10 * SECOND,
        "{record:?}"
    );
}

/// Saves go together by their limits, anchors and sizes; this has them mixed.
#[tokio::test(flavor = "multi_thread")]
async fn saves_of_all_kinds_at_once_are_each_what_they_were_asked_to_be() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::builder().prefix("x:");
    let store = store.connect(&server.url).await.expect("set up");
    let minute = 60 * SECOND;
    let lifetime = |n: u32| match n % 4 {
        0 => Lifetime::new(20 * minute, Timeout::Never),
        1 => Lifetime::new(60 * minute, 30 * minute),
        2 => Lifetime::new(Timeout::Never, 40 * minute),
        _ => Lifetime::new(Timeout::Never, Timeout::Never),
    };
    let mut firsts = Vec::new();
    for n in 0..240 {
        let id = SessionToken::generate().id();
        let first = draft().with_owner((n % 5 == 0).then(|| owner("before")));
        store.create(&id, &first).await.expect("created");
        firsts.push((n, id, first.stamp));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    let saves = firsts.into_iter().map(|(n, id, stamp)| {
        let store = store.clone();
        let data = vec![b'x'; if n % 3 == 0 { 3_000 } else { 30 } + n as usize];
        let mut next = Draft::new(data, lifetime(n));
        next.owner = (n % 7 == 0).then(|| owner("after"));
        if n % 11 == 0 {
            next.anchor = Anchor::Restart;
        }
        let expected = if n % 13 == 0 {
            Stamp::generate()
        } else {
            stamp
        };
        tokio::spawn(async move {
            let saved = store.save(&id, &next, expected).await.expect("up");
            (n, id, next, saved)
        })
    });
    let saves: Vec<_> = saves.collect();
    let mut owned = 0;
    for save in saves {
        let (n, id, next, saved) = save.await.expect("no panic");
        if n % 13 == 0 {
            assert_eq!(saved, Saved::Conflict, "{n}");
            continue;
        }
        assert_eq!(saved, Saved::Done(next.stamp), "{n}");
        let least = begun.elapsed();
        let record = store.load(&id).await.expect("up").expect("there");
        assert_eq!((&record.data, record.stamp), (&next.data, next.stamp));
        assert_eq!(
            (&record.owner, record.lifetime),
            (&next.owner, next.lifetime)
        );
        match next.anchor {
            // The clock that loads go by may be a millisecond ahead.
            Anchor::Restart => assert!(record.age <= begun.elapsed() + 2 * MILLI, "{n}"),
            Anchor::Keep => assert!(record.age > least + 10 * MILLI, "{n}"),
        }
        let idle = next.lifetime.idle.duration().unwrap_or(Duration::MAX);
        let absolute = next.lifetime.absolute.duration().unwrap_or(Duration::MAX);
        let key = format!("x:{{{}}}{}", id.routing_tag(), id.after_tag());
        let left = number(&server.url, &["PTTL", &key]).await;
        match (record.ttl, idle.min(absolute)) {
            (ttl, Duration::MAX) => assert_eq!((ttl, left), (Ttl::Never, -1)),
            (Ttl::Left(ttl), most) => {
                assert!(ttl <= most && ttl > most - minute, "{n}: {ttl:?}");
                if absolute < idle {
                    assert_eq!(ttl + record.age, absolute, "{n}: from its own begin");
                }
                let key = Duration::from_millis(left.unsigned_abs());
                assert!(
                    key <= ttl && key > ttl - 10 * SECOND,
                    "{n}: {key:?} {ttl:?}"
                );
            }
            (Ttl::Never, _) => panic!("{n} never ends"),
        }
        // Saved again, the draft finds its own stamp.
        let again = store.save(&id, &next, Stamp::generate()).await;
        assert_eq!(again.ok(), Some(Saved::Done(next.stamp)));
        owned += usize::from(n % 7 == 0);
    }
    let after = store.owned_by(&owner("after")).await.expect("up");
    assert_eq!(after.len(), owned);
    let before = store.owned_by(&owner("before")).await.expect("up");
    assert_eq!(before.len(), (0..240).filter(|n| n % 65 == 0).count());
    let keys = ask(&server.url, &["KEYS", "x:owner:*"]).await;
    let mut sizes = Vec::new();
    for key in redis::from_redis_value::<Vec<String>>(keys).expect("keys") {
        sizes.push(number(&server.url, &["ZCARD", &key]).await as usize);
    }
    sizes.sort_unstable();
    // Those who changed their owner have left the old index; one whose save conflicted stays in
    // that which it would have gone to, as a hint.
    let hints = (0..240).filter(|n| n % 91 == 0).count();
    assert_eq!(sizes, [before.len(), owned + hints]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_and_a_save_are_one_command_each() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("up");
    let id = SessionToken::generate().id();
    let first = draft();
    store.create(&id, &first).await.expect("created");
    let reads = |info: &str| -> i64 {
        let line = info
            .lines()
            .find(|line| line.starts_with("total_reads_processed:"));
        line.and_then(|line| line.split(':').nth(1)?.trim().parse().ok())
            .expect("a number")
    };
    let info = async || {
        let info = ask(&server.url, &["INFO", "stats"]).await;
        reads(&redis::from_redis_value::<String>(info).expect("text"))
    };
    let before = info().await;
    for _ in 0..100 {
        store.load(&id).await.expect("up");
    }
    // Asking costs a few reads of its own: a new connection's.
    let after = info().await;
    assert!(
        (100..=110).contains(&(after - before)),
        "{} for 100 loads",
        after - before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_and_comes_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut server = Private::start(
        Kind::Redis,
        &["--appendonly", "yes", "--appendfsync", "always"],
    );
    let store = RedisStore::builder()
        .timeout(SECOND)
        .connect(&server.url)
        .await
        .expect("set up");
    let id = SessionToken::generate().id();
    store.create(&id, &draft()).await.expect("created");
    server.kill();
    let error = store.load(&id).await.expect_err("down");
    assert!(error.is_temporary(), "{error:?}");
    server.restart();
    let mut found = None;
    for _ in 0..50 {
        if let Ok(record) = store.load(&id).await {
            found = record;
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(found.is_some(), "the connection comes back by itself");
}
