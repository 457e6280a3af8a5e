//! Sessions in Express' layout: no lost update, no resurrection, and records in Express' format.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    Anchor, Description, Draft, Error, ErrorKind, Lifetime, Observer, Owner, Saved,
    SessionDirectory, SessionId, SessionStore, SessionToken, Sessions, Timeout, Version,
};
use session_express::{Express, ExpressLayout, ExpressStore};

use crate::fixture::{HOUR, done, plain};
use crate::support::Memory;

fn setup(express: Express) -> (Memory, ExpressStore<Memory>, Sessions) {
    let memory = Memory::default();
    let store = ExpressStore::with_client(memory.clone(), express, ()).expect("good options");
    let lifetime = store.lifetime();
    let sessions = Sessions::builder(Arc::new(store.clone())).lifetime(lifetime);
    (memory, store, sessions.build().expect("good rules"))
}

fn sid(session: &session_core::Session) -> String {
    session.token().expect("stored").expose().to_owned()
}

#[tokio::test]
async fn a_session_is_stored_under_its_token_as_express_writes_it() {
    let (memory, _, sessions) = setup(Express::new("s"));
    let session = sessions.start();
    session.insert("name", "Napoleon").expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(
        memory.text(&sid(&session)).as_deref(),
        Some(
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"name":"Napoleon"}"#
        )
    );
    let again = sessions.open(session.token().as_ref()).await.expect("read");
    assert_eq!(again.keys(), ["name"], "the cookie is no variable");
}

