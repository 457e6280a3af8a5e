//! Records whose owner and absolute limit no secret authenticates are corrupt, and affect only
//! their own client.

use std::sync::{Arc, Mutex};

use session_core::{
    Draft, Error, ErrorKind, Lifetime, Observer, Owner, Saved, Session, SessionDirectory,
    SessionId, SessionStore, SessionToken, Sessions, Timeout,
};
use session_express::{EXTRA_KEY, Express, ExpressLayout, ExpressStore, MovingStore};
use session_memory::MemoryStore;

use crate::fixture::{HOUR, done, plain};
use crate::support::Memory;

const SID: &str = "sid";

/// An observer that collects reports of corrupt sessions.
#[derive(Clone, Default)]
struct CorruptReports(Arc<Mutex<Vec<String>>>);

impl Observer for CorruptReports {
    fn corrupt(&self, id: &SessionId, error: &Error) {
        let text = format!("{id:?} {error}");
        self.0.lock().expect("whole").push(text);
    }
}

impl CorruptReports {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("whole"))
    }
}

fn store(memory: &Memory, express: Express) -> ExpressStore<Memory> {
    ExpressStore::with_client(memory.clone(), express, ()).expect("good options")
}

fn sessions(store: impl ExpressLayout, reports: &CorruptReports) -> Sessions {
    let lifetime = store.lifetime();
    let sessions = Sessions::builder(Arc::new(store)).lifetime(lifetime);
    sessions
        .observer(reports.clone())
        .build()
        .expect("good rules")
}

