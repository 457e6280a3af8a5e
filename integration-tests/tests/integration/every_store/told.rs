//! What spans, events and metrics tell of sessions, at every level, on every database: no token, no
//! password and no value.

use std::collections::BTreeSet;
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use session_core::backend::ObservedStore;
use session_core::{
    Description, Draft, Lifetime, LogObserver, Result, Session, SessionStore, SessionToken,
    Sessions, Unreadable,
};
use session_memory::MemoryStore;
use session_redis::RedisStore;

use super::place::{self, Place};
use crate::spans::Spans;

/// What must not show: the value of a session, and the password of a database.
const CANARY: &str = "canary-hunter2-canary-hunter2";

/// Keeps what is told while it lives, and the tokens that must not be.
struct Told {
    spans: Spans,
    metrics: PrometheusHandle,
    secrets: BTreeSet<String>,
}

impl Told {
    fn keep(&mut self, session: &Session) {
        self.secrets
            .extend(session.token().map(|token| secret_of(&token)));
    }

    /// Fails if anything that was told has a secret in it. Gives the operations that have spans.
    fn check(&self, place: &str) -> BTreeSet<String> {
        let all = self.spans.take();
        let secrets = self.secrets.iter().map(String::as_str);
        let secrets: Vec<&str> = secrets.chain(["hunter2"]).collect();
        for span in &all {
            let shown = format!("{span:?}");
            for secret in &secrets {
                assert!(!shown.contains(secret), "{place}: {secret} in {shown}");
            }
        }
        let scraped = self.metrics.render();
        assert!(scraped.contains("session_store_operations_total"));
        for secret in &secrets {
            assert!(!scraped.contains(secret), "{place}: {secret} in {scraped}");
        }
        let ours = all.iter().filter(|span| span.name == "session_store");
        let operations = ours.filter_map(|span| span.field("db.operation.name"));
        operations.map(str::to_owned).collect()
    }
}

/// The part of a token that opens its session; of a layout's token the whole, which is the id.
fn secret_of(token: &SessionToken) -> String {
    let text = token.expose();
    let is_native = text.len() == 54;
    text[if is_native { 30 } else { 0 }..].to_owned()
}

async fn visit(store: Arc<dyn SessionStore>, told: &mut Told) -> Result<()> {
    let sessions = Sessions::builder(store).observer(LogObserver).build()?;
    let session = sessions.start();
    session.insert("key", CANARY)?;
    session.save().await?;
    told.keep(&session);
    let guests = session.token().expect("stored");
    session.sign_in("user-1769").await?;
    told.keep(&session);
    let token = session.token().expect("stored");
    // A conflict, and its replay.
    let (one, two) = (sessions.open(&token).await?, sessions.open(&token).await?);
    one.insert("one", CANARY)?;
    two.insert("two", CANARY)?;
    one.save().await?;
    two.save().await?;
    two.get::<u32>("two").expect_err("it is a text");
    if sessions.store().capabilities().descriptions {
        two.describe(Description::new().with_label(CANARY))?;
        two.save().await?;
    }
    two.touch().await?;
    two.cycle_id().await?;
    told.keep(&two);
    // Tokens that open nothing any more, and one that never did.
    let _ = sessions.open(&guests).await?;
    let _ = sessions.open(&token).await?;
    let made_up = SessionToken::generate();
    told.secrets.insert(secret_of(&made_up));
    let _ = sessions.open(&made_up).await?;
    sessions.report_unreadable("id", Unreadable::Malformed);
    if let Some(directory) = sessions.store().directory() {
        directory.list(None, 10).await?;
        directory.count().await?;
        // Not every layout has an index of owners.
        let _ = sessions.destroy_owned_by("user-1769", None).await;
        directory.reap(10).await?;
    }
    two.destroy().await?;
    let huge = Draft::new(CANARY.repeat(1_000_000), Lifetime::default());
    let id = SessionToken::generate().id();
    sessions.store().create(&id, &huge).await.expect_err("huge");
    Ok(())
}

#[test]
fn no_level_and_no_label_shows_a_token_a_password_or_a_value() {
    let places = place::all();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(on_all(places));
}

async fn on_all(places: Vec<Place>) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let mut told = Told {
        spans: Spans::start(),
        metrics: recorder.handle(),
        secrets: BTreeSet::new(),
    };
    let memory = Arc::new(MemoryStore::new());
    visit(memory.clone(), &mut told)
        .await
        .expect("memory is up");
    let operations = told.check("memory");
    assert!(operations.contains("save"), "{operations:?}");
    let observed = ObservedStore::new(memory, "observed", "Observed at host:1");
    visit(Arc::new(observed), &mut told).await.expect("up");
    told.check("observed");
    let url = format!("redis://user:{CANARY}@127.0.0.1:1/");
    RedisStore::connect(&url)
        .await
        .expect_err("nothing listens");
    told.check("nothing listens");
    for place in places {
        for what in place.stores {
            let name = format!("{}, {what:?}", place.name);
            let store = place.open(*what).await;
            let visited = visit(store, &mut told).await;
            visited.unwrap_or_else(|error| panic!("{name}: {error}"));
            let operations = told.check(&name);
            assert!(operations.contains("save"), "{name}: {operations:?}");
        }
    }
}
