//! A store belongs to no runtime: it works after the one it was made in, and in several by turns.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Draft, Lifetime, SessionId, SessionStore, SessionToken};
use tokio::runtime::{Builder, Runtime};

use super::place::{self, What};

const SECOND: Duration = Duration::from_secs(1);

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime")
}

fn new_id(store: &dyn SessionStore) -> SessionId {
    let id = SessionToken::generate().id();
    match store.capabilities().plain_ids {
        true => SessionId::plain(&id.as_str().repeat(2)).expect("valid"),
        false => id,
    }
}

/// A session's life: each kind of operation, once.
async fn live(store: Arc<dyn SessionStore>) -> session_core::Result<()> {
    let draft = || Draft::new("{}", Lifetime::idle(60 * SECOND));
    let id = new_id(&*store);
    assert!(store.create(&id, &draft()).await?.is_done());
    let record = store.load(&id).await?.expect("created");
    assert!(store.save(&id, &draft(), &record.version).await?.is_done());
    let longer = session_core::Timeout::After(90 * SECOND);
    assert!(store.touch(&id, longer).await?.is_some());
    let directory = store.directory().expect("it lists");
    assert!(directory.count().await? > 0);
    assert!(store.destroy(&id, None).await?.is_some());
    Ok(())
}

/// Runs [`live`] in `runtime`, several at once. A connection of another runtime that is not driven
/// would time out.
fn live_in(runtime: &Runtime, store: &Arc<dyn SessionStore>, name: &str, what: What) {
    runtime.block_on(async {
        let lives = (0..4).map(|_| tokio::spawn(live(Arc::clone(store))));
        for done in lives.collect::<Vec<_>>() {
            let done = done.await.expect("no panic");
            done.unwrap_or_else(|error| panic!("{name}, {what:?}: {error}"));
        }
    });
}

#[test]
fn a_store_works_after_the_runtime_it_was_made_in_and_in_several_by_turns() {
    for place in place::all() {
        for what in place.stores {
            let first = runtime();
            let store = first.block_on(place.open(*what));
            live_in(&first, &store, place.name, *what);
            drop(first);
            let [second, third] = [runtime(), runtime()];
            for _ in 0..3 {
                live_in(&second, &store, place.name, *what);
                live_in(&third, &store, place.name, *what);
            }
            drop(second);
            live_in(&third, &store, place.name, *what);
            // A store may also end in no runtime.
            drop(store);
        }
    }
}
