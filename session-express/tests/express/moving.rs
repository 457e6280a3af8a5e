//! Moving from Express' layout to a native store: no user is logged out, and no ended session comes
//! back.

mod interrupted;
mod streams;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use session_core::{
    Description, Draft, Error, ErrorKind, Lifetime, Owner, Saved, SessionId, SessionStore,
    SessionToken, Sessions, Stamp, Timeout, Ttl, Version,
};
use session_express::{Express, ExpressLayout, ExpressStore, MovingStore};
use session_memory::MemoryStore;

use crate::faulty::{CORRUPT, Fault, Faulty};
use crate::fixture::{HOUR, done, lives, plain, store};
use crate::support::Memory;

const SID: &str = "x8_4i3md4GT-YSO5u41ROgZDabcdefgh";

struct Setup {
    memory: Memory,
    native: MemoryStore,
    store: Arc<MovingStore<ExpressStore<Memory>>>,
    sessions: Sessions,
}

fn setup() -> Setup {
    let (memory, native) = (Memory::default(), MemoryStore::new());
    let store = MovingStore::new(Arc::new(native.clone()), store(memory.clone()));
    let store = Arc::new(store);
    let sessions = Sessions::new(Arc::clone(&store) as Arc<dyn SessionStore>);
    Setup {
        memory,
        native,
        store,
        sessions,
    }
}

impl Setup {
    /// Stores a session as an Express app does, and returns the id that its client presents.
    fn stored_by_express(&self) -> SessionId {
        let json = r#"{"cookie":{"originalMaxAge":null,"expires":null},"user":"Napoleon"}"#;
        self.memory.put(SID, json, HOUR);
        token().id()
    }

    /// Checks that the session has ended and that the native store has a tombstone.
    async fn assert_ended(&self, id: &SessionId) {
        assert!(!lives(&self.store, id).await, "it has ended");
        assert_eq!(self.memory.text(SID), None, "Express' record is removed");
        let tombstone = self.native.load(id).await.expect("read").expect("there");
        assert_eq!(&tombstone.data[..], b"\0ended");
    }
}

/// The token that a client of Express presents.
fn token() -> SessionToken {
    SessionToken::foreign(SID).expect("any text")
}

/// The same id from a client that has a native token.
fn native_id() -> SessionId {
    SessionId::from_stored(token().id().as_str()).expect("valid")
}

fn draft(name: &str) -> Draft {
    Draft::new(format!(r#"{{"name":"{name}"}}"#), Lifetime::idle(HOUR))
}

#[tokio::test]
async fn a_session_moves_with_its_first_write() {
    let setup = setup();
    let id = setup.stored_by_express();
    let session = setup.sessions.open(Some(&token())).await.expect("read");
    let user: Option<String> = session.get("user").expect("text");
    assert_eq!(user.as_deref(), Some("Napoleon"));
    assert!(setup.memory.text(SID).is_some(), "a load moves nothing");
    session.insert("seen", true).expect("JSON");
    let phone = Description::new().with_label("phone");
    session.describe(phone.clone()).expect("there is room");
    session.save().await.expect("saved");
    assert_eq!(setup.memory.text(SID), None);
    let moved = setup.native.load(&id).await.expect("read").expect("there");
    assert!(moved.credential.is_some());
    assert_eq!(moved.description, Some(phone));
    // From now on the client has a native token for the same id.
    let new = session.token().expect("stored");
    assert!(new.is_native());
    assert_eq!(new.id(), id);
    // A request with the old token still works.
    let late = setup.sessions.open(Some(&token())).await.expect("read");
    assert_eq!(late.get::<bool>("seen").expect("a bool"), Some(true));
    late.insert("late", true).expect("JSON");
    late.save().await.expect("saved");
    // The session is now in the native store alone.
    let alone = Sessions::new(Arc::new(setup.native.clone()));
    let session = alone.open(Some(&new)).await.expect("read");
    assert_eq!(session.keys(), ["user", "seen", "late"]);
}

#[tokio::test]
async fn a_loaded_session_of_the_express_layout_opens_with_the_presented_id_alone() {
    let setup = setup();
    let id = setup.stored_by_express();
    let read = setup.store.load(&id).await.expect("read").expect("there");
    assert!(read.credential.is_some());
    assert!(!read.version.stored().is_empty());
    assert!(!setup.store.capabilities().plain_ids);
    assert!(setup.store.directory().is_none());
    assert!(!lives(&setup.store, &native_id()).await, "not presented");
    assert!(!lives(&setup.store, &plain(SID)).await, "no native id");
}

#[tokio::test]
async fn a_new_session_is_native() {
    let setup = setup();
    let session = setup.sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let id = session.id().expect("stored");
    assert!(lives(&setup.native, &id).await);
    assert_eq!(setup.memory.calls.load(SeqCst), 0);
    session.insert("n", 2).expect("JSON");
    session.save().await.expect("saved");
    session.touch().await.expect("touched");
    session.destroy().await.expect("destroyed");
    assert_eq!(setup.memory.calls.load(SeqCst), 0, "nor looked for there");
    assert!(!lives(&setup.store, &id).await);
}

#[tokio::test]
async fn a_session_that_has_not_moved_is_touched_and_destroyed_in_the_express_layout() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let idle = Timeout::After(2 * HOUR);
    let left = store.touch(&id, idle).await.expect("touched");
    assert_eq!(left, Some(Ttl::Left(2 * HOUR)));
    let ended = store.destroy(&id, None).await.expect("destroyed");
    assert_eq!(ended.expect("it lived").id, id);
    setup.assert_ended(&id).await;
    assert_eq!(store.destroy(&id, None).await.expect("answered"), None);
    assert_eq!(store.touch(&id, idle).await.expect("answered"), None);
}

#[tokio::test]
async fn a_session_that_has_moved_is_touched_and_destroyed_natively() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let owner = Owner::new("user-1").expect("good");
    let read = store.load(&id).await.expect("read").expect("there");
    let moved = draft("moved").with_owner(owner.clone());
    done(store.save(&id, &moved, &read.version).await);
    let idle = Timeout::After(2 * HOUR);
    for id in [&id, &native_id()] {
        let left = store.touch(id, idle).await.expect("touched");
        assert!(left.expect("there").left() > Some(HOUR));
    }
    let ended = store.destroy(&native_id(), None).await.expect("answered");
    let ended = ended.expect("it lived");
    assert_eq!((ended.id, ended.owner), (id.clone(), Some(owner)));
    assert!(ended.age.is_some());
    setup.assert_ended(&id).await;
    assert_eq!(store.destroy(&id, None).await.expect("answered"), None);
    assert_eq!(store.touch(&id, idle).await.expect("answered"), None);
}

