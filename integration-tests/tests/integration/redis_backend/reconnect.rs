//! Connections that are open and lead nowhere, or to the wrong server: others take their place.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{Error, Saved, SessionId, SessionStore, Timeout, Version, async_trait};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};

use super::proxy::Proxy;
use super::{SECOND, ask, draft, id, number, owner};

/// The limit of operations here.
pub(crate) const LIMIT: Duration = SECOND;
/// Far more than any of these tests needs to come back.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What every store does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Load,
    Create,
    Save,
    Touch,
    Destroy,
    List,
    Count,
}

pub(crate) const OPERATIONS: [Operation; 7] = [
    Operation::Load,
    Operation::Create,
    Operation::Save,
    Operation::Touch,
    Operation::Destroy,
    Operation::List,
    Operation::Count,
];

/// A store with sessions that operations can be tried on.
#[async_trait]
pub(crate) trait Tried: Send + Sync {
    async fn session(&self) -> (SessionId, Version);
    async fn run(&self, on: &(SessionId, Version), what: Operation) -> Result<(), Error>;
}

/// The native layout, with an owner, and Express'.
pub(crate) struct Of<S>(pub(crate) S);

#[async_trait]
impl<S: SessionStore> Tried for Of<S> {
    async fn session(&self) -> (SessionId, Version) {
        let (id, draft) = (self.id(), self.draft());
        let saved = self.0.create(&id, &draft).await.expect("up");
        match saved {
            Saved::Done(version) => (id, version),
            other => panic!("{other:?}"),
        }
    }

    async fn run(
        &self,
        (id, version): &(SessionId, Version),
        what: Operation,
    ) -> Result<(), Error> {
        let directory = self.0.directory().expect("every store has one");
        match what {
            Operation::Load => self.0.load(id).await.map(|found| assert!(found.is_some())),
            Operation::Create => {
                let created = self.0.create(&self.id(), &self.draft()).await;
                created.map(|created| assert!(created.is_done()))
            }
            Operation::Save => {
                let saved = self.0.save(id, &self.draft(), version).await;
                saved.map(|saved| assert!(saved.is_done(), "{saved:?}"))
            }
            Operation::Touch => {
                let touched = self.0.touch(id, Timeout::After(3_000 * SECOND)).await;
                touched.map(|left| assert!(left.is_some()))
            }
            Operation::Destroy => {
                let ended = self.0.destroy(id, None).await;
                ended.map(|ended| assert!(ended.is_some()))
            }
            Operation::List => directory.list(None, 10).await.map(drop),
            Operation::Count => directory.count().await.map(drop),
        }
    }
}

impl<S: SessionStore> Of<S> {
    fn is_express(&self) -> bool {
        format!("{:?}", self.0).contains("Express")
    }

    fn id(&self) -> SessionId {
        if self.is_express() {
            let text = id().as_str().repeat(2);
            return SessionId::plain(&text).expect("valid");
        }
        id()
    }

    fn draft(&self) -> session_core::Draft {
        let whose = (!self.is_express()).then(|| owner("ann"));
        draft().with_owner(whose)
    }
}

/// Both layouts, over this way.
pub(crate) async fn stores(url: &str) -> [Box<dyn Tried>; 2] {
    let native = RedisStore::builder().timeout(LIMIT).connect(url).await;
    let express = ExpressStore::builder(Express::new("keyboard cat"));
    let express = express.timeout(LIMIT).connect(url).await;
    [
        Box::new(Of(native.expect("up"))),
        Box::new(Of(express.expect("up"))),
    ]
}

