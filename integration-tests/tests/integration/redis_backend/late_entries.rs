//! Entries of the expiry index, which are written just after a sign-in.

use futures_util::{StreamExt, stream};
use integration_tests::servers::{self, Kind, Private};
use session_core::{Anchor, Draft, Lifetime, Saved, SessionId, SessionStore};
use session_redis::{RedisStore, redis};

use super::expiry::{index_keys, store};
use super::{MILLI, SECOND, ask, id, number, owner};

fn draft() -> Draft {
    Draft::new("{}", Lifetime::idle(3_600 * SECOND))
}

async fn sign_in(store: &RedisStore, id: &SessionId) {
    let found = store.load(id).await.expect("up").expect("there");
    let draft = draft()
        .with_owner(owner("late"))
        .with_anchor(Anchor::Restart);
    let saved = store.save(id, &draft, &found.version).await;
    assert!(matches!(saved, Ok(Saved::Done(_))), "{saved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_during_a_sign_in_leaves_no_entry() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let [one, two] = [store(&server.url).await, store(&server.url).await];
        let attempts = (0..2_000).map(|_| async {
            let id = id();
            assert!(one.create(&id, &draft()).await.expect("up").is_done());
            sign_in(&one, &id).await;
            assert!(two.destroy(&id, None).await.expect("up").is_some());
        });
        stream::iter(attempts).buffer_unordered(32).count().await;
        tokio::time::sleep(500 * MILLI).await;
        assert_eq!(index_keys(&server.url).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_an_entry_gets_one_by_a_sign_in() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let (id, silent) = (id(), RedisStore::connect(&server.url).await.expect("up"));
    assert!(silent.create(&id, &draft()).await.expect("up").is_done());
    sign_in(&store(&server.url).await, &id).await;
    tokio::time::sleep(200 * MILLI).await;
    let mut keys = index_keys(&server.url).await;
    keys.sort();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(number(&server.url, &["ZCARD", &keys[0]]).await, 1);
    let known = ask(&server.url, &["HGET", &keys[1], id.as_str()]).await;
    let known: Vec<u8> = redis::from_redis_value(known).expect("bytes");
    assert!(known.ends_with(b"late"), "{known:?}");
}