#[tokio::test]
async fn a_save_of_an_ended_session_is_gone() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let read = store.load(&id).await.expect("read").expect("there");
    store.destroy(&id, None).await.expect("destroyed");
    let late = store.save(&id, &draft("late"), &read.version).await;
    assert_eq!(late.expect("answered"), Saved::Gone);
    let late = store
        .save(&native_id(), &draft("late"), &read.version)
        .await;
    assert_eq!(late.expect("answered"), Saved::Gone);
    // An Express app that still runs overwrites the record.
    setup.stored_by_express();
    let late = store.save(&id, &draft("late"), &read.version).await;
    assert_eq!(late.expect("answered"), Saved::Gone);
    assert!(!lives(store, &id).await);
    let created = store.create(&id, &draft("again")).await;
    assert_eq!(created.expect("answered"), Saved::Conflict);
}

#[tokio::test]
async fn a_request_that_has_read_the_session_does_not_undo_a_sign_out() {
    let setup = setup();
    setup.stored_by_express();
    let slow = setup.sessions.open(Some(&token())).await.expect("read");
    slow.insert("late", true).expect("JSON");
    let session = setup.sessions.open(Some(&token())).await.expect("read");
    session.destroy().await.expect("destroyed");
    assert!(matches!(slow.save().await, Err(error) if error.kind() == ErrorKind::Gone));
    let again = setup.sessions.open(Some(&token())).await.expect("read");
    assert!(again.is_new());
    assert!(matches!(slow.cycle_id().await, Err(error) if error.kind() == ErrorKind::Gone));
}

#[tokio::test]
async fn a_sign_in_moves_the_session_and_the_old_token_opens_nothing() {
    let setup = setup();
    let id = setup.stored_by_express();
    let session = setup.sessions.open(Some(&token())).await.expect("read");
    session.sign_in("user-1").await.expect("signed in");
    let new = session.token().expect("stored");
    assert_eq!(new.id(), id, "the id stays");
    assert_eq!(setup.memory.text(SID), None);
    let old = setup.sessions.open(Some(&token())).await.expect("read");
    assert!(old.is_empty() && old.owner().is_none());
    let again = setup.sessions.open(Some(&new)).await.expect("read");
    let user: Option<String> = again.get("user").expect("text");
    assert_eq!(user.as_deref(), Some("Napoleon"));
    again.destroy().await.expect("destroyed");
    setup.assert_ended(&id).await;
}

