//! The owners' indexes: they may name too much, and never too little.

use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, Lifetime, Owner, Saved, SessionDirectory, SessionId, SessionStore, Timeout, Ttl,
};
use session_redis::redis::{self, Value};
use session_redis::{Cursor, ErrorKind, RedisStore};

use super::{SECOND, ask, draft, end_all, id, number, owned, owner};

async fn start() -> (Private, RedisStore) {
    let server = Private::start(Kind::Redis, &[]);
    let store = RedisStore::builder().prefix("x:");
    let store = store.connect(&server.url).await.expect("set up");
    (server, store)
}

async fn create(store: &RedisStore, draft: Draft) -> (SessionId, Draft) {
    let id = id();
    let created = store.create(&id, &draft).await.expect("up");
    assert_eq!(created, Saved::done(&draft));
    (id, draft)
}

/// Gives the session another owner, or none.
async fn give(store: &RedisStore, id: &SessionId, to: Option<&Owner>) {
    let record = store.load(id).await.expect("up").expect("there");
    let draft = draft().with_owner(to.cloned());
    let saved = store.save(id, &draft, &record.version).await.expect("up");
    assert_eq!(saved, Saved::done(&draft));
}

/// The keys of all indexes.
async fn indexes(server: &Private) -> Vec<String> {
    let keys = ask(&server.url, &["KEYS", "x:owner:*"]).await;
    redis::from_redis_value(keys).expect("keys")
}

