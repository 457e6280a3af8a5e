//! Records that only JavaScript can write are kept as JavaScript keeps them.

use std::sync::Arc;

use proptest::prelude::*;
use session_core::{Session, SessionStore, SessionToken, Sessions};
use session_express::{Express, ExpressLayout, ExpressStore};

use crate::fixture::HOUR;
use crate::support::Memory;

const COOKIE: &str =
    r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

struct Site {
    memory: Memory,
    sessions: Sessions,
}

impl Site {
    fn new() -> Self {
        let memory = Memory::default();
        let store =
            ExpressStore::with_client(memory.clone(), Express::new("s"), ()).expect("good options");
        let sessions = Sessions::builder(Arc::new(store.clone())).lifetime(store.lifetime());
        Self {
            memory,
            sessions: sessions.build().expect("good rules"),
        }
    }

    /// The session of this record, whose variables are `rest`.
    async fn open(&self, rest: &str) -> Session {
        let comma = if rest.is_empty() { "" } else { "," };
        self.memory
            .put("sid", &format!("{{{COOKIE}{comma}{rest}}}"), HOUR);
        self.again().await
    }

    async fn again(&self) -> Session {
        let token = SessionToken::plain("sid");
        self.sessions.open(token.as_ref()).await.expect("read")
    }

    fn rest(&self) -> String {
        let text = self.memory.text("sid").expect("there");
        let rest = text.strip_prefix(&format!("{{{COOKIE}"));
        let rest = rest.and_then(|rest| rest.strip_suffix('}'));
        rest.unwrap_or_else(|| panic!("{text}"))
            .trim_start_matches(',')
            .to_owned()
    }
}

/// The members that express-session 1.19 omits when it makes a `Session` of a record (its
/// `session/session.js`); its next save drops them from the record.
const MEMBERS: [&str; 18] = [
    "id",
    "req",
    "touch",
    "resetMaxAge",
    "save",
    "reload",
    "destroy",
    "regenerate",
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "__proto__",
    "__defineGetter__",
    "__lookupSetter__",
];

#[tokio::test]
async fn members_of_javascript_objects_are_dropped_and_stop_no_write() {
    let site = Site::new();
    for member in MEMBERS {
        let session = site
            .open(&format!(r#""user":"u","{member}":{{"admin":true}}"#))
            .await;
        assert_eq!(session.keys(), ["user"], "{member}");
        session.insert("seen", true).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(site.rest(), r#""user":"u","seen":true"#, "{member}");
        // Nested members are kept.
        let inner = format!(r#""user":{{"{member}":1}}"#);
        let session = site.open(&inner).await;
        session.insert("seen", true).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(site.rest(), format!(r#"{inner},"seen":true"#));
    }
}

#[tokio::test]
async fn a_variable_of_the_app_sets_no_owner() {
    let site = Site::new();
    for (key, value) in [
        ("_session", r#"{"owner":"admin"}"#),
        ("_session", r#"{"owner":"admin","absolute":1,"began":1}"#),
        ("_session", r#""mine""#),
    ] {
        let rest = format!(r#""{key}":{value}"#);
        let session = site.open(&rest).await;
        assert_eq!(session.owner(), None, "{value}");
        assert_eq!(session.keys(), [key], "it is a variable as any other");
        session.insert("seen", true).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(site.rest(), format!(r#"{rest},"seen":true"#));
        session.sign_in("ann").await.expect("signed in");
        assert_eq!(session.keys(), [key, "seen"]);
        let token = session.token();
        let again = site.sessions.open(token.as_ref()).await.expect("read");
        assert_eq!(
            again.owner().map(|owner| owner.to_string()).as_deref(),
            Some("ann")
        );
        assert_eq!(again.keys(), [key, "seen"]);
    }
}

#[tokio::test]
async fn a_record_that_javascript_reads_opens_its_session() {
    let site = Site::new();
    let deep = format!("{}{}", "[".repeat(1_500), "]".repeat(1_500));
    for (rest, kept) in [
        (format!(r#""user":"u","deep":{deep}"#), None),
        (r#""user":"u","huge":1e400"#.to_owned(), None),
        (r#""user":"u","lone":"\ud800""#.to_owned(), None),
        // Of a duplicate key, the last value at the first position.
        (
            r#""user":"a","n":1,"user":"u""#.to_owned(),
            Some(r#""user":"u","n":1"#.to_owned()),
        ),
        (
            r#""\u0075ser":"a","user":"u""#.to_owned(),
            Some(r#""user":"u""#.to_owned()),
        ),
    ] {
        let session = site.open(&rest).await;
        let user: Option<String> = session.get("user").expect("a text");
        assert_eq!(user.as_deref(), Some("u"), "{:.60}", rest);
        session.insert("seen", true).expect("JSON");
        session.save().await.expect("saved");
        let kept = kept.unwrap_or(rest);
        assert_eq!(site.rest(), format!(r#"{kept},"seen":true"#));
        assert_eq!(site.again().await.get("seen").expect("JSON"), Some(true));
    }
}

#[tokio::test]
async fn a_key_that_is_not_utf8_is_kept_but_not_shown() {
    let site = Site::new();
    let session = site.open(r#""\udfff":"lone","user":"u""#).await;
    assert_eq!(session.keys(), ["user"]);
    session.insert("seen", true).expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(site.rest(), r#""user":"u","seen":true,"\udfff":"lone""#);
    session.clear();
    session.save().await.expect("saved");
    assert_eq!(site.rest(), "");
}

#[tokio::test]
async fn null_in_a_record_reads_as_no_value() {
    let site = Site::new();
    let session = site.open(r#""user":null"#).await;
    assert_eq!(session.get::<String>("user").expect("no error"), None);
    let updated = session.update("user", |user: Option<String>| {
        user.unwrap_or("u".to_owned())
    });
    assert_eq!(updated.await.expect("saved"), "u");
    let session = site.open(r#""user":null"#).await;
    assert_eq!(session.take::<String>("user").expect("no error"), None);
    assert_eq!(session.keys(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_number_survives_a_record_of_express(bits: u64) {
        let number = f64::from_bits(bits);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let site = Site::new();
            let session = site.open("").await;
            if !number.is_finite() {
                session.insert("n", number).expect_err("no number");
                return;
            }
            session.insert("n", number).expect("JSON");
            session.save().await.expect("saved");
            let read: Option<f64> = site.again().await.get("n").expect("a number");
            assert_eq!(read.map(f64::to_bits), Some(bits));
        });
    }
}

#[tokio::test]
async fn keys_that_express_drops_cause_no_conflict() {
    let site = Site::new();
    let session = site.open(r#""user":"u","toString":1"#).await;
    // Express has dropped the key since.
    site.open(r#""user":"u""#).await;
    session.insert("seen", true).expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(site.rest(), r#""user":"u","seen":true"#);
    let id = session.id().expect("stored");
    assert!(
        site.sessions
            .store()
            .load(&id)
            .await
            .expect("read")
            .is_some()
    );
}
