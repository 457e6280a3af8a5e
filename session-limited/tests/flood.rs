//! What a flood of made-up tokens reaches, and whom it harms.

use std::time::Duration;

use session_core::backend::Operation;
use session_core::{
    Draft, ErrorKind, Lifetime, Record, Result, SessionId, SessionStore, SessionToken, Sessions,
    StoreWrapper,
};
use session_limited::LimitedStore;
use session_memory::MemoryStore;

fn limited(memory: &MemoryStore, burst: u32) -> LimitedStore<MemoryStore> {
    let store = LimitedStore::builder(memory.clone())
        .per_second(1)
        .burst(burst)
        .build();
    store.expect("good numbers")
}

fn made_up() -> SessionId {
    SessionToken::generate().id()
}

async fn put(store: &impl SessionStore) -> SessionId {
    let id = made_up();
    let draft = Draft::new("{}", Lifetime::default());
    let created = store.create(&id, &draft).await.expect("up");
    assert!(created.is_done());
    id
}

async fn flood(store: &LimitedStore<MemoryStore>, loads: usize) -> usize {
    let mut refused = 0;
    for _ in 0..loads {
        match store.load(&made_up()).await {
            Ok(found) => assert!(found.is_none()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited);
                assert!(error.is_temporary() && !error.is_doubtful());
                refused += 1;
            }
        }
    }
    refused
}

#[tokio::test]
async fn a_flood_reaches_the_database_with_the_burst_and_known_sessions_go_on() {
    let memory = MemoryStore::new();
    let store = limited(&memory, 100);
    let (created, found) = (put(&store).await, put(&memory).await);
    let unseen = put(&memory).await;
    assert!(store.load(&found).await.expect("up").is_some());
    let before = memory.counts().of(Operation::Load).calls;
    let refused = flood(&store, 10_000).await;
    let reached = memory.counts().of(Operation::Load).calls - before;
    assert!((100..110).contains(&reached), "{reached}");
    assert_eq!(refused as u64, 10_000 - reached);
    assert_eq!(store.refused(), refused as u64);
    for id in [&created, &found] {
        assert!(store.load(id).await.expect("known").is_some());
    }
    let error = store.load(&unseen).await.expect_err("not seen before");
    let after = error.retry_after().expect("it says when");
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert!(
        error.to_string().starts_with("cannot load the session: "),
        "{error}"
    );
}

#[tokio::test]
async fn loads_that_find_their_session_take_nothing() {
    let memory = MemoryStore::new();
    let store = limited(&memory, 1);
    for _ in 0..100 {
        let id = put(&memory).await;
        assert!(store.load(&id).await.expect("found").is_some());
    }
    assert_eq!(flood(&store, 3).await, 2);
}

#[tokio::test]
async fn a_session_that_has_ended_is_known_no_more() {
    let memory = MemoryStore::new();
    let store = limited(&memory, 1);
    let (destroyed, elsewhere) = (put(&store).await, put(&store).await);
    assert!(store.destroy(&destroyed, None).await.expect("up").is_some());
    assert_eq!(flood(&store, 2).await, 1);
    assert!(store.load(&destroyed).await.is_err());
    // Of one that ended elsewhere the first load learns it, and costs what it found.
    memory.destroy(&elsewhere, None).await.expect("up");
    assert!(store.load(&elsewhere).await.expect("known").is_none());
    let error = store.load(&elsewhere).await.expect_err("unknown now");
    let after = error.retry_after().expect("it says when");
    assert!(after > Duration::from_secs(1), "{after:?}");
}

/// A store that does not answer loads.
#[derive(Debug)]
struct Silent(MemoryStore);

impl StoreWrapper for Silent {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    async fn load(_: &Self, _: &SessionId) -> Result<Option<Record>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_has_spent_its_token() {
    let builder = LimitedStore::builder(Silent(MemoryStore::new()));
    let store = builder.per_second(1).burst(1).build();
    let store = store.expect("good numbers");
    let id = made_up();
    let moment = Duration::from_millis(1);
    let given_up = tokio::time::timeout(moment, store.load(&id)).await;
    assert!(given_up.is_err(), "no answer");
    let error = store.load(&id).await.expect_err("none left");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_refused_request_fails_and_its_session_lives() {
    let memory = MemoryStore::new();
    let sessions = Sessions::new(memory.clone());
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    let store = limited(&memory, 1);
    flood(&store, 2).await;
    let behind = Sessions::new(store);
    let error = behind.open(&token).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    let session = sessions.open(&token).await.expect("up");
    assert_eq!(session.get::<u32>("n").expect("JSON"), Some(1));
}

#[test]
fn limits_of_zero_are_refused() {
    let builder = LimitedStore::builder(MemoryStore::new());
    for builder in [
        builder.clone().per_second(0),
        builder.clone().burst(0),
        builder.remembered(0),
    ] {
        let error = builder.build().expect_err("zero");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
    }
}