/// The key of the only index.
async fn index(server: &Private) -> String {
    let mut keys = indexes(server).await;
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

async fn is_indexed(server: &Private, key: &str, id: &SessionId) -> bool {
    ask(&server.url, &["ZSCORE", key, id.as_str()]).await != Value::Nil
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_forget_the_dead_without_any_event() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let ann = owner("ann");
    let mut ids = Vec::new();
    for _ in 0..100 {
        let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(50)));
        ids.push(create(&store, brief.with_owner(ann.clone())).await.0);
    }
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert_eq!(owned(&store, &ann, 10).await, []);

    // An hour's slack is kept for clocks; pretend that it has passed.
    let key = index(&server).await;
    let left = number(&server.url, &["PTTL", &key]).await;
    assert!(
        (3_500_000..=3_600_000).contains(&left),
        "the index expires by itself: {left}"
    );
    for id in &ids {
        ask(&server.url, &["ZINCRBY", &key, "-3700000", id.as_str()]).await;
    }
    let (alive, _) = create(&store, draft().with_owner(ann.clone())).await;
    let entries = number(&server.url, &["ZCARD", &key]).await;
    assert_eq!(entries, 1, "the next write trims it");

    assert!(store.destroy(&alive, None).await.expect("up").is_some());
    // Nobody waits for it.
    for _ in 0..100 {
        if indexes(&server).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(indexes(&server).await, [""; 0], "an empty index is no key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_changed_its_owner_and_back_is_ended_with_its_owners() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let (ann, bob) = (owner("ann"), owner("bob"));
    let (id, _) = create(&store, draft().with_owner(ann.clone())).await;
    let key = index(&server).await;

    give(&store, &id, Some(&bob)).await;
    assert!(is_indexed(&server, &key, &id).await, "it stays in ann's");
    assert_eq!(owned(&store, &ann, 10).await, []);
    assert_eq!(owned(&store, &bob, 10).await, std::slice::from_ref(&id));
    assert_eq!(end_all(&store, &ann, None).await, []);
    assert!(store.load(&id).await.expect("up").is_some(), "it is bob's");
    assert!(is_indexed(&server, &key, &id).await, "it stays in ann's");

    give(&store, &id, None).await;
    assert_eq!(end_all(&store, &bob, None).await, []);
    give(&store, &id, Some(&ann)).await;
    assert_eq!(owned(&store, &ann, 10).await, std::slice::from_ref(&id));
    assert_eq!(end_all(&store, &ann, None).await, std::slice::from_ref(&id));
    assert_eq!(store.load(&id).await.expect("up"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_session_is_not_written_yet_survives() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let ann = owner("ann");
    let (ended, _) = create(&store, draft().with_owner(ann.clone())).await;
    let key = index(&server).await;
    // A sign-in, between its two commands.
    let (coming, far) = (id(), "99999999999999");
    ask(&server.url, &["ZADD", &key, far, coming.as_str()]).await;

    assert_eq!(end_all(&store, &ann, None).await, [ended]);
    assert_eq!(owned(&store, &ann, 10).await, []);
    assert!(is_indexed(&server, &key, &coming).await);
    let signed_in = draft().with_owner(ann.clone());
    assert!(
        store
            .create(&coming, &signed_in)
            .await
            .expect("up")
            .is_done()
    );
    assert_eq!(end_all(&store, &ann, None).await, [coming]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_whose_entry_can_not_be_removed_is_done() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let ann = owner("ann");
    let (one, _) = create(&store, draft().with_owner(ann.clone())).await;
    let (other, _) = create(&store, draft().with_owner(ann.clone())).await;
    ask(&server.url, &["ACL", "SETUSER", "default", "-zrem"]).await;
    let ended = store.destroy(&one, None).await.expect("it is done");
    assert_eq!(ended.and_then(|ended| ended.owner), Some(ann.clone()));
    assert_eq!(
        end_all(&store, &ann, None).await,
        std::slice::from_ref(&other)
    );
    let key = index(&server).await;
    for id in [&one, &other] {
        assert!(is_indexed(&server, &key, id).await, "too much");
    }
    assert_eq!(owned(&store, &ann, 10).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_names_a_session_for_as_long_as_a_touch_lets_it_live() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let ann = owner("ann");
    let brief = Draft::new("{}", Lifetime::new(10 * SECOND, 3_600 * SECOND));
    let (id, _) = create(&store, brief.with_owner(ann.clone())).await;
    let (key, session) = (index(&server).await, format!("x:{{{}}}", id.as_str()));
    let covered = async || {
        let score = ask(&server.url, &["ZSCORE", &key, id.as_str()]).await;
        let score: f64 = redis::from_redis_value(score).expect("a number");
        let end = number(&server.url, &["PEXPIRETIME", &session]).await;
        assert!(score >= end as f64, "{score} {end}");
        end
    };
    let first = covered().await;
    let touched = store.touch(&id, Timeout::After(30 * SECOND)).await;
    assert!(touched.expect("up") > Some(Ttl::Left(29 * SECOND)));
    let second = covered().await;
    assert!(second > first + 15_000);

    // An owner of whom the index does not know yet; and none.
    give(&store, &id, Some(&owner("bob"))).await;
    let touched = store.touch(&id, Timeout::After(3_000 * SECOND)).await;
    assert!(touched.expect("up") > Some(Ttl::Left(2_990 * SECOND)));
    let bobs = owned(&store, &owner("bob"), 1).await;
    assert_eq!(bobs, std::slice::from_ref(&id));
    give(&store, &id, None).await;
    let touched = store.touch(&id, Timeout::After(3_100 * SECOND)).await;
    assert!(touched.expect("up") > Some(Ttl::Left(3_000 * SECOND)));

    // Where the index can't be told, the touch fails, and the next one makes up for it.
    give(&store, &id, Some(&ann)).await;
    ask(&server.url, &["ACL", "SETUSER", "default", "-zadd"]).await;
    let touched = store.touch(&id, Timeout::After(3_500 * SECOND)).await;
    touched.expect_err("the index is not to be had");
    ask(&server.url, &["ACL", "SETUSER", "default", "+zadd"]).await;
    let touched = store.touch(&id, Timeout::After(3_550 * SECOND)).await;
    assert!(touched.expect("up") > Some(Ttl::Left(3_500 * SECOND)));
    covered().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_and_large_indexes_are_read_in_pages() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (_server, store) = start().await;
    let ann = owner("ann");
    let mut ids = Vec::new();
    for until in [20, 300] {
        while ids.len() < until {
            ids.push(create(&store, draft().with_owner(ann.clone())).await.0);
        }
        ids.sort();
        for limit in [1, 7, 20, 1_000, usize::MAX] {
            assert_eq!(owned(&store, &ann, limit).await, ids, "{until} by {limit}");
        }
        let page = store.owned_by(&ann, None, 7).await.expect("up");
        let (most, size) = (if until == 20 { 7 } else { 30 }, page.sessions.len());
        assert!(size <= most, "{size} of {until} by 7");
    }
    for text in ["", "0", "0:0", "x>", "-1>"] {
        let page = store.owned_by(&ann, Some(&Cursor::new(text)), 7).await;
        let error = page.expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
    }
    let except = ids.remove(100);
    let mut ended = end_all(&store, &ann, Some(&except)).await;
    ended.sort();
    assert_eq!(ended, ids);
    assert_eq!(owned(&store, &ann, 7).await, [except]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_misses_no_session_while_others_come_and_go() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (_server, store) = start().await;
    let ann = owner("ann");
    let (mut staying, mut going) = (Vec::new(), Vec::new());
    for n in 0..400 {
        let (id, _) = create(&store, draft().with_owner(ann.clone())).await;
        if n % 2 == 0 { &mut staying } else { &mut going }.push(id);
    }
    let (mut listed, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.owned_by(&ann, cursor.as_ref(), 9).await.expect("up");
        listed.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        for id in going.drain(..going.len().min(8)) {
            assert!(store.destroy(&id, None).await.expect("up").is_some());
        }
        for id in staying.iter().skip(listed.len() % 7).step_by(7) {
            let touched = store.touch(id, Timeout::After(3_600 * SECOND)).await;
            assert!(touched.expect("up").is_some());
        }
        create(&store, draft().with_owner(ann.clone())).await;
    }
    let missed: Vec<_> = staying.iter().filter(|id| !listed.contains(id)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_index_is_no_large_command() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, store) = start().await;
    let ann = owner("ann");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(create(&store, draft().with_owner(ann.clone())).await.0);
    }
    let key = index(&server).await;
    let fill = "for n = 1, 10000 do \
        redis.call('ZADD', KEYS[1], ARGV[1], 'dead-' .. ARGV[2] .. '-' .. n) end";
    for part in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        let far = "99999999999999";
        ask(&server.url, &["EVAL", fill, "1", &key, far, part]).await;
    }
    let mut ended = end_all(&store, &ann, None).await;
    ended.sort();
    ids.sort();
    assert_eq!(ended, ids);
    let stats = ask(&server.url, &["INFO", "commandstats"]).await;
    let stats: String = redis::from_redis_value(stats).expect("text");
    let calls = |command: &str| -> u32 {
        let line = stats.split_once(&format!("cmdstat_{command}:calls="));
        let line = line.and_then(|(_, rest)| rest.split_once(','));
        line.and_then(|(calls, _)| calls.parse().ok()).unwrap_or(0)
    };
    // One walk finds them, another nothing.
    assert!(calls("zscan") >= 200, "{stats}");
    assert!(calls("evalsha") >= 200_000 / 128, "{stats}");
    assert_eq!(
        calls("zrange"),
        4,
        "once to try it, and as each was created"
    );

    // Entries whose time has passed go some at a time.
    let entries = number(&server.url, &["ZCARD", &key]).await;
    let old = "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, 9999)) do \
        redis.call('ZADD', KEYS[1], 1, id) end";
    ask(&server.url, &["EVAL", old, "1", &key]).await;
    create(&store, draft().with_owner(ann.clone())).await;
    let left = number(&server.url, &["ZCARD", &key]).await;
    assert_eq!(left, entries - 1_000 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_everywhere_ends_sessions_that_are_written_all_the_time() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (_server, store) = start().await;
    let ann = owner("ann");
    let mut writers = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let (id, first) = create(&store, draft().with_owner(ann.clone())).await;
        ids.push(id.clone());
        let (store, ann, mut expected) = (store.clone(), ann.clone(), first.stamp);
        writers.push(tokio::spawn(async move {
            let mut written = 0;
            loop {
                let next = draft().with_owner(ann.clone());
                match store.save(&id, &next, &expected.into()).await.expect("up") {
                    Saved::Done(version) => expected = version.stamp(),
                    Saved::Gone => return written,
                    other => panic!("nobody else writes: {other:?}"),
                }
                written += 1;
            }
        }));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut ended = end_all(&store, &ann, None).await;
    for writer in writers {
        assert!(writer.await.expect("no panic") > 0);
    }
    ended.sort();
    ids.sort();
    assert_eq!(ended, ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_with_a_name_of_any_length_is_logged_out_and_no_other() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (_server, store) = start().await;
    for length in [1, 63, 64, 65, Owner::MAX_BYTES] {
        let (name, beside) = ("u".repeat(length), "u".repeat(length - 1) + "v");
        let (owner, beside) = (owner(&name), owner(&beside));
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(create(&store, draft().with_owner(owner.clone())).await.0);
        }
        let (moved, _) = create(&store, draft().with_owner(owner.clone())).await;
        give(&store, &moved, Some(&beside)).await;
        let mut ended = end_all(&store, &owner, None).await;
        ids.sort();
        ended.sort();
        assert_eq!(ended, ids, "{length} bytes");
        assert_eq!(end_all(&store, &beside, None).await, [moved]);
    }
}
