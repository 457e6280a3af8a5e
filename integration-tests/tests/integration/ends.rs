//! Every end is told once: to three reapers at once, and though callers go away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::{
    Draft, EndId, EndKind, EndReason, Event, Lifetime, Observer, Owner, SessionId, SessionStore,
    SessionToken, Sessions, Stamp,
};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use session_sqlite::SqliteStore;

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// How often each end was told.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<BTreeMap<EndId, u32>>>);

impl Ends {
    fn push(&self, event: Event<'_>) {
        let end = event.end_id().expect("an end");
        *self.0.lock().expect("whole").entry(end).or_default() += 1;
    }

    fn len(&self) -> usize {
        self.0.lock().expect("whole").len()
    }

    /// Waits until so many were told. Each must have been told once.
    async fn are(&self, kinds: &BTreeMap<SessionId, EndKind>) {
        let began = Instant::now();
        while self.len() < kinds.len() && began.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(10 * MILLI).await;
        }
        // Nothing more comes.
        tokio::time::sleep(300 * MILLI).await;
        let told = self.0.lock().expect("whole").clone();
        for (end, times) in &told {
            assert_eq!(kinds.get(&end.session), Some(&end.kind), "{end:?}");
            assert_eq!(*times, 1, "{end:?}");
        }
        assert_eq!(told.len(), kinds.len(), "told of all");
    }
}

impl Observer for Ends {
    fn destroyed(&self, event: Event<'_>, _: EndReason) {
        self.push(event);
    }

    fn expired(&self, event: Event<'_>) {
        self.push(event);
    }
}

type Stores = Vec<Arc<dyn SessionStore>>;

fn managers(stores: &Stores, ends: &Ends) -> Vec<Sessions> {
    let manager = |store: &Arc<dyn SessionStore>| {
        let sessions = Sessions::builder(Arc::clone(store)).observer(ends.clone());
        sessions.build().expect("good rules")
    };
    stores.iter().map(manager).collect()
}

async fn create(store: &dyn SessionStore, owner: &str, lifetime: Lifetime) -> SessionId {
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", lifetime).with_owner(Owner::new(owner).expect("valid"));
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    id
}

/// Three reapers tell of `count` expired sessions, each once.
async fn reap_by_three(stores: Stores, count: usize) {
    let ends = Ends::default();
    let creates = stream::iter(0..count).map(|_| create(&*stores[0], "ann", Lifetime::idle(MILLI)));
    let created: Vec<SessionId> = creates.buffer_unordered(128).collect().await;
    let expected = created.into_iter().map(|id| (id, EndKind::Expired));
    let expected: BTreeMap<_, _> = expected.collect();
    let until = Instant::now() + Duration::from_secs(120);
    let reapers = managers(&stores, &ends).into_iter().map(|sessions| {
        let ends = ends.clone();
        tokio::spawn(async move {
            let mut reaped = 0;
            while ends.len() < count && Instant::now() < until {
                reaped += sessions.reap(200).await.expect("up");
            }
            reaped
        })
    });
    let reaped: Vec<usize> = (join_all(reapers).await.into_iter())
        .map(|reaped| reaped.expect("no panic"))
        .collect();
    ends.are(&expected).await;
    assert_eq!(reaped.iter().sum::<usize>(), count, "{reaped:?}");
    assert!(reaped.iter().all(|some| *some > 0), "{reaped:?}");
}

