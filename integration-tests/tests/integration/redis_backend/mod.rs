//! What only Redis has: scripts that are forgotten, keys that expire by themselves.

mod causes;
mod cluster;
mod connections;
mod credentials;
mod damage;
mod demoted;
mod expiry;
mod failover_listings;
mod failovers;
mod half_open;
mod lanes;
mod late_entries;
mod lost;
mod owners;
mod partly_forbidden;
pub(crate) mod proxy;
mod reconnect;
mod refusals;
mod rights;
mod sentinel;
mod sentinel_tls;
mod slots;
mod unknown_lane;
mod withdrawn;

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Anchor, Credential, Description, Draft, Ended, Lifetime, Owner, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Sessions, Stamp, Timeout, Ttl, Version,
};
use session_redis::redis::{self, AsyncConnectionConfig, Value};
use session_redis::{ErrorKind, RedisStore};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

fn draft() -> Draft {
    Draft::new("{}", Lifetime::default())
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn owner(name: &str) -> Owner {
    Owner::new(name).expect("valid")
}

/// The ids that the store lists of this owner, by pages of this size.
async fn owned(store: &RedisStore, owner: &Owner, limit: usize) -> Vec<SessionId> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.owned_by(owner, cursor.as_ref(), limit).await;
        let page = page.expect("listed");
        ids.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

/// Ends all sessions of this owner but one, some at a time.
async fn end_all(store: &RedisStore, owner: &Owner, except: Option<&SessionId>) -> Vec<SessionId> {
    let mut all = Vec::new();
    loop {
        let ended = store.destroy_owned_by(owner, except, 50).await.expect("up");
        assert!(ended.len() <= 50, "{}", ended.len());
        if ended.is_empty() {
            return all;
        }
        for Ended {
            id, owner: of, age, ..
        } in ended
        {
            assert_eq!(of.as_ref(), Some(owner));
            assert!(age < Some(60 * SECOND), "{age:?}");
            all.push(id);
        }
    }
}

pub(crate) async fn ask(url: &str, words: &[&str]) -> Value {
    let client = redis::Client::open(url).expect("a good URL");
    // The machine may be busy.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(30 * SECOND))
        .set_response_timeout(Some(30 * SECOND));
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
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
async fn forgotten_scripts_are_taught_again_and_broken_connections_come_back() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("set up");
    let sessions = Sessions::new(std::sync::Arc::new(store.clone()));
    let session = sessions.start();
    session.sign_in(owner("u")).await.expect("signed in");
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
                    // So many others may write in between that nothing tells any more.
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
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
    let id = id();
    let key = format!("x:{{{}}}", id.as_str());
    let first = Draft::new("{}", Lifetime::new(10 * SECOND, 60 * SECOND));
    let created = store.create(&id, &first).await.expect("up");
    assert_eq!(created, Saved::done(&first));
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
    let saved = store.save(&id, &endless, &first.stamp.into()).await;
    assert_eq!(saved.expect("up"), Saved::done(&endless));
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
        let id = id();
        let first = draft().with_owner((n % 5 == 0).then(|| owner("before")));
        let created = store.create(&id, &first).await.expect("up");
        assert!(created.is_done());
        firsts.push((n, id, first.stamp));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    let saves = firsts.into_iter().map(|(n, id, stamp)| {
        let store = store.clone();
        let data = vec![b'x'; if n % 3 == 0 { 3_000 } else { 30 } + n as usize];
        let mut next = Draft::new(data, lifetime(n));
        next.owner = (n % 7 == 0).then(|| owner("after"));
        let credential = vec![n as u8; n as usize % 193];
        next.credential = Credential::from_stored(&credential).expect("it fits");
        let description = vec![n as u8; n as usize % 5 * 50];
        next.description = Description::from_stored(&description).expect("it fits");
        if n % 11 == 0 {
            next.anchor = Anchor::Restart;
        }
        let expected = if n % 13 == 0 {
            Stamp::generate()
        } else {
            stamp
        };
        tokio::spawn(async move {
            let saved = store.save(&id, &next, &expected.into()).await;
            let saved = saved.expect("up");
            (n, id, next, saved)
        })
    });
    let saves: Vec<_> = saves.collect();
    let mut owned_after = 0;
    for save in saves {
        let (n, id, next, saved) = save.await.expect("no panic");
        if n % 13 == 0 {
            assert_eq!(saved, Saved::Conflict, "{n}");
            continue;
        }
        assert_eq!(saved, Saved::done(&next), "{n}");
        let least = begun.elapsed();
        let record = store.load(&id).await.expect("up").expect("there");
        assert_eq!(record.data, next.data);
        assert_eq!(record.version, Version::new(next.stamp));
        assert_eq!(record.credential, next.credential);
        assert_eq!(record.description, next.description);
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
        let key = format!("x:{{{}}}", id.as_str());
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
        let again = store.save(&id, &next, &Stamp::generate().into()).await;
        assert_eq!(again.expect("up"), Saved::done(&next));
        owned_after += usize::from(n % 7 == 0);
    }
    let after = owned(&store, &owner("after"), 20).await;
    assert_eq!(after.len(), owned_after);
    let before = owned(&store, &owner("before"), 20).await;
    assert_eq!(before.len(), (0..240).filter(|n| n % 65 == 0).count());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_is_one_command() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("up");
    let (id, first) = (id(), draft());
    assert!(store.create(&id, &first).await.expect("up").is_done());
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
    let id = id();
    let created = store.create(&id, &draft()).await.expect("up");
    assert!(created.is_done());
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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_holds_something_else_costs_only_its_own_session() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("set up");
    let sessions: Vec<_> = (0..100).map(|_| (id(), draft())).collect();
    for (id, draft) in &sessions {
        assert!(store.create(id, draft).await.expect("up").is_done());
    }
    let wrong = &sessions[50].0;
    let key = format!("session:{{{}}}", wrong.as_str());
    ask(&server.url, &["DEL", &key]).await;
    ask(&server.url, &["SADD", &key, "of another"]).await;
    let saves = sessions.iter().map(|(id, first)| {
        let (store, id, expected) = (store.clone(), id.clone(), first.stamp.into());
        tokio::spawn(async move { store.save(&id, &draft(), &expected).await })
    });
    let saves: Vec<_> = saves.collect();
    for (save, (id, _)) in saves.into_iter().zip(&sessions) {
        match save.await.expect("no panic") {
            Ok(saved) => assert!(saved.is_done() && id != wrong, "{saved:?}"),
            Err(error) => assert!(
                error.kind() == ErrorKind::Corrupt && id == wrong,
                "{error:?}"
            ),
        }
    }
    let error = store.touch(wrong, Timeout::Never).await.expect_err("a set");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let created = store.create(wrong, &draft()).await.expect("up");
    assert_eq!(created, Saved::Conflict, "nothing is overwritten");
    let version = Version::new(sessions[50].1.stamp);
    let ended = store.destroy(wrong, Some(&version)).await.expect("up");
    assert_eq!(ended, None, "it is no version of it");
    let ended = store.destroy(wrong, None).await.expect("up");
    assert_eq!(ended, Some(Ended::unknown(wrong.clone())));
    assert_eq!(store.load(wrong).await.expect("up"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_is_unavailable_and_not_broken() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::connect(&server.url).await.expect("set up");
    ask(&server.url, &["CONFIG", "SET", "maxmemory", "1"]).await;
    for whose in [None, Some(owner("ann"))] {
        let draft = draft().with_owner(whose);
        let error = store.create(&id(), &draft).await.expect_err("full");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
}