/// Stores a session of ann's with an absolute limit of 12 hours, under the secret `s`.
async fn signed_in(memory: &Memory) {
    let lifetime = Lifetime::new(HOUR, 12 * HOUR);
    let ann = Owner::new("ann").expect("valid");
    let draft = Draft::new(r#"{"user":"ann"}"#, lifetime).with_owner(ann);
    let store = store(memory, Express::new("s"));
    done(store.create(&plain(SID), &draft).await);
}

fn is_unauthentic<T>(answer: session_core::Result<T>) -> bool {
    let error = answer.err();
    error.is_some_and(|error| {
        (error.kind() == ErrorKind::Corrupt) && error.to_string().contains("retired too early")
    })
}

async fn open(sessions: &Sessions) -> Session {
    let token = SessionToken::plain(SID);
    sessions.open(token.as_ref()).await.expect("no error")
}

#[tokio::test]
async fn retiring_a_secret_does_not_silently_drop_a_limit_or_an_owner() {
    let (memory, reports) = (Memory::default(), CorruptReports::default());
    signed_in(&memory).await;
    let before = memory.text(SID);
    let others = store(&memory, Express::new("other"));
    assert!(is_unauthentic(others.load(&plain(SID)).await));
    let touched = others.touch(&plain(SID), HOUR.into()).await;
    assert!(is_unauthentic(touched));
    let all = others.list(None, 10).await.expect("it goes on");
    assert_eq!(all.sessions, [], "it is left out, as every corrupt one");

    let sessions = sessions(others, &reports);
    let session = open(&sessions).await;
    assert_eq!((session.owner(), session.keys()), (None, Vec::new()));
    let reported = reports.take();
    assert!(
        reported.len() == 1 && reported[0].contains("retired too early"),
        "{reported:?}"
    );
    assert!(!reported[0].contains("ann"), "{reported:?}");
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    assert_ne!(session.token(), SessionToken::plain(SID), "a fresh one");
    assert_eq!(memory.text(SID), before, "left as it is");

    // With the secret as a previous one all is there, and the next save uses the present one.
    let rotated = Express::new("other").with_previous("s");
    let record = store(&memory, rotated.clone()).load(&plain(SID)).await;
    let record = record.expect("authentic").expect("there");
    assert_eq!(record.owner.as_ref().map(Owner::as_str), Some("ann"));
    assert_eq!(
        record.lifetime.absolute,
        Timeout::After(12 * HOUR),
        "as it was"
    );
}

#[tokio::test]
async fn an_unauthentic_record_can_be_destroyed_and_stops_no_other() {
    let memory = Memory::default();
    signed_in(&memory).await;
    let others = store(&memory, Express::new("other"));
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    done(others.create(&plain("whole"), &draft).await);
    let listed = others.list(None, 10).await.expect("it goes on");
    let listed: Vec<_> = listed
        .sessions
        .iter()
        .map(|info| info.id.as_str())
        .collect();
    assert_eq!(listed, ["whole"]);
    let there = others.create(&plain(SID), &draft).await;
    assert!(is_unauthentic(there), "it blocks its id");
    let ended = others.destroy(&plain(SID), None).await.expect("up");
    assert!(ended.is_some());
    assert_eq!(memory.text(SID), None);
    assert_eq!(others.count().await.expect("up"), 1);
    done(others.create(&plain(SID), &draft).await);
}

/// An app that regenerates sessions and keeps their variables copies the value.
#[tokio::test]
async fn a_value_that_express_copied_from_another_session_is_ignored() {
    let (memory, reports) = (Memory::default(), CorruptReports::default());
    signed_in(&memory).await;
    let copied = memory.text(SID).expect("there");
    memory.put("new", &copied, HOUR);
    let sessions = sessions(store(&memory, Express::new("s")), &reports);
    let token = SessionToken::plain("new");
    let session = sessions.open(token.as_ref()).await.expect("read");
    assert_eq!(session.owner(), None, "ann has not signed in to it");
    assert_eq!(session.lifetime().absolute, Timeout::Never);
    assert_eq!(session.keys(), ["user"]);
    session.insert("seen", true).expect("JSON");
    session.save().await.expect("saved");
    let text = memory.text("new").expect("there");
    assert!(!text.contains(EXTRA_KEY), "the next write drops it: {text}");
    assert_eq!(reports.take(), [""; 0]);
    let first = open(&sessions).await;
    assert!(first.owner().is_some(), "the first one keeps its own");
}

#[tokio::test]
async fn a_value_written_by_an_app_is_corrupt_and_sets_no_owner() {
    let (memory, reports) = (Memory::default(), CorruptReports::default());
    let sessions = sessions(store(&memory, Express::new("s")), &reports);
    for forged in [
        r#"{"owner":"admin"}"#,
        r#"{"owner":"admin","began":1,"mac":""}"#,
        r#"{"owner":"admin","for":"","mac":""}"#,
        "null",
        "[]",
    ] {
        let json = format!(r#"{{"cookie":{{}},"user":"u","{EXTRA_KEY}":{forged}}}"#);
        memory.put(SID, &json, HOUR);
        let session = open(&sessions).await;
        assert_eq!((session.owner(), session.keys()), (None, Vec::new()));
        assert_eq!(reports.take().len(), 1, "{forged}");
    }
}

#[tokio::test]
async fn an_unauthentic_record_does_not_move_and_can_be_destroyed() {
    let (memory, native) = (Memory::default(), MemoryStore::new());
    signed_in(&memory).await;
    let before = memory.text(SID);
    let moving = MovingStore::new(
        Arc::new(native.clone()),
        store(&memory, Express::new("other")),
    );
    let id = SessionToken::foreign(SID).expect("any text").id();
    assert!(is_unauthentic(moving.load(&id).await));
    assert!(is_unauthentic(moving.touch(&id, HOUR.into()).await));
    let draft = Draft::new("{}", Lifetime::idle(HOUR));
    let theirs = store(&memory, Express::new("s"));
    let read = theirs.load(&plain(SID)).await.expect("up").expect("there");
    let saved = moving.save(&id, &draft, &read.version).await;
    assert!(is_unauthentic(saved));
    assert_eq!(native.count().await.expect("up"), 0, "nothing has moved");
    assert_eq!(memory.text(SID), before);

    let reports = CorruptReports::default();
    let moving = Arc::new(moving);
    let shared = Arc::clone(&moving) as Arc<dyn SessionStore>;
    let sessions = Sessions::builder(shared).observer(reports.clone());
    let sessions = sessions.build().expect("good rules");
    let token = SessionToken::foreign(SID);
    let session = sessions.open(token.as_ref()).await.expect("no error");
    assert_eq!((session.owner(), session.keys()), (None, Vec::new()));
    assert_eq!(reports.take().len(), 1);

    let ended = moving.destroy(&id, None).await.expect("up");
    assert!(ended.is_some());
    assert_eq!(memory.text(SID), None);
    assert!(moving.load(&id).await.expect("up").is_none());
    assert!(matches!(
        moving.save(&id, &draft, &read.version).await,
        Ok(Saved::Gone)
    ));
}
