//! The cost of descriptions: loads and saves of sessions that have one of 60 bytes, beside those of
//! sessions without.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin descriptions
//! ```
//!
//! Both kinds of session are in one store, and each round runs both, in alternating order. The
//! ratios are those within the rounds: their median and quartiles.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration_tests::servers;
use session_core::{
    Credential, Description, Draft, Lifetime, Saved, SessionId, SessionStore, SessionToken, Version,
};

const SESSIONS: usize = 19_200;
const CALLERS: [usize; 2] = [1, 64];
const ROUNDS: usize = 81;
/// Short, so that the machine is the same for both of a round.
const TURN: Duration = Duration::from_millis(80);

#[derive(Clone, Copy, Debug)]
enum Operation {
    Load,
    Save,
}

struct Session {
    id: SessionId,
    draft: Draft,
    version: Version,
}

#[tokio::main]
async fn main() {
    println!(
        "60 bytes of description to none, operations per second: median and quartiles of {ROUNDS} rounds"
    );
    measure("memory", Arc::new(session_memory::MemoryStore::new())).await;
    if let Some(server) = servers::redis() {
        let builder = session_redis::RedisStore::builder().prefix("descriptions");
        let store = builder.connect(&server.url).await.expect("up");
        measure(&server.description, Arc::new(store)).await;
    }
}

async fn measure(name: &str, store: Arc<dyn SessionStore>) {
    let mut described = create(&*store, Some(description())).await;
    let mut plain = create(&*store, None).await;
    for operation in [Operation::Load, Operation::Save] {
        for callers in CALLERS {
            let mut ratios = Vec::new();
            // The first round warms caches and connections up.
            for round in 0..=ROUNDS {
                let ratio = if round % 2 == 0 {
                    let with = run(&store, &mut described, operation, callers).await;
                    with / run(&store, &mut plain, operation, callers).await
                } else {
                    let without = run(&store, &mut plain, operation, callers).await;
                    run(&store, &mut described, operation, callers).await / without
                };
                if round > 0 {
                    ratios.push(ratio);
                }
            }
            ratios.sort_by(f64::total_cmp);
            let [low, ratio, high] = [1, 2, 3].map(|quarter| ratios[ROUNDS * quarter / 4]);
            println!(
                "{name}: {operation:?}, {callers} callers: {ratio:.3} ({low:.2} to {high:.2})"
            );
        }
    }
}

/// A description whose label makes it 60 bytes long.
fn description() -> Description {
    let client = Description::new()
        .with_browser("Firefox")
        .with_system("Linux")
        .with_shortened_address([203, 0, 113, 7]);
    let labelled = (1..60).map(|length| client.clone().with_label("x".repeat(length)));
    let mut long_enough = labelled.filter(|description| description.as_bytes().len() >= 60);
    let description = long_enough.next().expect("a label has room");
    assert_eq!(description.as_bytes().len(), 60);
    description
}

async fn create(store: &dyn SessionStore, description: Option<Description>) -> Vec<Session> {
    let mut sessions = Vec::with_capacity(SESSIONS);
    let hour = Duration::from_secs(3_600);
    let data = format!(r#"{{"cart":"{}"}}"#, "x".repeat(289));
    for _ in 0..SESSIONS {
        let token = SessionToken::generate();
        let draft = Draft::new(data.clone(), Lifetime::new(hour, 12 * hour))
            .with_credential(Credential::opened_by(&token, None))
            .with_description(description.clone());
        let id = token.id();
        let version = written(store.create(&id, &draft).await.expect("up"));
        sessions.push(Session { id, draft, version });
    }
    sessions
}

/// Operations per second of this number of concurrent callers, each on sessions of its own.
async fn run(
    store: &Arc<dyn SessionStore>,
    sessions: &mut Vec<Session>,
    operation: Operation,
    callers: usize,
) -> f64 {
    let each = sessions.len() / callers;
    let began = Instant::now();
    let calls = (0..callers).map(|_| {
        let own = sessions.split_off(sessions.len() - each);
        let store = Arc::clone(store);
        tokio::spawn(async move { call(&*store, own, operation, began).await })
    });
    let mut done = 0;
    for called in join_all(calls.collect::<Vec<_>>()).await {
        let (own, count) = called.expect("no panic");
        sessions.extend(own);
        done += count;
    }
    f64::from(done) / began.elapsed().as_secs_f64()
}

async fn call(
    store: &dyn SessionStore,
    mut sessions: Vec<Session>,
    operation: Operation,
    began: Instant,
) -> (Vec<Session>, u32) {
    let mut done = 0;
    while began.elapsed() < TURN {
        for session in &mut sessions {
            match operation {
                Operation::Load => {
                    let record = store.load(&session.id).await.expect("up").expect("there");
                    assert_eq!(record.description, session.draft.description);
                }
                Operation::Save => {
                    let draft = session.draft.clone();
                    session.draft = draft.with_stamp(session_core::Stamp::generate());
                    let saved = store.save(&session.id, &session.draft, &session.version);
                    session.version = written(saved.await.expect("up"));
                }
            }
            done += 1;
            if done % 16 == 0 && began.elapsed() >= TURN {
                break;
            }
        }
    }
    (sessions, done)
}

fn written(saved: Saved) -> Version {
    match saved {
        Saved::Done(version) => version,
        other => panic!("not written: {other:?}"),
    }
}
