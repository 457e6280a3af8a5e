//! Values that are not what the store has written: each costs its own session at most.

use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, Lifetime, Owner, SessionDirectory, SessionId, SessionStore, Sessions, Timeout, Version,
};
use session_redis::express::{Express, ExpressStore};
use session_redis::redis::{self, Value};
use session_redis::{ErrorKind, RedisStore};

use super::{ask, draft, end_all, id, number, owned, owner};

fn products() -> [Private; 2] {
    [Private::start(Kind::Redis, &[]), Private::valkey(&[])]
}

/// Runs a command whose arguments are bytes.
async fn run(url: &str, words: &[&[u8]]) -> Value {
    let client = redis::Client::open(url).expect("a good URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("up");
    let mut command = redis::cmd(std::str::from_utf8(words[0]).expect("a command"));
    for word in &words[1..] {
        command.arg(*word);
    }
    command
        .query_async(&mut connection)
        .await
        .expect("it answers")
}

fn key(id: &SessionId) -> String {
    format!("session:{{{}}}", id.as_str())
}

async fn create(store: &RedisStore, owner: &Owner) -> (SessionId, Draft) {
    let (id, draft) = (id(), draft().with_owner(owner.clone()));
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    (id, draft)
}

/// Sessions of ann's, each damaged in its own way; and how many there were.
async fn damage(server: &Private, store: &RedisStore, ann: &Owner) -> Vec<(SessionId, Draft)> {
    let (whole, _) = create(store, ann).await;
    let whole = run(&server.url, &[b"GET", key(&whole).as_bytes()]).await;
    let Value::BulkString(whole) = whole else {
        panic!("{whole:?}");
    };
    let mut values: Vec<Vec<u8>> = vec![b"what is this?".to_vec(), vec![4; 17], vec![0; 53]];
    values.extend([1, 17, 33, 51, 52, 53, 54].map(|length| whole[..length].to_vec()));
    // Every byte of the header at its limits.
    for place in 0..53 {
        for byte in [0, 0x7f, 0xff] {
            let mut value = whole.clone();
            value[place] = byte;
            values.push(value);
        }
    }
    // Lengths and an owner that are none.
    let mut no_text = whole.clone();
    no_text[53] = 0xff;
    values.push(no_text);
    let mut random: u64 = 1769;
    for length in 0..40 {
        let mut value = vec![4];
        value.extend((0..length * 5).map(|_| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            (random >> 56) as u8
        }));
        values.push(value);
    }
    let mut damaged = Vec::new();
    for value in values {
        let session = create(store, ann).await;
        let key = key(&session.0);
        run(&server.url, &[b"SET", key.as_bytes(), &value]).await;
        damaged.push(session);
    }
    for words in [
        ["SADD", "x"].as_slice(),
        &["RPUSH", "x"],
        &["HSET", "x", "y"],
        &["ZADD", "1", "x"],
        &["XADD", "*", "x", "y"],
    ] {
        let session = create(store, ann).await;
        let key = key(&session.0);
        ask(&server.url, &["DEL", &key]).await;
        let words = [&words[..1], &[&*key], &words[1..]].concat();
        ask(&server.url, &words).await;
        damaged.push(session);
    }
    damaged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_session_costs_only_itself() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let (ann, bob) = (owner("ann"), owner("bob"));
        let damaged = damage(&server, &store, &ann).await;
        let (good, others) = (create(&store, &ann).await.0, create(&store, &bob).await.0);
        let all = number(&server.url, &["DBSIZE"]).await - 2;
        assert_eq!(store.count().await.ok(), u64::try_from(all).ok());

        assert!(owned(&store, &ann, 50).await.contains(&good));
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
        assert!(listed.contains(&good) && listed.contains(&others));
        let mut corrupt = 0;
        for (id, first) in &damaged {
            let version = Version::new(first.stamp);
            for error in [
                store.load(id).await.err(),
                store.save(id, &draft(), &version).await.err(),
                store.touch(id, Timeout::Never).await.err(),
            ]
            .into_iter()
            .flatten()
            {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
                corrupt += 1;
            }
        }
        assert!(corrupt > 150, "{corrupt}");
        // Logging out everywhere ends all that may be hers and can't be read.
        let left = loop {
            let ended = store.destroy_owned_by(&ann, None, 50).await.expect("up");
            if ended.is_empty() {
                break store.count().await.expect("up");
            }
        };
        assert!(left < all.unsigned_abs() / 2, "{left} of {all}");
        assert_eq!(store.load(&good).await.expect("up"), None);
        assert!(store.load(&others).await.expect("up").is_some());
        assert_eq!(store.clear().await.ok(), Some(left));
        // The index may name some that are gone: those entries lapse.
        let keys = ask(&server.url, &["KEYS", "session:{*"]).await;
        let keys: Vec<Value> = redis::from_redis_value(keys).expect("keys");
        assert!(keys.is_empty(), "{keys:?}");
    }
}