#[tokio::test]
async fn a_record_of_express_is_read_changed_and_kept() {
    let (memory, _, sessions) = setup(Express::new("s"));
    let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    let theirs = r#"{"cookie":{"originalMaxAge":3600000,"expires":"2020-01-01T00:00:00.000Z","x":[1],"path":"/"},"cart":{"n":12345678901234567890}}"#;
    memory.put(uuid, theirs, HOUR);
    let token = SessionToken::plain(uuid).expect("a text");
    let session = sessions.open(Some(&token)).await.expect("read");
    assert_eq!(session.lifetime(), Lifetime::idle(HOUR));
    session.insert("seen", true).expect("JSON");
    let before = memory.calls.load(SeqCst);
    session.save().await.expect("saved");
    assert_eq!(memory.calls.load(SeqCst) - before, 1, "one round trip");
    let text = memory.text(uuid).expect("there");
    assert!(
        text.contains(r#""x":[1],"path":"/"},"cart":{"n":12345678901234567890},"seen":true}"#),
        "{text}"
    );
    assert!(
        !text.contains("2020-01-01"),
        "expires is true again: {text}"
    );
    session.insert("seen", 2).expect("JSON");
    session.save().await.expect("saved");
    let calls = memory.calls.load(SeqCst) - before;
    assert_eq!(calls, 2, "the next save needs no load either");
}

#[tokio::test]
async fn writers_of_different_keys_lose_none_and_updates_add_up() {
    let (_, _, sessions) = setup(Express::new("s").max_age(HOUR));
    let session = sessions.start();
    session.insert("n", 0).expect("JSON");
    session.save().await.expect("saved");
    let token = session.token();
    let writers = (0..24).map(|writer| {
        let (sessions, token) = (sessions.clone(), token.clone());
        tokio::spawn(async move {
            let session = sessions.open(token.as_ref()).await.expect("read");
            session
                .insert(&format!("key{writer}"), writer)
                .expect("JSON");
            session.touch().await.expect("touched");
            session
                .update("n", |n: Option<u32>| n.unwrap_or(0) + 1)
                .await
                .expect("updated");
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no panic");
    }
    let session = sessions.open(token.as_ref()).await.expect("read");
    assert_eq!(session.get::<u32>("n").expect("a number"), Some(24));
    assert_eq!(session.keys().len(), 25);
}

/// Two writers that read the same number write the same record: only one write is done.
#[tokio::test]
async fn a_write_of_equal_content_by_another_request_is_a_conflict() {
    let (_, store, _) = setup(Express::new("s"));
    let (id, day) = (plain("sid"), store.lifetime());
    done(store.create(&id, &Draft::new(r#"{"n":5}"#, day)).await);
    let read = store.load(&id).await.expect("read").expect("there");
    assert_eq!(read.credential, None);
    let six = || Draft::new(r#"{"n":6}"#, day);
    done(store.save(&id, &six(), &read.version).await);
    for expected in [read.version.clone(), Version::new(read.version.stamp())] {
        let saved = store.save(&id, &six(), &expected).await;
        assert_eq!(saved.expect("answered"), Saved::Conflict);
    }
    let created = store.create(&id, &six()).await;
    assert_eq!(created.expect("answered"), Saved::Conflict);
}

#[tokio::test]
async fn a_repeated_write_whose_answer_was_lost_is_done() {
    let (memory, store, _) = setup(Express::new("s").max_age(HOUR));
    let (id, day) = (plain("sid"), store.lifetime());
    let draft = Draft::new(r#"{"n":1}"#, day);
    memory.cut.store(true, SeqCst);
    store.create(&id, &draft).await.expect_err("lost");
    let version = done(store.create(&id, &draft).await);
    assert!(!version.stored().is_empty());

    let draft = Draft::new(r#"{"n":2}"#, day);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    // The repeated write has another `expires`.
    tokio::time::sleep(Duration::from_millis(3)).await;
    let version = done(store.save(&id, &draft, &version).await);
    let read = store.load(&id).await.expect("read").expect("there");
    assert_eq!(read.version, version);
    let calls = memory.calls.load(SeqCst);
    done(store.save(&id, &Draft::new("{}", day), &version).await);
    assert_eq!(memory.calls.load(SeqCst) - calls, 1, "its value is known");
}

#[tokio::test]
async fn an_unanswered_write_whose_record_was_written_since_is_unknown() {
    let (memory, store, _) = setup(Express::new("s"));
    let (id, day) = (plain("sid"), store.lifetime());
    let version = done(store.create(&id, &Draft::new(r#"{"n":1}"#, day)).await);
    let draft = Draft::new(r#"{"n":2}"#, day);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    memory.put("sid", r#"{"cookie":{},"by":"Express"}"#, HOUR);
    let saved = store.save(&id, &draft, &version).await;
    assert_eq!(saved.expect("answered"), Saved::Unknown);
    let other = Draft::new(r#"{"n":2}"#, day);
    let saved = store.save(&id, &other, &version).await;
    assert_eq!(saved.expect("answered"), Saved::Conflict, "never sent");
    let created = store.create(&id, &draft).await;
    assert_eq!(created.expect("answered"), Saved::Unknown);
    store.destroy(&id, None).await.expect("answered");
    let saved = store.save(&id, &draft, &version).await;
    assert_eq!(saved.expect("answered"), Saved::Gone);
}

#[tokio::test]
async fn a_slow_request_does_not_undo_a_logout() {
    let (memory, _, sessions) = setup(Express::new("s"));
    let session = sessions.start();
    session.insert("user", 1).expect("JSON");
    session.save().await.expect("saved");
    let slow = sessions.open(session.token().as_ref()).await.expect("read");
    slow.insert("late", true).expect("JSON");
    let sid = sid(&session);
    session.destroy().await.expect("destroyed");
    assert!(matches!(slow.save().await, Err(error) if error.kind() == ErrorKind::Gone));
    let touched = slow.touch().await.err();
    assert!(touched.is_none_or(|error| error.kind() == ErrorKind::Gone));
    assert_eq!(memory.text(&sid), None);
}

#[tokio::test]
async fn a_destroy_of_one_version_ends_no_other() {
    let (memory, store, _) = setup(Express::new("s").max_age(HOUR));
    let (id, day) = (plain("sid"), store.lifetime());
    let owner = Owner::new("user-1").expect("good");
    let first = Draft::new(r#"{"n":1}"#, day).with_owner(owner.clone());
    let first = done(store.create(&id, &first).await);
    let second = Draft::new(r#"{"n":2}"#, day).with_owner(owner.clone());
    let second = done(store.save(&id, &second, &first).await);
    for expected in [first.clone(), Version::new(first.stamp())] {
        let ended = store.destroy(&id, Some(&expected)).await;
        assert_eq!(ended.expect("answered"), None);
    }
    assert!(memory.text("sid").is_some());
    // A touch keeps the version.
    memory.put(
        "sid",
        &memory.text("sid").expect("there").replace("Z\"", "Z \""),
        HOUR / 2,
    );
    let ended = store.destroy(&id, Some(&second)).await;
    let ended = ended.expect("answered").expect("ended");
    assert_eq!((ended.id, ended.owner), (id.clone(), Some(owner)));
    assert!(ended.age.is_some());
    assert_eq!(store.count().await.expect("counted"), 0, "nothing is left");
    let ended = store.destroy(&id, Some(&second)).await;
    assert_eq!(ended.expect("answered"), None);

    memory.put("sid", "no session", HOUR);
    let ended = store.destroy(&id, Some(&second)).await;
    assert!(
        matches!(&ended, Err(error) if error.kind() == ErrorKind::Corrupt),
        "{ended:?}"
    );
    let ended = store.destroy(&id, None).await.expect("answered");
    assert!(ended.is_some(), "a corrupt record can be destroyed");
    assert_eq!(store.destroy(&id, None).await.expect("answered"), None);
}

#[tokio::test]
async fn a_touch_makes_expires_true_and_is_no_change() {
    let (memory, store, _) = setup(Express::new("s").max_age(HOUR));
    let id = plain("sid");
    let stale =
        r#"{"cookie":{"originalMaxAge":3600000,"expires":"2020-01-01T00:00:00.000Z"},"n":1}"#;
    memory.put("sid", stale, HOUR / 2);
    let read = store.load(&id).await.expect("read").expect("there");
    let ttl = store
        .touch(&id, Timeout::After(HOUR))
        .await
        .expect("touched")
        .expect("there");
    assert!(ttl.left() > Some(HOUR / 2));
    let text = memory.text("sid").expect("there");
    assert!(!text.contains("2020-01-01"), "{text}");
    let draft = Draft::new(r#"{"n":2}"#, read.lifetime);
    let saved = store.save(&id, &draft, &read.version).await;
    assert!(
        matches!(saved, Ok(Saved::Done(_))),
        "a touch is no conflict"
    );

    let browser = r#"{"cookie":{"originalMaxAge":null,"expires":null},"n":1}"#;
    memory.put("sid", browser, HOUR / 2);
    store
        .touch(&id, Timeout::After(HOUR))
        .await
        .expect("touched")
        .expect("there");
    assert_eq!(memory.text("sid").as_deref(), Some(browser));
    let left = store.load(&id).await.expect("read").expect("there").ttl;
    assert!(left.left() > Some(HOUR / 2), "{left}");
}

#[tokio::test]
async fn the_absolute_limit_and_the_owner_survive_writes_of_express() {
    let (memory, store, sessions) = setup(Express::new("s"));
    let session = sessions.start();
    let brief = Lifetime::fixed(Duration::from_millis(1_200));
    session.set_lifetime(brief).expect("good");
    session.sign_in("user-1").await.expect("saved");
    let (token, sid) = (session.token(), sid(&session));
    let found = sessions.open(token.as_ref()).await.expect("read");
    assert_eq!(found.owner(), session.owner());
    // Express extends the record without an absolute limit.
    let text = memory.text(&sid).expect("there");
    memory.put(&sid, &text, HOUR);
    let read = store
        .load(&plain(&sid))
        .await
        .expect("read")
        .expect("there");
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert!(sessions.open(token.as_ref()).await.expect("read").is_new());
    let listed = store.list(None, 10).await.expect("listed");
    assert!(listed.sessions.is_empty(), "its time is over");
    let again = Draft::new("{}", brief).with_anchor(Anchor::Restart);
    for expected in [read.version.clone(), Version::new(read.version.stamp())] {
        let saved = store.save(&plain(&sid), &again, &expected).await;
        assert_eq!(saved.expect("answered"), Saved::Gone);
    }
    let owner = Owner::new("user-1").expect("good");
    let listed = sessions.owned_by(&owner).await;
    assert!(
        matches!(&listed, Err(error) if error.kind() == ErrorKind::Unsupported),
        "{listed:?}"
    );
}

#[derive(Default)]
struct Corrupt(Mutex<Vec<String>>);

impl Observer for Corrupt {
    fn corrupt(&self, id: &SessionId, error: &Error) {
        self.0
            .lock()
            .expect("whole")
            .push(format!("{id:?} {error}"));
    }
}

#[tokio::test]
async fn a_corrupt_record_affects_only_its_own_client_and_is_reported() {
    let (memory, store, _) = setup(Express::new("s"));
    let reports = Arc::new(Corrupt::default());
    let sessions = Sessions::builder(Arc::new(store))
        .shared_observer(Arc::clone(&reports) as Arc<dyn Observer>)
        .build()
        .expect("good rules");
    let bad = [
        r#"{"name":"x"}"#,
        r#"{"cookie":false}"#,
        "[1,2]",
        r#"{"cookie":{"originalMaxAge":nul"#,
        "",
    ];
    for (n, record) in bad.iter().enumerate() {
        memory.put(&format!("secret-sid-{n}"), record, HOUR);
    }
    memory.put("good", r#"{"cookie":{},"n":1}"#, HOUR);
    for (n, record) in bad.iter().enumerate() {
        let token = SessionToken::plain(&format!("secret-sid-{n}")).expect("a text");
        let session = sessions.open(Some(&token)).await.expect("a fresh session");
        assert!(session.is_new() && session.is_empty(), "{record}");
    }
    let token = SessionToken::plain("good").expect("a text");
    assert!(!sessions.open(Some(&token)).await.expect("read").is_new());
    let reports = reports.0.lock().expect("whole");
    assert_eq!(reports.len(), bad.len());
    assert!(
        reports.iter().all(|report| !report.contains("secret-sid")),
        "{reports:?}"
    );
}

#[tokio::test]
async fn only_a_token_of_the_cookie_format_opens_a_session() {
    let (memory, _, sessions) = setup(Express::new("s"));
    let text = SessionToken::generate().expose().to_owned();
    memory.put(&text, r#"{"cookie":{},"n":1}"#, HOUR);
    let native = SessionToken::parse(&text).expect("shaped");
    memory.put(native.id().as_str(), r#"{"cookie":{},"n":1}"#, HOUR);
    let foreign = SessionToken::foreign(&text).expect("any text");
    memory.put(foreign.id().as_str(), r#"{"cookie":{},"n":1}"#, HOUR);
    for token in [native, foreign] {
        let session = sessions.open(Some(&token)).await.expect("answered");
        assert!(
            session.is_new(),
            "no record of this layout has a credential"
        );
    }
    let plain = SessionToken::plain(&text).expect("any text");
    let session = sessions.open(Some(&plain)).await.expect("read");
    assert!(!session.is_new());
}

#[tokio::test]
async fn errors_name_the_key_and_the_limit() {
    let (_, store, sessions) = setup(Express::new("s"));
    let session = sessions.start();
    session.insert("save", 1).expect("JSON");
    let error = session.save().await.expect_err("Express would drop it");
    assert!(error.to_string().contains("\"save\""), "{error}");
    let session = sessions.start();
    session.insert("much", "x".repeat(5_000)).expect("JSON");
    let error = session.save().await.expect_err("over the store's limit");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.to_string().ends_with("over the limit of 4096"),
        "{error}"
    );
    let renewing = Sessions::builder(Arc::new(store)).renew_after(HOUR);
    assert!(matches!(renewing.build(), Err(error) if error.kind() == ErrorKind::Misconfigured));
}

#[tokio::test]
async fn a_description_is_refused_because_express_has_no_room_for_it() {
    let (memory, store, sessions) = setup(Express::new("s"));
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    let error = session.describe(phone()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    session.save().await.expect("the rest is saved");
    assert!(
        !memory
            .text(&sid(&session))
            .expect("stored")
            .contains("phone")
    );
    let draft = Draft::new("{}", Lifetime::idle(HOUR)).with_description(phone());
    let id = SessionToken::generate_plain().id();
    let error = store.create(&id, &draft).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

fn phone() -> Description {
    Description::new().with_label("phone")
}
