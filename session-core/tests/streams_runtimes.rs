//! Streams in several runtimes, of which one ends or stands still.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use session_core::{
    Record, Result, Session, SessionEnd, SessionId, SessionStore, Sessions, StoreWrapper,
};
use session_memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_millis(400);

type Ended = Pin<Box<dyn Future<Output = SessionEnd> + Send>>;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// A manager that closes no stream because a machine is slow.
fn manager(store: &MemoryStore) -> Sessions {
    let builder = Sessions::builder(store.clone()).stream_lease(LEASE);
    let builder = builder.stream_outage(600 * SECOND);
    builder.build().expect("good rules")
}

/// A session, and a stream of it that was opened in `runtime`.
fn opened(runtime: &Runtime, sessions: &Sessions) -> (Session, Ended) {
    let session = sessions.start();
    let mut ended: Ended = Box::pin(session.ended());
    runtime.block_on(async {
        session.sign_in("ann").await.expect("signed in");
        let open = timeout(SECOND / 20, &mut ended).await;
        open.expect_err("its session lives");
    });
    (session, ended)
}

/// Drives a stream in `runtime` for several leases, and then ends its session elsewhere.
fn must_outlive_leases(
    runtime: &Runtime,
    session: &Session,
    mut ended: Ended,
    store: &MemoryStore,
) {
    let id = session.id().expect("stored");
    runtime.block_on(async {
        let open = timeout(4 * LEASE, &mut ended).await;
        open.expect_err("its session lives, and the store can be asked");
        let elsewhere = manager(store);
        assert!(elsewhere.destroy(&id).await.expect("up"));
        let closed = timeout(20 * SECOND, ended).await;
        assert_eq!(closed.expect("in time"), SessionEnd::Ended);
    });
}

#[test]
fn a_task_in_a_runtime_that_stands_still_is_replaced() {
    let store = MemoryStore::new();
    let (sessions, first, second) = (manager(&store), runtime(), runtime());
    let (_still, _undriven) = opened(&first, &sessions);
    let (session, ended) = opened(&second, &sessions);
    must_outlive_leases(&second, &session, ended, &store);
    drop(first);
}

#[test]
fn a_task_in_a_runtime_that_ends_is_replaced() {
    let store = MemoryStore::new();
    let (sessions, first, second) = (manager(&store), runtime(), runtime());
    let (_, gone) = opened(&first, &sessions);
    let (session, ended) = opened(&second, &sessions);
    drop((gone, first));
    must_outlive_leases(&second, &session, ended, &store);
    assert_eq!(sessions.open_streams(), 0);
}

/// A runtime in a thread of its own, where a stream of a session is open until `over`.
fn watched_elsewhere(sessions: &Sessions, over: &Arc<Notify>) -> JoinHandle<()> {
    let (sessions, over) = (sessions.clone(), Arc::clone(over));
    let (ready, is_ready) = std::sync::mpsc::channel();
    let watching = std::thread::spawn(move || {
        let runtime = runtime();
        let (_session, ended) = opened(&runtime, &sessions);
        ready.send(()).expect("a reader");
        runtime.block_on(async {
            tokio::select! {
                end = ended => panic!("{end}"),
                () = over.notified() => {}
            }
        });
    });
    is_ready.recv().expect("it opens its stream");
    watching
}

#[test]
fn a_stream_that_moves_to_another_runtime_does_not_need_the_first() {
    for first_ends in [false, true] {
        let store = MemoryStore::new();
        let (sessions, over) = (manager(&store), Arc::new(Notify::new()));
        let watching = watched_elsewhere(&sessions, &over);
        let (first, second) = (runtime(), runtime());
        let (session, ended) = opened(&first, &sessions);
        let first = (!first_ends).then_some(first);
        must_outlive_leases(&second, &session, ended, &store);
        over.notify_one();
        watching.join().expect("no panic");
        drop(first);
    }
}

#[test]
fn a_stream_and_its_task_move_to_another_runtime() {
    for first_ends in [false, true] {
        let store = MemoryStore::new();
        let (sessions, first, second) = (manager(&store), runtime(), runtime());
        let (session, ended) = opened(&first, &sessions);
        let first = (!first_ends).then_some(first);
        must_outlive_leases(&second, &session, ended, &store);
        drop(first);
    }
}

/// A store whose loads are not answered while the flag is set.
#[derive(Clone, Debug, Default)]
struct Silent {
    store: MemoryStore,
    is_silent: Arc<AtomicBool>,
    asked: Arc<Notify>,
}

impl StoreWrapper for Silent {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.store
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        if this.is_silent.load(SeqCst) {
            this.asked.notify_one();
            std::future::pending::<()>().await;
        }
        this.store.load(id).await
    }
}

#[test]
fn a_task_in_a_runtime_that_stops_while_it_asks_is_replaced_within_the_lease() {
    let (store, first, second) = (Silent::default(), runtime(), runtime());
    // The new task asks half a second before the lease is over.
    let lease = 5 * SECOND;
    let builder = Sessions::builder(store.clone()).stream_lease(lease);
    let sessions = builder.build().expect("good rules");
    let (_still, _undriven) = opened(&first, &sessions);
    let (_session, mut ended) = opened(&second, &sessions);
    first.block_on(async {
        tokio::time::sleep(SECOND / 10).await;
        store.is_silent.store(true, SeqCst);
        let round = timeout(lease, store.asked.notified()).await;
        round.expect("a round comes");
    });
    store.is_silent.store(false, SeqCst);
    second.block_on(async {
        let open = timeout(lease, &mut ended).await;
        open.expect_err("its session lives, and the store can be asked");
    });
}