#[tokio::test]
async fn a_move_of_another_version_is_a_conflict() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let other = Version::new(Stamp::generate());
    let saved = store.save(&id, &draft("stale"), &other).await;
    assert_eq!(saved.expect("answered"), Saved::Conflict);
    assert!(setup.memory.text(SID).is_some());
    let read = store.load(&id).await.expect("read").expect("there");
    let version = done(store.save(&id, &draft("moved"), &read.version).await);
    let saved = store.save(&id, &draft("stale"), &read.version).await;
    assert_eq!(saved.expect("answered"), Saved::Conflict);
    done(store.save(&native_id(), &draft("next"), &version).await);
    let unknown = SessionToken::foreign("unknown").expect("any text").id();
    let saved = store.save(&unknown, &draft("none"), &other).await;
    assert_eq!(saved.expect("answered"), Saved::Gone);
}

#[tokio::test]
async fn a_destroy_of_one_version_ends_no_other() {
    let setup = setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let other = Version::new(Stamp::generate());
    for id in [&id, &native_id()] {
        let ended = store.destroy(id, Some(&other)).await;
        assert_eq!(ended.expect("answered"), None);
    }
    let read = store.load(&id).await.expect("read").expect("there");
    let ended = store.destroy(&id, Some(&read.version)).await;
    assert!(ended.expect("answered").is_some(), "unmoved");
    setup.assert_ended(&id).await;
    let ended = store.destroy(&id, Some(&read.version)).await;
    assert_eq!(ended.expect("answered"), None, "it has ended before");

    let setup = self::setup();
    let (store, id) = (&setup.store, setup.stored_by_express());
    let read = store.load(&id).await.expect("read").expect("there");
    let moved = done(store.save(&id, &draft("moved"), &read.version).await);
    let ended = store.destroy(&id, Some(&read.version)).await;
    assert_eq!(ended.expect("answered"), None, "it has moved since");
    let ended = store.destroy(&native_id(), Some(&moved)).await;
    assert!(ended.expect("answered").is_some(), "moved");
    setup.assert_ended(&id).await;
}

/// A moving store over a faulty native store.
fn faulty(fault: Fault) -> (Memory, Faulty, MovingStore<ExpressStore<Memory>>) {
    let (memory, native) = (Memory::default(), Faulty::new(fault));
    let store = MovingStore::new(Arc::new(native.clone()), store(memory.clone()));
    (memory, native, store)
}

async fn has_tombstone(native: &Faulty, id: &SessionId) -> bool {
    let found = native.inner.load(id).await.expect("read");
    &found.expect("there").data[..] == b"\0ended"
}

#[tokio::test]
async fn a_corrupt_native_record_can_be_destroyed() {
    let (_, native, store) = faulty(Fault::Corrupt);
    let id = SessionToken::generate().id();
    let corrupt = Draft::new(CORRUPT, Lifetime::idle(HOUR));
    let version = done(native.create(&id, &corrupt).await);
    store.load(&id).await.expect_err("corrupt");
    let ended = store.destroy(&id, Some(&version)).await;
    assert!(
        matches!(&ended, Err(error) if error.kind() == ErrorKind::Corrupt),
        "{ended:?}"
    );
    let ended = store.destroy(&id, None).await.expect("answered");
    assert_eq!(ended.expect("it was there").id, id);
    assert!(!lives(&store, &id).await);
    assert!(has_tombstone(&native, &id).await);
}

