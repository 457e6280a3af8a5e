//! A backend of one's own: the one that docs/own-store.md shows, on the suite.

#[expect(
    unreachable_pub,
    reason = "the page shows what the crate of a store exports"
)]
mod scheme;
#[expect(
    unreachable_pub,
    reason = "the page shows what the crate of a store exports"
)]
mod toy;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use session_conformance::{conformance_tests, in_memory};
use session_core::backend::Operation;
use session_core::{Draft, ErrorKind, Lifetime, SessionId, SessionStore, SessionToken};

use toy::{Server, Toy, ToyStore};

// A map can't be corrupted.
conformance_tests!(
    in_memory(|| ToyStore::with_client(Toy, server(0))),
    without = [Past, Corruption]
);

fn server(round_trip: u64) -> Server {
    Server {
        rows: Arc::new(Mutex::new(BTreeMap::new())),
        round_trip: Duration::from_millis(round_trip),
    }
}

#[tokio::test]
async fn a_hundred_loads_share_round_trips() {
    let store = ToyStore::with_client(Toy, server(20));
    let draft = Draft::new("{}", Lifetime::default());
    let ids: Vec<SessionId> = (0..100).map(|_| SessionToken::generate().id()).collect();
    let creates = ids.iter().map(|id| store.create(id, &draft));
    for created in join_all(creates).await {
        assert!(created.expect("up").is_done());
    }
    let began = Instant::now();
    for load in join_all(ids.iter().map(|id| store.load(id))).await {
        assert!(load.expect("up").is_some());
    }
    let counts = store.counts();
    assert_eq!(counts.of(Operation::Load).calls, 100);
    assert_eq!((counts.batches, counts.batched), (2, 192), "{counts:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{began:?}");
}

#[tokio::test]
async fn a_server_that_is_too_far_away_is_a_time_out() {
    let store = ToyStore::with_client(Toy, server(10_000));
    let error = store.load(&SessionToken::generate().id()).await;
    let error = error.expect_err("too far");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        "cannot load the session: toy: no answer within 2s"
    );
}

#[test]
fn the_page_shows_what_is_run_here_and_it_is_short() {
    let page = include_str!("../../../../docs/own-store.md");
    let toy = include_str!("toy.rs");
    assert!(
        page.contains(toy),
        "docs/own-store.md shows another backend"
    );
    let scheme = include_str!("scheme.rs");
    let (_, shown) = scheme
        .split_once("toy::{Server, Toy, ToyStore};\n\n")
        .expect("its uses");
    assert!(
        page.contains(shown),
        "docs/own-store.md shows another scheme"
    );
    assert!(toy.lines().count() <= 250);
}

#[tokio::test]
async fn it_is_connected_to_by_url() {
    let schemes = scheme::schemes();
    let store = schemes.connect("toy://here?round_trip=2ms").await;
    let sessions = session_core::Sessions::new(store.expect("needs no server"));
    sessions.start().sign_in("ann").await.expect("saved");
    assert_eq!(sessions.count().await.ok(), Some(1));
    let error = schemes
        .connect("toy://here?roundtrip=2ms")
        .await
        .expect_err("no option");
    assert!(error.to_string().contains("round_trip"), "{error}");
}
