//! Opening a session does not panic for any stored data, and a session that opens is written back
//! unchanged.

#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use session_core::{Credential, Draft, Lifetime, Session, SessionStore, SessionToken, Sessions};
use session_memory::MemoryStore;
use tokio::runtime::{Builder, Runtime};

struct World {
    runtime: Runtime,
    store: MemoryStore,
    sessions: Sessions,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let store = MemoryStore::new();
        World {
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            sessions: Sessions::new(Arc::new(store.clone())),
            store,
        }
    })
}

fn contents(session: &Session) -> BTreeMap<String, Option<String>> {
    let keys = session.keys().into_iter();
    // A value of another type must give an error, not a panic.
    keys.map(|key| {
        let _ = session.get::<u64>(&key);
        let text = session.get::<String>(&key).ok().flatten();
        (key, text)
    })
    .collect()
}

fuzz_target!(|data: &[u8]| {
    let World {
        runtime,
        store,
        sessions,
    } = world();
    runtime.block_on(async {
        let token = SessionToken::generate();
        let draft = Draft::new(data.to_vec(), Lifetime::default())
            .with_credential(Credential::opened_by(&token, None));
        let created = store.create(&token.id(), &draft).await.expect("up");
        assert!(created.is_done());
        if let Some(session) = sessions.find(&token).await.expect("corrupt is absent") {
            let before = contents(&session);
            session.save_unchanged().await.expect("it was small enough");
            let again = sessions
                .find(&token)
                .await
                .expect("up")
                .expect("it was saved");
            assert_eq!(contents(&again), before, "written back as it was");
        }
        store.destroy(&token.id(), None).await.expect("up");
    });
});