/// Callers go away at any point of a destroy, a log out everywhere and a reap.
async fn end_by_callers_that_go_away(stores: Stores) {
    let ends = Ends::default();
    let managers = managers(&stores, &ends);
    let store = &*stores[0];
    let mut expected = BTreeMap::new();
    let patience = |n: u64| Duration::from_micros(n.wrapping_mul(7_919) % 4_000);
    for n in 0..60 {
        let sessions = &managers[n as usize % managers.len()];
        let id = create(store, "one", Lifetime::idle(HOUR)).await;
        let _ = tokio::time::timeout(patience(n), sessions.destroy(&id)).await;
        expected.insert(id, EndKind::Destroyed);
        let owner = format!("owner {n}");
        for _ in 0..3 {
            let id = create(store, &owner, Lifetime::idle(HOUR)).await;
            expected.insert(id, EndKind::Destroyed);
        }
        let all = sessions.destroy_owned_by(&*owner, None);
        let _ = tokio::time::timeout(patience(n + 60), all).await;
        let brief = create(store, "brief", Lifetime::idle(MILLI)).await;
        expected.insert(brief, EndKind::Expired);
        let _ = tokio::time::timeout(patience(n + 120), sessions.reap(3)).await;
    }
    let until = Instant::now() + Duration::from_secs(30);
    while ends.len() < expected.len() && Instant::now() < until {
        managers[0].reap(100).await.expect("up");
        tokio::time::sleep(20 * MILLI).await;
    }
    ends.are(&expected).await;
}

fn namespace() -> String {
    format!("e{:x}", u128::from_be_bytes(*Stamp::generate().as_bytes()))
}

/// Three instances of a store for each test.
macro_rules! on_each_store {
    ($($backend:ident: $open:expr;)*) => {$(
        mod $backend {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn three_reapers_tell_of_each_session_once() {
                if let Some((stores, _guard)) = $open.await {
                    reap_by_three(stores, 10_000).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn callers_that_go_away_lose_no_end() {
                if let Some((stores, _guard)) = $open.await {
                    end_by_callers_that_go_away(stores).await;
                }
            }
        }
    )*};
}

/// What a test's stores need for as long as they are used.
type Guard = Option<tempfile::TempDir>;

async fn three<F>(open: impl Fn() -> F) -> Option<(Stores, Guard)>
where
    F: Future<Output = Arc<dyn SessionStore>>,
{
    Some((vec![open().await, open().await, open().await], None))
}

async fn redis(url: Option<&str>) -> Option<(Stores, Guard)> {
    let (url, prefix) = (url?, namespace());
    three(async || {
        let store = RedisStore::builder()
            .timeout(servers::PATIENCE)
            .expiry_reports(true)
            .prefix(&prefix);
        Arc::new(store.connect(url).await.expect("up")) as Arc<dyn SessionStore>
    })
    .await
}

async fn mysql() -> Option<(Stores, Guard)> {
    let (server, table) = (servers::mysql()?, namespace());
    three(async || {
        let store = MysqlStore::builder()
            .timeout(servers::PATIENCE)
            .table(&table);
        Arc::new(store.connect(&server.url).await.expect("up")) as Arc<dyn SessionStore>
    })
    .await
}

async fn mongo() -> Option<(Stores, Guard)> {
    let (server, collection) = (servers::mongo()?, namespace());
    three(async || {
        let store = MongoStore::builder()
            .timeout(servers::PATIENCE)
            .collection(&collection);
        let store = store.expiry_grace(HOUR).connect(&server.url).await;
        Arc::new(store.expect("up")) as Arc<dyn SessionStore>
    })
    .await
}

async fn postgres() -> Option<(Stores, Guard)> {
    let (server, table) = (servers::postgres()?, namespace());
    three(async || {
        let store = PostgresStore::builder()
            .timeout(servers::PATIENCE)
            .table(&table);
        Arc::new(store.connect(&server.url).await.expect("up")) as Arc<dyn SessionStore>
    })
    .await
}

async fn sqlite() -> Option<(Stores, Guard)> {
    let directory = tempfile::tempdir().expect("a directory");
    let url = format!("sqlite:{}", directory.path().join("ends.db").display());
    let (stores, _) = three(async || {
        Arc::new(SqliteStore::connect(&url).await.expect("up")) as Arc<dyn SessionStore>
    })
    .await?;
    Some((stores, Some(directory)))
}

on_each_store! {
    on_redis: redis(servers::redis().map(|server| &*server.url));
    on_valkey: redis(servers::valkey().map(|server| &*server.url));
    on_mysql: mysql();
    on_mongo: mongo();
    on_postgres: postgres();
    on_sqlite: sqlite();
}