/// Records that are not sessions, written by an Express app or by hand.
const DAMAGED: [&str; 5] = ["", "{", "[]", r#"{"n":1}"#, r#"{"cookie":1}"#];

#[tokio::test]
async fn a_damaged_record_of_express_costs_only_its_own_client() {
    let setup = setup();
    let store = &setup.store;
    let whole = setup.stored_by_express();
    let idle = Timeout::After(2 * HOUR);
    for (n, damaged) in DAMAGED.into_iter().enumerate() {
        let sid = format!("damaged {n}");
        setup.memory.put(&sid, damaged, HOUR);
        let token = SessionToken::foreign(&sid).expect("any text");
        let id = token.id();
        let is_corrupt = |error: &Error| error.kind() == ErrorKind::Corrupt;
        let loaded = store.load(&id).await;
        assert!(
            loaded.as_ref().is_err_and(is_corrupt),
            "{damaged}: {loaded:?}"
        );
        let touched = store.touch(&id, idle).await;
        assert!(
            touched.as_ref().is_err_and(is_corrupt),
            "{damaged}: {touched:?}"
        );
        let any = Version::new(Stamp::generate());
        let saved = store.save(&id, &draft("late"), &any).await;
        assert!(
            saved.as_ref().is_err_and(is_corrupt),
            "{damaged}: {saved:?}"
        );
        // Its client gets a fresh session, under another id.
        let session = setup.sessions.open(Some(&token)).await.expect("read");
        assert!(session.is_new());
        session.insert("n", n).expect("JSON");
        session.save().await.expect("saved");
        assert_ne!(session.id(), Some(id.clone()));
        // A destroy by the presented id ends it.
        let ended = store.destroy(&id, None).await.expect("answered");
        assert!(ended.is_some(), "{damaged}");
        assert_eq!(setup.memory.text(&sid), None);
        assert!(!lives(store, &id).await);
    }
    let read = store.load(&whole).await.expect("read").expect("there");
    done(store.save(&whole, &draft("moved"), &read.version).await);
}

#[tokio::test]
async fn a_damaged_native_record_does_not_bring_the_express_record_back() {
    let (memory, native, store) = faulty(Fault::Corrupt);
    memory.put(SID, r#"{"cookie":{}}"#, HOUR);
    let id = token().id();
    done(
        native
            .create(&id, &Draft::new(CORRUPT, Lifetime::idle(HOUR)))
            .await,
    );
    let loaded = store.load(&id).await;
    assert!(
        matches!(&loaded, Err(error) if error.kind() == ErrorKind::Corrupt),
        "{loaded:?}"
    );
    let touched = store.touch(&id, Timeout::After(HOUR)).await;
    assert!(
        matches!(&touched, Err(error) if error.kind() == ErrorKind::Corrupt),
        "{touched:?}"
    );
    let any = Version::new(Stamp::generate());
    let saved = store.save(&id, &draft("late"), &any).await;
    assert!(!saved.as_ref().is_ok_and(Saved::is_done), "{saved:?}");
    assert!(memory.text(SID).is_some(), "nothing has moved");
    store.destroy(&id, None).await.expect("answered");
    assert!(!lives(&store, &id).await);
    assert_eq!(memory.text(SID), None);
}

#[tokio::test]
async fn a_sign_out_ends_a_session_that_another_writer_always_writes_first() {
    let (memory, native, store) = faulty(Fault::Contended);
    let id = token().id();
    memory.put(SID, r#"{"cookie":{}}"#, HOUR);
    let version = done(native.create(&id, &draft("first")).await);
    let ended = store.destroy(&id, None).await.expect("answered");
    let ended = ended.expect("it lived");
    assert!(ended.age.is_some(), "what the native store has ended");
    assert!(!lives(&store, &id).await);
    assert!(has_tombstone(&native, &id).await);
    assert_eq!(memory.text(SID), None);
    let id = SessionToken::generate().id();
    done(native.create(&id, &draft("first")).await);
    let ended = store.destroy(&id, Some(&version)).await;
    assert_eq!(ended.expect("answered"), None, "another version");
    assert!(lives(&store, &id).await);
}

#[tokio::test]
async fn a_destroy_recognises_its_own_tombstone() {
    for is_moved in [false, true] {
        let (memory, native, store) = faulty(Fault::Unsure);
        let id = token().id();
        memory.put(SID, r#"{"cookie":{}}"#, HOUR);
        if is_moved {
            done(native.inner.create(&id, &draft("first")).await);
        }
        let read = store.load(&id).await.expect("read").expect("there");
        let ended = store.destroy(&id, Some(&read.version)).await;
        let ended = ended.expect("answered").expect("it was this destroy");
        assert!(ended.age.is_some());
        assert!(has_tombstone(&native, &id).await);
        assert_eq!(memory.text(SID), None);
        let again = store.destroy(&id, Some(&read.version)).await;
        assert_eq!(again.expect("answered"), None);
    }
}

#[tokio::test]
async fn a_move_keeps_the_absolute_deadline() {
    let setup = setup();
    let express = store(setup.memory.clone());
    let limit = Duration::from_millis(1_500);
    let begun = Draft::new("{}", Lifetime::fixed(limit));
    done(express.create(&plain(SID), &begun).await);
    let some_time = Duration::from_millis(400);
    tokio::time::sleep(some_time).await;
    let (store, id) = (&setup.store, token().id());
    let read = store.load(&id).await.expect("read").expect("there");
    assert_eq!(read.age, Duration::ZERO);
    assert!(read.lifetime.absolute <= Timeout::After(limit - some_time));
    // The request is slow.
    tokio::time::sleep(some_time).await;
    let moved = Draft::new("{}", read.lifetime);
    done(store.save(&id, &moved, &read.version).await);
    let read = store.load(&id).await.expect("read").expect("there");
    assert!(read.ttl.left() <= Some(limit - 2 * some_time));
    tokio::time::sleep(limit - 2 * some_time).await;
    assert!(!lives(store, &id).await);
}

#[tokio::test]
async fn a_moving_store_has_the_options_of_the_app() {
    let express = Express::new("s").name("sid").max_age(HOUR);
    let express = ExpressStore::with_client(Memory::default(), express, ()).expect("good options");
    let store = MovingStore::new(Arc::new(MemoryStore::new()), express);
    assert_eq!(store.express().cookie_name(), "sid");
    assert_eq!(store.lifetime(), Lifetime::idle(HOUR));
}
