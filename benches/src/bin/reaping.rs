//! How long a reaper takes for 100,000 expired sessions: found, reported to an observer, removed.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin reaping
//! ```
//!
//! One reaper, batches of 500, sessions of 300 bytes with an owner. SQLite's file is in the
//! directory for temporary files.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::{
    Draft, Event, Lifetime, Observer, Owner, SessionStore, SessionToken, Sessions, shared,
};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_sqlite::SqliteStore;

const SESSIONS: u64 = 100_000;
const BATCH: usize = 500;
const ROUNDS: usize = 3;

/// Counts.
#[derive(Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Observer for Told {
    fn expired(&self, _: Event<'_>) {
        self.0.fetch_add(1, Relaxed);
    }
}

async fn create(store: &dyn SessionStore) {
    let draft = || {
        let draft = Draft::new("d".repeat(300), Lifetime::fixed(Duration::from_millis(100)));
        draft.with_owner(Owner::new("owner").expect("valid"))
    };
    let creates = stream::iter(0..SESSIONS).map(|_| async {
        let (id, draft) = (SessionToken::generate().id(), draft());
        let saved = store.create(&id, &draft).await.expect("up");
        assert!(saved.is_done());
    });
    creates.buffer_unordered(256).collect::<()>().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn measure(name: &str, store: impl SessionStore) {
    let told = Told::default();
    let sessions = Sessions::builder(shared(store)).observer(told.clone());
    let sessions = sessions.build().expect("good rules");
    for round in 1..=ROUNDS {
        create(&**sessions.store()).await;
        let began = Instant::now();
        while sessions.reap(BATCH).await.expect("up") > 0 {}
        let took = began.elapsed().as_secs_f64();
        let told = told.0.swap(0, Relaxed);
        let each = took * 1e6 / SESSIONS as f64;
        println!("  {name} round {round}: {told} told in {took:.2} s, {each:.0} µs each");
    }
    let directory = sessions.store().directory().expect("it has one");
    directory.clear().await.expect("cleared");
}

#[tokio::main]
async fn main() {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let is_asked = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    println!("{SESSIONS} expired sessions, batches of {BATCH}:");
    if let Some(server) = servers::mysql().filter(|_| is_asked("mysql")) {
        println!("{}", server.description);
        let store = MysqlStore::builder().table("reaping");
        measure("mysql", store.connect(&server.url).await.expect("up")).await;
    }
    if let Some(server) = servers::mongo().filter(|_| is_asked("mongodb")) {
        println!("{}", server.description);
        let store = MongoStore::builder().collection("reaping");
        let store = store.expiry_grace(Duration::from_secs(3_600));
        measure("mongodb", store.connect(&server.url).await.expect("up")).await;
    }
    if let Some(server) = servers::postgres().filter(|_| is_asked("postgres")) {
        println!("{}", server.description);
        let store = PostgresStore::builder().table("reaping");
        measure("postgres", store.connect(&server.url).await.expect("up")).await;
    }
    if is_asked("sqlite") {
        let file = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", file.path().join("reaping.db").display());
        measure("sqlite", SqliteStore::connect(&url).await.expect("up")).await;
    }
}
