//! A cluster whose slots move while it is in use.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use integration_tests::servers::{self, Kind, redis_cluster};
use session_core::{SessionDirectory, SessionId, SessionStore, Sessions};
use session_redis::RedisStore;
use session_redis::redis::{Value, from_redis_value};

use super::{ask, draft, id};

/// Moves slots from one node to another.
struct Mover {
    from: (String, String),
    to: (String, String, String),
}

impl Mover {
    async fn new(urls: &[String]) -> Self {
        let node = async |url: &String| {
            let node = from_redis_value(ask(url, &["CLUSTER", "MYID"]).await).expect("an id");
            (url.clone(), node)
        };
        let (from, (to, node)) = (node(&urls[0]).await, node(&urls[1]).await);
        let port = to.trim_end_matches('/').rsplit(':').next().expect("a port");
        let port = port.to_owned();
        Self {
            from,
            to: (to, node, port),
        }
    }

    /// As `redis-cli --cluster reshard` does, but without haste.
    async fn move_slot(&self, slot: u16) {
        let slot = slot.to_string();
        let ((from, from_id), (to, to_id, port)) = (&self.from, &self.to);
        let set = ["CLUSTER", "SETSLOT", &slot];
        ask(to, &[&set[..], &["IMPORTING", from_id]].concat()).await;
        ask(from, &[&set[..], &["MIGRATING", to_id]].concat()).await;
        loop {
            let keys = ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "3"]).await;
            let keys: Vec<String> = from_redis_value(keys).expect("keys");
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            ask(from, &migrate).await;
            tokio::task::yield_now().await;
        }
        for url in [to, from] {
            ask(url, &[&set[..], &["NODE", to_id]].concat()).await;
        }
    }
}

async fn listed(store: &RedisStore) -> HashSet<SessionId> {
    let (mut ids, mut cursor) = (HashSet::new(), None);
    loop {
        let page = store.list(cursor.as_ref(), 100).await.expect("listed");
        ids.extend(page.sessions.into_iter().map(|session| session.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_written_while_slots_move() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let urls = cluster.as_ref().expect("started").urls();
    let url = cluster.as_ref().expect("started").url();
    let store = RedisStore::connect(&url).await.expect("set up");
    let mut ids = HashSet::new();
    let creates: Vec<_> = (0..3_000)
        .map(|_| {
            let (store, id) = (store.clone(), id());
            ids.insert(id.clone());
            tokio::spawn(async move { store.create(&id, &draft()).await })
        })
        .collect();
    for create in creates {
        assert!(create.await.expect("no panic").expect("up").is_done());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let mover = tokio::spawn({
        let (mover, is_over) = (Mover::new(&urls).await, Arc::clone(&is_over));
        async move {
            let mut moved = 0;
            for slot in 0..5_461 {
                if is_over.load(Relaxed) {
                    break;
                }
                mover.move_slot(slot).await;
                moved += 1;
            }
            moved
        }
    });
    let sessions = Sessions::new(Arc::new(store.clone()));
    let mut writers = Vec::new();
    for _ in 0..40 {
        let session = sessions.start();
        session.insert("n", 0).expect("a number");
        session.save().await.expect("saved");
        let (over, session) = (Arc::clone(&is_over), session);
        writers.push(tokio::spawn(async move {
            let mut done = 0;
            while !over.load(Relaxed) {
                let add = session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1);
                let count = add.await.expect("no node is away");
                done += 1;
                assert_eq!(count, done, "no update is lost, none is made twice");
            }
            (session.id().expect("saved"), done)
        }));
    }
    for walk in 0..12 {
        let listed = listed(&store).await;
        let missing = ids.difference(&listed).count();
        assert_eq!(missing, 0, "walk {walk}");
        let count = store.count().await.expect("counted");
        assert_eq!(count, 3_040, "walk {walk}");
    }
    is_over.store(true, Relaxed);
    for writer in writers {
        let (id, done) = writer.await.expect("no panic");
        assert!(done > 0);
        assert!(store.load(&id).await.expect("up").is_some());
    }
    let moved: u16 = mover.await.expect("moved");
    assert!(moved > 20, "{moved}");
    assert_eq!(store.clear().await.ok(), Some(3_040));
}

/// A slot that stays between two nodes is served by both.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_half_moved_is_loaded_saved_and_listed() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let cluster = tokio::task::spawn_blocking(redis_cluster).await;
    let cluster = cluster.expect("started");
    let store = RedisStore::builder().prefix("{one}:");
    let store = store.connect(&cluster.url()).await.expect("set up");
    let slot: i64 = super::number(&cluster.urls()[0], &["CLUSTER", "KEYSLOT", "{one}:"]).await;
    let slot_text = slot.to_string();
    let mut urls = cluster.urls();
    let owner = 'found: {
        for (at, url) in urls.iter().enumerate() {
            let tried = ask_for(url, &["EXISTS", "{one}:"]).await;
            if tried.is_some() {
                break 'found at;
            }
        }
        panic!("no node has the slot");
    };
    urls.swap(0, owner);
    let mover = Mover::new(&urls).await;
    let mut ids = HashSet::new();
    for _ in 0..100 {
        let id = id();
        assert!(store.create(&id, &draft()).await.expect("up").is_done());
        ids.insert(id);
    }
    let ((from, from_id), (to, to_id, port)) = (&mover.from, &mover.to);
    ask(
        to,
        &["CLUSTER", "SETSLOT", &slot_text, "IMPORTING", from_id],
    )
    .await;
    ask(
        from,
        &["CLUSTER", "SETSLOT", &slot_text, "MIGRATING", to_id],
    )
    .await;
    let keys = ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot_text, "50"]).await;
    let keys: Vec<String> = from_redis_value(keys).expect("keys");
    let mut migrate = vec!["MIGRATE", "127.0.0.1", port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.iter().map(String::as_str));
    ask(from, &migrate).await;
    assert_eq!(listed(&store).await, ids);
    assert_eq!(store.count().await.ok(), Some(100));
    let loads = ids.iter().cloned().map(|id| {
        let store = store.clone();
        tokio::spawn(async move {
            let record = store.load(&id).await.expect("up").expect("there");
            let next = draft();
            let saved = store.save(&id, &next, &record.version).await;
            assert!(saved.expect("up").is_done());
            let gone = store.load(&super::id()).await;
            assert!(gone.expect("one that is not there").is_none());
        })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic");
    }
    assert_eq!(store.clear().await.ok(), Some(100));
}

/// The answer, unless it is an error.
async fn ask_for(url: &str, words: &[&str]) -> Option<Value> {
    let client = session_redis::redis::Client::open(url).expect("a good URL");
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let mut command = session_redis::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.ok()
}
