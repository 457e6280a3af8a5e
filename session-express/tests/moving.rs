//! From Express' layout to a native store: nobody is logged out, and nobody who was logs in again.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Capabilities, Draft, Error, Lifetime, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, SessionToken, Sessions, Stamp, Timeout, Ttl, async_trait,
};
use session_express::{Express, ExpressStore, MovingStore};
use session_memory::MemoryStore;
use support::Memory;
use tokio::sync::Semaphore;

const HOUR: Duration = Duration::from_secs(3_600);

struct Setup {
    memory: Memory,
    native: MemoryStore,
    sessions: Sessions,
}

fn moving(memory: &Memory, native: &MemoryStore) -> MovingStore<ExpressStore<Memory>> {
    let express = ExpressStore::new(memory.clone(), Express::new("s")).expect("good options");
    MovingStore::new(Arc::new(native.clone()), express)
}

fn setup() -> Setup {
    let (memory, native) = (Memory::default(), MemoryStore::new());
    let sessions = Sessions::new(Arc::new(moving(&memory, &native)));
    Setup {
        memory,
        native,
        sessions,
    }
}

/// A session that an Express app has left.
fn left_by_express(memory: &Memory) -> SessionToken {
    let token = SessionToken::generate();
    let json = r#"{"cookie":{"originalMaxAge":null,"expires":null},"user":"Napoleon"}"#;
    memory.put(token.expose(), json, HOUR);
    token
}

#[tokio::test]
async fn a_session_moves_with_its_first_write() {
    let Setup {
        memory,
        native,
        sessions,
    } = setup();
    let token = left_by_express(&memory);
    let session = sessions.open(Some(&token)).await.expect("read");
    assert_eq!(
        session.get::<String>("user").expect("text").as_deref(),
        Some("Napoleon")
    );
    assert!(
        memory.text(token.expose()).is_some(),
        "reading moves nothing"
    );
    session.insert("seen", true).expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(memory.text(token.expose()), None);
    assert!(
        native.load(&token.id()).await.expect("read").is_some(),
        "under its hash"
    );
    // The native store alone knows it now: the move is over for this one.
    let alone = Sessions::new(Arc::new(native));
    let session = alone.open(Some(&token)).await.expect("read");
    assert_eq!(
        session.get::<String>("user").expect("text").as_deref(),
        Some("Napoleon")
    );
    assert_eq!(session.get::<bool>("seen").expect("a bool"), Some(true));
}

#[tokio::test]
async fn a_session_that_only_one_side_has_is_read_touched_and_destroyed_there() {
    let Setup {
        memory,
        native,
        sessions,
    } = setup();
    let token = left_by_express(&memory);
    let store = sessions.store();
    let id = token.clone().plain().id();
    assert!(
        store
            .touch(&id, Timeout::After(2 * HOUR))
            .await
            .expect("touched")
            .is_some()
    );
    assert!(store.destroy(&id).await.expect("destroyed"));
    assert_eq!(memory.text(token.expose()), None);
    assert!(!store.destroy(&id).await.expect("answered"));
    assert!(store.load(&id).await.expect("read").is_none());
    assert!(
        store
            .touch(&id, Timeout::After(HOUR))
            .await
            .expect("answered")
            .is_none()
    );

    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token().expect("stored");
    assert_eq!(memory.text(token.expose()), None, "new ones are native");
    let hashed = SessionToken::parse(token.expose()).expect("ours").id();
    assert!(native.load(&hashed).await.expect("read").is_some());
    session.destroy().await.expect("destroyed");
}

#[tokio::test]
async fn a_logout_holds_against_a_request_that_was_about_to_move_the_session() {
    let Setup {
        memory, sessions, ..
    } = setup();
    let token = left_by_express(&memory);
    let slow = sessions.open(Some(&token)).await.expect("read");
    slow.insert("late", true).expect("JSON");
    let session = sessions.open(Some(&token)).await.expect("read");
    session.destroy().await.expect("destroyed");
    assert!(matches!(slow.save().await, Err(Error::Gone)));
    assert!(sessions.open(Some(&token)).await.expect("read").is_new());

    let token = left_by_express(&memory);
    let slow = sessions.open(Some(&token)).await.expect("read");
    let session = sessions.open(Some(&token)).await.expect("read");
    session.destroy().await.expect("destroyed");
    assert!(matches!(slow.cycle_id().await, Err(Error::Gone)));
}