/// Runs it until it works, and says how often it did not.
async fn until_it_works(store: &dyn Tried, on: &(SessionId, Version), what: Operation) -> u32 {
    let (began, mut failures) = (Instant::now(), 0);
    while let Err(error) = store.run(on, what).await {
        assert!(error.is_temporary(), "{what:?}: {error:?}");
        assert!(
            began.elapsed() < PATIENCE,
            "{what:?} fails for ever: {error}"
        );
        failures += 1;
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_replaced_after_one_time_out() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    for layout in 0..2 {
        let proxy = Proxy::start(server.port).await;
        let store = &stores(&proxy.url()).await[layout];
        for what in OPERATIONS {
            let on = store.session().await;
            let before = proxy.connections();
            proxy.fall_silent();
            let error = store.run(&on, what).await.expect_err("nothing comes");
            assert_eq!(error.kind(), ErrorKind::Timeout, "{what:?}: {error:?}");
            assert!(error.to_string().contains(&proxy.address()), "{error}");
            store.run(&on, what).await.expect("the next one works");
            assert_eq!(proxy.connections(), before + 1, "{what:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_give_up_early_find_a_silent_connection_out_together() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    for layout in 0..2 {
        let proxy = Proxy::start(server.port).await;
        let store = &stores(&proxy.url()).await[layout];
        let on = store.session().await;
        proxy.fall_silent();
        let began = Instant::now();
        let brief = || tokio::time::timeout(LIMIT / 4, store.run(&on, Operation::Touch));
        while !matches!(brief().await, Ok(Ok(()))) {
            assert!(began.elapsed() < PATIENCE, "each waits over the silent one");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_on_a_silent_connection_make_one_other() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    let store = RedisStore::builder().timeout(LIMIT);
    let store = store.connect(&proxy.url()).await.expect("up");
    let before = proxy.connections();
    proxy.fall_silent();
    let all = |_| {
        let loads = (0..200).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.load(&id()).await })
        });
        loads.collect::<Vec<_>>()
    };
    let mut given_up = 0;
    for load in all(1) {
        match load.await.expect("no panic") {
            Err(_) => given_up += 1,
            // One that was queued, and began so late that the others had given up before it.
            Ok(found) => assert_eq!(found, None),
        }
    }
    assert!(given_up >= 24, "{given_up}: those that were sent at once");
    // They have opened the circuit: until a probe is answered, nothing is sent.
    let began = Instant::now();
    while let Err(error) = store.load(&id()).await {
        assert!(!error.is_doubtful(), "{error:?}");
        assert!(began.elapsed() < PATIENCE, "no probe is answered");
        tokio::time::sleep(LIMIT / 100).await;
    }
    for load in all(2) {
        assert_eq!(load.await.expect("no panic").expect("up"), None);
    }
    assert_eq!(proxy.connections(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_wrong_server_is_asked_for_again_over_another_connection() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    let stores = stores(&proxy.url()).await;
    for line in [
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
    ] {
        for store in &stores {
            for what in OPERATIONS {
                let on = store.session().await;
                // What was refused a moment ago over a connection that is new is believed.
                tokio::time::sleep(Duration::from_millis(120)).await;
                proxy.refuse(line);
                let run = store.run(&on, what).await;
                run.unwrap_or_else(|error| panic!("{what:?} after {line}: {error}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_does_not_end_is_told_and_makes_no_storm_of_connections() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    let [store, _] = stores(&proxy.url()).await;
    let on = store.session().await;
    ask(&server.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let (began, before) = (Instant::now(), proxy.connections());
    while began.elapsed() < SECOND {
        let error = store.run(&on, Operation::Save).await.expect_err("demoted");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("READONLY"), "{error}");
    }
    let made = proxy.connections() - before;
    assert!((1..=11).contains(&made), "{made} in a second");
    ask(&server.url, &["REPLICAOF", "NO", "ONE"]).await;
    store
        .run(&on, Operation::Save)
        .await
        .expect("promoted again");
}

/// The replica has the data and never had the scripts.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_to_a_replica_is_followed_by_the_very_call_that_meets_it() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for what in OPERATIONS {
        if matches!(what, Operation::Load | Operation::List | Operation::Count) {
            continue;
        }
        let (one, two) = (
            Private::start(Kind::Redis, &["--repl-diskless-sync-delay", "0"]),
            Private::start(Kind::Redis, &[]),
        );
        let proxy = Proxy::start(one.port).await;
        let stores = stores(&proxy.url()).await;
        let (native, express) = (stores[0].session().await, stores[1].session().await);
        ask(&two.url, &["REPLICAOF", "127.0.0.1", &one.port.to_string()]).await;
        let began = Instant::now();
        while number(&two.url, &["DBSIZE"]).await < 3 {
            assert!(began.elapsed() < PATIENCE, "no replica");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ask(&two.url, &["REPLICAOF", "NO", "ONE"]).await;
        ask(&one.url, &["REPLICAOF", "127.0.0.1", &two.port.to_string()]).await;
        proxy.lead_to(two.port);
        for (store, on) in stores.iter().zip([native, express]) {
            let run = store.run(&on, what).await;
            run.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_script_is_taught_again_after_a_restart() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let mut server = Private::start(
        Kind::Redis,
        &["--appendonly", "yes", "--appendfsync", "always"],
    );
    let stores = stores(&server.url).await;
    for what in OPERATIONS {
        let on = [stores[0].session().await, stores[1].session().await];
        server.kill();
        server.restart();
        for (store, on) in stores.iter().zip(&on) {
            let run = store.run(on, what).await;
            run.unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
        }
        // With the connection there, and the scripts gone.
        ask(&server.url, &["SCRIPT", "FLUSH"]).await;
        for store in &stores {
            let on = store.session().await;
            ask(&server.url, &["SCRIPT", "FLUSH"]).await;
            let run = store.run(&on, what).await;
            run.unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
        }
    }
}

/// The driver keeps what went wrong when it connected, unless that was the network.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_refused_once_is_tried_again() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let stores = stores(&server.url).await;
    let other = format!("redis://:other@127.0.0.1:{}/", server.port);
    let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
    for store in &stores {
        let on = store.session().await;
        ask(&server.url, &["CONFIG", "SET", "requirepass", "other"]).await;
        ask(&other, &kill).await;
        let began = Instant::now();
        let error = loop {
            match store.run(&on, Operation::Load).await {
                Err(error) => break error,
                Ok(()) => assert!(began.elapsed() < PATIENCE, "the login is not refused"),
            }
        };
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        ask(&other, &["CONFIG", "SET", "requirepass", ""]).await;
        // One that was refused a moment ago is believed.
        tokio::time::sleep(Duration::from_millis(120)).await;
        store.run(&on, Operation::Load).await.expect("not refused");
    }
}

/// The same when there were too many clients for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_for_which_there_was_no_room_is_tried_again() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let client = session_redis::redis::Client::open(&*server.url).expect("a good URL");
    let mut own = client.get_multiplexed_async_connection().await.expect("up");
    let mut say = async |line: &str| {
        let mut words = line.split(' ');
        let mut command = session_redis::redis::cmd(words.next().expect("one"));
        command.arg(words.collect::<Vec<_>>());
        let () = command.query_async(&mut own).await.expect("done");
    };
    for layout in 0..2 {
        let store = &stores(&server.url).await[layout];
        let on = store.session().await;
        say("CONFIG SET maxclients 1").await;
        say("CLIENT KILL TYPE normal SKIPME yes").await;
        let began = Instant::now();
        let error = loop {
            match store.run(&on, Operation::Load).await {
                Err(error) => break error,
                Ok(()) => assert!(began.elapsed() < PATIENCE, "there is room"),
            }
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        say("CONFIG SET maxclients 1000").await;
        // One that was refused a moment ago is believed.
        tokio::time::sleep(Duration::from_millis(120)).await;
        store
            .run(&on, Operation::Load)
            .await
            .expect("there is room again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_a_silent_node_is_connected_to_anew() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    // A cluster of one node, which says that it is where the proxy is.
    let server = Private::start(Kind::Redis, &["--cluster-enabled", "yes"]);
    let proxy = Proxy::start(server.port).await;
    let port = proxy
        .address()
        .split(':')
        .nth(1)
        .expect("a port")
        .to_owned();
    for (what, value) in [("ip", "127.0.0.1"), ("port", &port)] {
        let setting = format!("cluster-announce-{what}");
        ask(&server.url, &["CONFIG", "SET", &setting, value]).await;
    }
    ask(&server.url, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let began = Instant::now();
    let info = || async {
        let info = ask(&server.url, &["CLUSTER", "INFO"]).await;
        session_redis::redis::from_redis_value::<String>(info).expect("text")
    };
    while !info().await.contains("cluster_state:ok") {
        assert!(began.elapsed() < PATIENCE, "no cluster");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = format!("redis+cluster://{}", proxy.address());
    let store = RedisStore::builder().timeout(LIMIT).connect(&url).await;
    let store = Of(store.expect("up"));
    for what in OPERATIONS {
        let on = store.session().await;
        proxy.fall_silent();
        let failures = until_it_works(&store, &on, what).await;
        assert!((0..=2).contains(&failures), "{what:?}: {failures}");
    }
}

/// What drives a connection hangs on the runtime that it was opened in.
#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let stores = first.block_on(stores(&server.url));
    let on = first.block_on(async { [stores[0].session().await, stores[1].session().await] });
    drop(first);
    for _ in 0..2 {
        let next = runtime();
        for (store, on) in stores.iter().zip(&on) {
            for what in [Operation::Load, Operation::Touch, Operation::List] {
                let run = next.block_on(store.run(on, what));
                run.unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_connects_and_loads_while_writes_are_paused() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::redis_8(&[]);
    // For longer than the test runs.
    ask(&server.url, &["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let builder = RedisStore::builder().timeout(8 * SECOND).migrate(false);
    let store = builder.connect(&server.url).await.expect("up");
    assert!(store.load(&id()).await.expect("up").is_none());
    ask(&server.url, &["CLIENT", "UNPAUSE"]).await;
    let created = store.create(&id(), &draft()).await.expect("up");
    assert!(created.is_done(), "{created:?}");
}
