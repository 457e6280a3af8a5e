//! Several faults that one call meets, one after the other; and refusals that no other connection
//! mends.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use session_core::{Saved, SessionStore};
use session_redis::{ErrorKind, RedisStore};

use super::proxy::{Next, Proxy};
use super::reconnect::{LIMIT, OPERATIONS, Of, Operation, PATIENCE, Tried, stores};
use super::{SECOND, ask, draft, id};

const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// Those that run a script, and may be repeated.
fn scripted() -> impl Iterator<Item = Operation> {
    let is_scripted = |what: &Operation| {
        matches!(
            what,
            Operation::Create | Operation::Save | Operation::Touch | Operation::Destroy
        )
    };
    OPERATIONS.into_iter().filter(is_scripted)
}

async fn of(url: &str) -> Of<RedisStore> {
    let store = RedisStore::builder().timeout(10 * LIMIT);
    Of(store.connect(url).await.expect("up"))
}

/// Runs the operation, whose first answer is lost, and what happens `meanwhile`.
async fn losing(
    proxy: &Proxy,
    run: impl Future<Output = Result<(), session_core::Error>>,
    meanwhile: impl Future<Output = ()>,
) -> Result<(), session_core::Error> {
    proxy.lose("EVALSHA");
    let interrupted = async {
        proxy.lost().await;
        meanwhile.await;
        proxy.open();
    };
    tokio::join!(run, interrupted).0
}

/// As after a restart: the connection is lost, then refused, then the server loads its data, and
/// then it lacks the scripts.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_outlives_four_faults_of_a_restart() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    for what in scripted() {
        let proxy = Proxy::start(server.port).await;
        let store = of(&proxy.url()).await;
        let on = store.session().await;
        let meanwhile = async {
            // The link tries twice each time.
            proxy.next([Next::Close; 4]);
            proxy.next([Next::Refuse(LOADING)]);
            ask(&server.url, &["SCRIPT", "FLUSH"]).await;
        };
        let run = losing(&proxy, store.run(&on, what), meanwhile).await;
        run.unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
    }
}

/// The connection is lost, the next one leads to a stale replica without the scripts, which then
/// refuses the write, and the new primary lacks the scripts too.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_outlives_four_faults_of_a_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (one, two) = (
        Private::start(Kind::Redis, &[]),
        Private::start(Kind::Redis, &[]),
    );
    for what in scripted() {
        ask(&one.url, &["REPLICAOF", "NO", "ONE"]).await;
        let proxy = Proxy::start(one.port).await;
        let store = of(&proxy.url()).await;
        store.session().await;
        let on = of(&two.url).await.session().await;
        ask(&one.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
        let meanwhile = async {
            ask(&one.url, &["SCRIPT", "FLUSH"]).await;
            ask(&two.url, &["SCRIPT", "FLUSH"]).await;
            proxy.next([Next::LeadTo(one.port)]);
            proxy.lead_to(two.port);
        };
        let run = losing(&proxy, store.run(&on, what), meanwhile).await;
        run.unwrap_or_else(|error| panic!("{what:?}: {error:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_no_primary_while_it_is_taught_is_left_for_another() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    for line in [
        LOADING,
        "READONLY You can't write against a read only replica.",
    ] {
        for layout in 0..2 {
            for what in [Operation::Save, Operation::Touch] {
                let proxy = Proxy::start(server.port).await;
                let store = &stores(&proxy.url()).await[layout];
                let on = store.session().await;
                ask(&server.url, &["SCRIPT", "FLUSH"]).await;
                proxy.refuse_only("SCRIPT", line);
                let run = store.run(&on, what).await;
                run.unwrap_or_else(|error| panic!("{what:?} after {line}: {error:?}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_are_forgotten_for_ever_are_a_temporary_error() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    let store = of(&proxy.url()).await;
    let on = store.session().await;
    proxy.refuse_only("EVALSHA", "NOSCRIPT No matching script.");
    let error = store
        .run(&on, Operation::Save)
        .await
        .expect_err("forgotten");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_costs_no_connection() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(server.port).await;
    for store in stores(&proxy.url()).await {
        let on = store.session().await;
        ask(&server.url, &["ACL", "SETUSER", "default", "-evalsha"]).await;
        let (began, before) = (Instant::now(), proxy.connections());
        while began.elapsed() < SECOND {
            let error = store
                .run(&on, Operation::Touch)
                .await
                .expect_err("no right");
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        }
        assert_eq!(proxy.connections(), before);
        ask(&server.url, &["ACL", "SETUSER", "default", "+evalsha"]).await;
        store
            .run(&on, Operation::Touch)
            .await
            .expect("allowed again");
    }
}

/// The driver keeps what was refused when it connected.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_refused_once_is_asked_for_again() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let url = format!("redis://127.0.0.1:{}/3", server.port);
    let store = RedisStore::builder().timeout(LIMIT);
    let store = store.connect(&url).await.expect("up");
    for right in ["select", "hello", "client"] {
        let (id, draft) = (id(), draft());
        let created = store.create(&id, &draft).await.expect("up");
        assert_eq!(created, Saved::done(&draft));
        ask(
            &server.url,
            &["ACL", "SETUSER", "default", &format!("-{right}")],
        )
        .await;
        let client = session_redis::redis::Client::open(&*server.url).expect("a URL");
        let mut own = client.get_multiplexed_async_connection().await.expect("up");
        if right != "client" {
            let () = session_redis::redis::cmd("CLIENT")
                .arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"])
                .query_async(&mut own)
                .await
                .expect("killed");
        }
        let began = Instant::now();
        if right == "select" {
            let error = loop {
                match store.load(&id).await {
                    Err(error) if error.kind() == ErrorKind::Misconfigured => break error,
                    _ => assert!(began.elapsed() < PATIENCE, "it is not refused"),
                }
            };
            assert!(error.to_string().contains("database"), "{error}");
        }
        ask(
            &server.url,
            &["ACL", "SETUSER", "default", &format!("+{right}")],
        )
        .await;
        // One that was refused a moment ago is believed.
        tokio::time::sleep(Duration::from_millis(120)).await;
        let loaded = store.load(&id).await;
        assert!(loaded.expect("not refused").is_some());
    }
}
