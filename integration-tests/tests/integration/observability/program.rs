//! A program whose metrics are scraped: it has traffic, conflicts, theft, guesses, expiry, streams, and
//! a database that is first demoted and then gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::future::join_all;
use integration_tests::servers::Private;
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use session_core::metrics::{BATCH_BUCKETS, SECONDS_BUCKETS, names};
use session_core::{Draft, Lifetime, Result, SessionStore, SessionToken, Sessions, Unreadable};
use session_memory::MemoryStore;
use session_redis::RedisStore;
use session_sealed::{KeyRing, SealedStore, Secret};
use tokio::net::TcpListener;

use crate::redis_backend::ask;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Program {
    pub(super) port: u16,
    metrics: PrometheusHandle,
    is_over: Arc<AtomicBool>,
    traffic: Option<JoinHandle<()>>,
}

impl Program {
    /// Starts it, with a thread of its own: the recorder is that thread's.
    pub(super) async fn start() -> Self {
        let recorder = recorder();
        let metrics = recorder.handle();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let scraped = metrics.clone();
        let scrape = move || async move { scraped.render() };
        let app = Router::new().route("/metrics", get(scrape));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let is_over = Arc::<AtomicBool>::default();
        let until = Arc::clone(&is_over);
        let traffic = std::thread::spawn(move || {
            metrics::with_local_recorder(&recorder, || traffic(&until));
        });
        Self {
            port,
            metrics,
            is_over,
            traffic: Some(traffic),
        }
    }

    pub(super) fn scraped(&self) -> String {
        self.metrics.render()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let ended = self.traffic.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.expect("it was started").expect("no panic");
        }
    }
}

/// As docs/logging.md sets it up.
fn recorder() -> PrometheusRecorder {
    let full = |name: &str| Matcher::Full(name.to_owned());
    PrometheusBuilder::new()
        .set_buckets_for_metric(full(names::OPERATION_SECONDS), &SECONDS_BUCKETS)
        .and_then(|it| it.set_buckets_for_metric(full(names::BATCH_SIZE), &BATCH_BUCKETS))
        .expect("buckets")
        .build_recorder()
}

fn traffic(is_over: &AtomicBool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let server = Private::valkey(&[]);
        let store = RedisStore::connect(&server.url).await.expect("up");
        let away = away().await;
        while !is_over.load(Relaxed) {
            crowd(&store).await.expect("the server is up");
            visits(&Sessions::new(store.clone())).await.expect("up");
            expiry().await.expect("memory is up");
            theft().await.expect("memory is up");
            damage().await.expect("memory is up");
            let id = SessionToken::generate().id();
            for _ in 0..10 {
                away.load(&id).await.expect_err("it is gone");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// A store whose server was made a replica, which has clients replaced, and has gone since.
async fn away() -> RedisStore {
    let mut server = Private::valkey(&[]);
    let store = RedisStore::builder().timeout(Duration::from_millis(500));
    let store = store.connect(&server.url).await.expect("up");
    ask(&server.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let draft = Draft::new("{}", Lifetime::default());
    // The client is too young to be replaced at first.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let id = SessionToken::generate().id();
    store.create(&id, &draft).await.expect_err("read-only");
    server.kill();
    store
}

/// More callers than are sent one by one.
async fn crowd(store: &RedisStore) -> Result<()> {
    let draft = Draft::new("x".repeat(300), Lifetime::default());
    let caller = async |_| {
        let id = SessionToken::generate().id();
        let _ = store.create(&id, &draft).await?;
        store.load(&id).await?;
        store.destroy(&id, None).await
    };
    let all = join_all((0..100).map(caller)).await;
    all.into_iter().try_for_each(|one| one.map(drop))
}

/// A sign-in, a conflict, a stream that ends with its session, and cookies that open nothing.
async fn visits(sessions: &Sessions) -> Result<()> {
    let session = sessions.start();
    session.insert("n", 0)?;
    session.save().await?;
    session.sign_in("ann").await?;
    let token = session.token().expect("stored");
    let (one, two) = (sessions.open(&token).await?, sessions.open(&token).await?);
    one.insert("one", 1)?;
    two.insert("two", 2)?;
    one.save().await?;
    two.save().await?;
    let stream = tokio::spawn(one.ended());
    tokio::time::sleep(Duration::from_millis(20)).await;
    two.destroy().await?;
    stream.await.expect("no panic");
    sessions.open(&SessionToken::generate()).await?;
    sessions.report_unreadable("id", Unreadable::UnknownSecret);
    Ok(())
}

/// A session that expires, and is reaped.
async fn expiry() -> Result<()> {
    let store = MemoryStore::builder().expiry_grace(60 * MINUTE).build()?;
    let sessions = Sessions::builder(store.clone()).lifetime(Lifetime::idle(MINUTE));
    let sessions = sessions.build()?;
    let session = sessions.start();
    session.insert("n", 0)?;
    session.save().await?;
    store.advance(2 * MINUTE);
    sessions.reap(10).await?;
    Ok(())
}

/// A token that was renewed and is used again, when its successor is in use.
async fn theft() -> Result<()> {
    let store = MemoryStore::new();
    let sessions = Sessions::builder(store.clone()).renew_after(5 * MINUTE);
    let sessions = sessions.build()?;
    let session = sessions.start();
    session.sign_in("ann").await?;
    let old = session.token().expect("stored");
    store.advance(6 * MINUTE);
    let session = sessions.open(&old).await?;
    session.renew_if_due().await?;
    let new = session.token().expect("stored");
    sessions.open(&new).await?.touch().await?;
    store.advance(2 * MINUTE);
    sessions.open(&old).await?;
    Ok(())
}

/// A session that was sealed with a secret that is gone.
async fn damage() -> Result<()> {
    let store = MemoryStore::new();
    let ring = || KeyRing::new(Secret::generate());
    let session = Sessions::new(SealedStore::new(store.clone(), &ring())).start();
    session.insert("n", 0)?;
    session.save().await?;
    let token = session.token().expect("stored");
    let other = Sessions::new(SealedStore::new(store, &ring()));
    other.open(&token).await?;
    Ok(())
}