/// As a site sees it: another session is begun, and signing out works.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_a_corrupt_session_that_can_be_left() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let sessions = Sessions::new(std::sync::Arc::new(store.clone()));
        let session = sessions.start();
        session.sign_in(owner("ann")).await.expect("signed in");
        let token = session.token().expect("it has one");
        let key = key(&session.id().expect("it has one"));
        ask(&server.url, &["DEL", &key]).await;
        ask(&server.url, &["SADD", &key, "of another"]).await;
        let again = sessions.open(Some(&token)).await.expect("a fresh one");
        assert_eq!(again.owner(), None);
        again.insert("n", 1).expect("a number");
        again.save().await.expect("it is stored elsewhere");
        assert_ne!(again.token(), Some(token));
        session.destroy().await.expect("signed out");
        assert_eq!(number(&server.url, &["EXISTS", &key]).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_another_type_locks_nobody_out_and_hides_nothing() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let (ann, bob) = (owner("ann"), owner("bob"));
        let mut ids = Vec::new();
        for _ in 0..30 {
            ids.push(create(&store, &ann).await.0);
        }
        let keys = ask(&server.url, &["KEYS", "session:owner:*"]).await;
        let keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
        let index = &keys[0];
        for _ in 0..30 {
            create(&store, &bob).await;
        }
        ask(&server.url, &["SET", index, "something else"]).await;

        let (new, first) = create(&store, &ann).await;
        let next = draft().with_owner(ann.clone());
        let saved = store.save(&new, &next, &first.stamp.into()).await;
        assert!(saved.expect("she is not locked out").is_done());
        let longer = Timeout::After(Duration::from_secs(86_400));
        assert!(store.touch(&new, longer).await.expect("up").is_some());
        ids.push(new);
        ids.sort();
        assert_eq!(owned(&store, &ann, 7).await, ids, "nothing is hidden");
        let except = ids.remove(3);
        let mut ended = end_all(&store, &ann, Some(&except)).await;
        ended.sort();
        assert_eq!(ended, ids);
        assert_eq!(owned(&store, &bob, 7).await.len(), 30);
        let ended = store.destroy(&except, None).await.expect("up");
        assert!(ended.is_some(), "she can sign out");
        assert_eq!(store.clear().await.ok(), Some(30));
        assert_eq!(number(&server.url, &["DBSIZE"]).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_an_index_that_are_no_ids_are_passed_over() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        let ann = owner("ann");
        let (id, _) = create(&store, &ann).await;
        let keys = ask(&server.url, &["KEYS", "session:owner:*"]).await;
        let keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
        let long = vec![b'x'; 10_000];
        for entry in [&b"\xff\xfe"[..], b"", b"}{", b"a b\0", &long] {
            let words = [&b"ZADD"[..], keys[0].as_bytes(), b"99999999999999", entry];
            run(&server.url, &words).await;
        }
        for score in ["-inf", "+inf"] {
            ask(
                &server.url,
                &["ZADD", &keys[0], score, &format!("dead{score}")],
            )
            .await;
        }
        assert_eq!(owned(&store, &ann, 10).await, std::slice::from_ref(&id));
        let (other, _) = create(&store, &ann).await;
        let mut both = vec![id, other];
        both.sort();
        let mut ended = end_all(&store, &ann, None).await;
        ended.sort();
        assert_eq!(ended, both);
    }
}

/// The smallest way to a key without an end: a save in the last millisecond of a session's life.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_ends_a_session_leaves_no_key() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = RedisStore::connect(&server.url).await.expect("set up");
        for millis in 0..4 {
            for bytes in [10, 4_000] {
                for _ in 0..25 {
                    let (id, first) = (id(), draft());
                    assert!(store.create(&id, &first).await.expect("up").is_done());
                    let brief = Duration::from_millis(millis);
                    let next = Draft::new(vec![b'x'; bytes], Lifetime::new(brief, brief));
                    let saved = store.save(&id, &next, &first.stamp.into()).await;
                    assert!(saved.expect("up").is_done());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let keys = ask(&server.url, &["KEYS", "*"]).await;
        let keys: Vec<String> = redis::from_redis_value(keys).expect("keys");
        assert!(keys.is_empty(), "{} keys are left", keys.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_of_express_costs_only_itself() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in products() {
        let store = ExpressStore::builder(Express::new("keyboard cat"));
        let store = store.connect(&server.url).await.expect("set up");
        let name = |n: usize| SessionId::plain(&format!("{n:032}")).expect("valid");
        let values: [&[u8]; 5] = [b"", b"{", b"\xff\xfe", b"[1]", b"{\"cookie\":7}"];
        for (n, value) in values.iter().enumerate() {
            let key = format!("sess:{}", name(n).as_str());
            run(&server.url, &[b"SET", key.as_bytes(), value]).await;
        }
        let set = format!("sess:{}", name(values.len()).as_str());
        ask(&server.url, &["SADD", &set, "x"]).await;
        run(&server.url, &[b"SET", b"sess:\xff", b"x"]).await;
        let good = name(1769);
        let first = draft();
        assert!(store.create(&good, &first).await.expect("up").is_done());
        for n in 0..=values.len() {
            let error = store.load(&name(n)).await.expect_err("it is damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{n}: {error:?}");
        }
        let page = store.list(None, 100).await.expect("the others are listed");
        let ids: Vec<_> = page
            .sessions
            .into_iter()
            .map(|session| session.id)
            .collect();
        assert_eq!(ids, std::slice::from_ref(&good));
        for n in 0..=values.len() {
            let ended = store.destroy(&name(n), None).await.expect("it can be left");
            assert!(ended.is_some(), "{n}");
        }
        assert!(store.load(&good).await.expect("up").is_some());
        assert_eq!(store.clear().await.ok(), Some(1));
    }
}