#[tokio::test]
async fn signing_in_moves_the_session_and_frees_its_old_id() {
    let Setup {
        memory, sessions, ..
    } = setup();
    let token = left_by_express(&memory);
    let session = sessions.open(Some(&token)).await.expect("read");
    session.cycle_id().await.expect("cycled");
    let new = session.token().expect("stored");
    assert_ne!(new, token);
    assert_eq!(memory.text(token.expose()), None);
    assert!(sessions.open(Some(&token)).await.expect("read").is_new());
    let again = sessions.open(Some(&new)).await.expect("read");
    assert_eq!(
        again.get::<String>("user").expect("text").as_deref(),
        Some("Napoleon")
    );
}

#[tokio::test]
async fn a_rename_that_was_cut_off_can_be_repeated() {
    let Setup {
        memory,
        native,
        sessions,
    } = setup();
    let token = left_by_express(&memory);
    let (from, to) = (token.clone().plain().id(), token.cycled().plain().id());
    let store = sessions.store();
    let read = store.load(&from).await.expect("read").expect("there");
    let draft = Draft::new(read.data.clone(), read.lifetime);
    // What the first half of it leaves.
    let mut tombstone = Draft::new(&b"\0ended"[..], Lifetime::fixed(HOUR));
    tombstone.stamp = draft.stamp;
    native
        .create(&token.id(), &tombstone)
        .await
        .expect("created");
    let half = store.load(&from).await.expect("read");
    assert!(half.is_none(), "the old id is dead already");
    let renamed = store.rename(&from, &to, &draft, read.stamp).await;
    assert!(matches!(renamed, Ok(Saved::Done(_))), "{renamed:?}");
    let renamed = store.rename(&from, &to, &draft, read.stamp).await;
    assert!(matches!(renamed, Ok(Saved::Done(_))), "{renamed:?}");
    let other = Draft::new("{}", read.lifetime);
    let renamed = store.rename(&from, &to, &other, Stamp::generate()).await;
    assert_eq!(renamed.expect("answered"), Saved::Gone);
}

#[tokio::test]
async fn many_requests_of_one_session_move_it_once_and_lose_nothing() {
    let Setup {
        memory, sessions, ..
    } = setup();
    let token = left_by_express(&memory);
    let writers = (0..24).map(|n| {
        let (sessions, token) = (sessions.clone(), token.clone());
        tokio::spawn(async move {
            let session = sessions.open(Some(&token)).await.expect("read");
            session.insert(&format!("key{n}"), n).expect("JSON");
            session
                .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                .await
                .expect("updated");
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let session = sessions.open(Some(&token)).await.expect("read");
    assert_eq!(session.get::<u32>("n").expect("a number"), Some(24));
    assert_eq!(session.keys().len(), 26);
}

/// A native store in which a session that is about to be created waits until it is let on.
#[derive(Debug)]
struct Gated {
    inner: MemoryStore,
    reached: Semaphore,
    open: Semaphore,
}

#[async_trait]
impl SessionStore for Gated {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        if draft.data.starts_with(b"{") {
            self.reached.add_permits(1);
            self.open.acquire().await.expect("open").forget();
        }
        self.inner.create(id, draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.inner.load(id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.inner.save(id, draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.inner.touch(id, idle).await
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.inner.rename(from, to, draft, expected).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.inner.destroy(id).await
    }
}

#[tokio::test]
async fn a_logout_holds_though_the_session_is_being_moved_at_that_moment() {
    let memory = Memory::default();
    let gated = Arc::new(Gated {
        inner: MemoryStore::new(),
        reached: Semaphore::new(0),
        open: Semaphore::new(0),
    });
    let express = ExpressStore::new(memory.clone(), Express::new("s")).expect("good options");
    let native = Arc::clone(&gated) as Arc<dyn SessionStore>;
    let sessions = Sessions::new(Arc::new(MovingStore::new(native, express)));
    let token = left_by_express(&memory);
    let slow = sessions.open(Some(&token)).await.expect("read");
    slow.insert("late", true).expect("JSON");
    let moving = tokio::spawn(async move { slow.save().await });
    gated.reached.acquire().await.expect("open").forget();
    let session = sessions.open(Some(&token)).await.expect("read");
    session.destroy().await.expect("destroyed");
    gated.open.add_permits(1_000);
    let moved = moving.await.expect("no panic");
    assert!(matches!(moved, Err(Error::Gone)), "{moved:?}");
    assert!(sessions.open(Some(&token)).await.expect("read").is_new());
}
