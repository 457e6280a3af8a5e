//! `Debug` shows no session data, no live token, no credential and no secret, whatever it is that
//! is shown. Each public type of the workspace is either shown here or known to hold nothing of the
//! kind.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use integration_tests::servers::Client;
use session_cached::CachedStore;
use session_core::{
    Credential, Cursor, Data, Description, Draft, Ended, Event, Flash, Lifetime, Observer, Page,
    Record, Saved, Session, SessionHandle, SessionId, SessionInfo, SessionStore, SessionToken,
    Sessions, Stamp, Ttl, Version, backend,
};
use session_express::{
    ConnectSess, CookieSession, Express, ExpressStore, Found, Listed, MovingStore,
};
use session_memory::MemoryStore;
use session_mongo::crypto::{Kruptein, WebCrypto};
use session_sealed::{KeyRing, SealedStore, Sealer, Secret};
use session_web::{CsrfForm, CsrfMultipart, FormToken, SessionLayer, SessionValue, Typed};
use tokio::net::TcpListener;

use public_types::{HARMLESS, public_types};

#[allow(dead_code, reason = "other tests look at what is stored")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod public_types;

/// What must not show. It is as long as a secret has to be.
const CANARY: &str = "canary-hunter2-canary-hunter2-canary-hunter2";

/// What has been shown.
#[derive(Default)]
struct Shown(BTreeSet<&'static str>);

impl Shown {
    fn show(&mut self, name: &'static str, value: &dyn Debug) {
        for shown in [format!("{value:?}"), format!("{value:#?}")] {
            for spelling in spellings() {
                assert!(!shown.contains(&spelling), "{name}: {shown}");
            }
        }
        self.0.insert(name);
    }
}

/// The middle of it, as text, as bytes and in hex.
fn spellings() -> [String; 4] {
    let part = &CANARY[..14];
    let list: Vec<String> = part.bytes().map(|byte| byte.to_string()).collect();
    let lines: Vec<String> = part.bytes().map(|byte| format!("    {byte},\n")).collect();
    let hex: Vec<String> = part.bytes().map(|byte| format!("{byte:02x}")).collect();
    [
        "hunter2".to_owned(),
        list.join(", "),
        lines.concat(),
        hex.concat(),
    ]
}

fn plain() -> SessionId {
    SessionId::plain(CANARY).expect("any text")
}

fn version() -> Version {
    let stored = Version::new(Stamp::generate()).with_stored(CANARY.into());
    stored.with_moved_to(plain())
}

fn credential() -> Option<Credential> {
    Credential::from_stored(CANARY.as_bytes()).expect("it fits")
}

fn description() -> Description {
    Description::new().with_label(CANARY)
}

fn json() -> String {
    format!(r#"{{"key":"{CANARY}"}}"#)
}

fn draft() -> Draft {
    Draft::new(json(), Lifetime::default())
        .with_credential(credential())
        .with_description(description())
}

fn record() -> Record {
    Record::new(
        json(),
        version(),
        Lifetime::default(),
        Ttl::Never,
        Duration::ZERO,
    )
    .with_credential(credential())
    .with_description(description())
}

/// Shows the events that it is told of.
struct Shows(Arc<Mutex<Shown>>);

impl Observer for Shows {
    fn created(&self, event: Event<'_>) {
        self.0
            .lock()
            .expect("whole")
            .show("session-core Event", &event);
    }
}

fn show_core(shown: &mut Shown) {
    shown.show("session-core Record", &record());
    shown.show("session-core Draft", &draft());
    shown.show("session-core Version", &version());
    shown.show("session-core Saved", &Saved::Done(version()));
    shown.show("session-core Credential", &credential());
    shown.show("session-core Description", &description());
    let data = Data::decode(&json().into()).expect("JSON");
    shown.show("session-core Data", &data);
    shown.show("session-core Ended", &Ended::unknown(plain()));
    let info = SessionInfo::new(plain(), Lifetime::default(), Ttl::Never, Duration::ZERO, 1);
    let info = info.with_description(description());
    shown.show("session-core SessionInfo", &info);
    let next = Some(Cursor::new(CANARY));
    shown.show("session-core Cursor", &next);
    let sessions = vec![info];
    shown.show("session-core Page", &Page::new(sessions, next));
    for token in [SessionToken::plain(CANARY), SessionToken::foreign(CANARY)] {
        let token = token.expect("any text");
        shown.show("session-core SessionToken", &token);
        shown.show("session-core SessionId", &token.id());
    }
    let (id, draft) = (plain(), draft());
    let create = backend::Create::new(id.clone(), draft.clone());
    shown.show("session-core Create", &create);
    let save = backend::Save::new(id.clone(), draft, version());
    shown.show("session-core Save", &save);
    let idle = Lifetime::default().idle;
    let touch = backend::Touch::new(id.clone(), idle);
    shown.show("session-core Touch", &touch);
    let destroy = backend::Destroy::new(id, Some(version()));
    shown.show("session-core Destroy", &destroy);
}

async fn show_sessions(shown: &Arc<Mutex<Shown>>) {
    let store = MemoryStore::new();
    let builder = Sessions::builder(Arc::new(store.clone())).observer(Shows(Arc::clone(shown)));
    let show = |name, value: &dyn Debug| shown.lock().expect("whole").show(name, value);
    show("session-core SessionsBuilder", &builder);
    let sessions = builder.build().expect("good rules");
    let session = sessions.start();
    session.insert("key", CANARY).expect("JSON");
    show("session-core Session", &session);
    session.save().await.expect("saved");
    let secret = session.token().expect("stored").expose()[30..].to_owned();
    let shown_session = format!("{session:?} {session:#?}");
    assert!(!shown_session.contains(&secret));
    show("session-core Session", &session);
    show("session-core Sessions", &sessions);
    show("session-memory MemoryStore", &store);
    let error = session.get::<u32>("key").expect_err("it is a text");
    show("session-core Error", &error);
}

fn show_express(shown: &mut Shown) {
    let express = Express::new(CANARY).with_previous(CANARY);
    shown.show("session-express Express", &express);
    shown.show("session-express CookieSession", &CookieSession::new(CANARY));
    shown.show("session-express ConnectSess", &ConnectSess::new(CANARY));
    let found = Found {
        value: json().into(),
        left: Ttl::Never,
        modified: None,
    };
    shown.show("session-express Found", &found);
    let listed = Listed {
        values: vec![(CANARY.to_owned(), found)],
        next: Some(Cursor::new(CANARY)),
    };
    shown.show("session-express Listed", &listed);
    let memory = express_records::Memory::default();
    memory.put(CANARY, &json(), Duration::from_secs(60));
    let store = ExpressStore::with_client(memory, express, ()).expect("good options");
    shown.show("session-express ExpressStore", &store);
    let moving = MovingStore::new(Arc::new(MemoryStore::new()), store.clone());
    shown.show("session-express MovingStore", &moving);
    let layer = SessionLayer::express_compatible(store).expect("good options");
    shown.show("session-web SessionLayerBuilder", &layer);
    shown.show("session-web SessionLayer", &layer.build());
    let cookies = session_web::express::ExpressCookies::from(CookieSession::new(CANARY));
    shown.show("session-web ExpressCookies", &cookies);
    let builder = SessionLayer::express_cookie_only(CookieSession::new(CANARY));
    shown.show("session-web CookieOnlyBuilder", &builder);
    let kruptein = Kruptein::new(CANARY).expect("long enough");
    shown.show("session-mongo Kruptein", &kruptein);
    let crypto = WebCrypto::new(CANARY).expect("a secret").salt(CANARY);
    shown.show("session-mongo WebCrypto", &crypto);
}

fn show_sealed(shown: &mut Shown) {
    let secret = Secret::new(CANARY).expect("long enough");
    shown.show("session-sealed Secret", &secret);
    let ring = KeyRing::new(secret.clone()).with_previous(secret);
    shown.show("session-sealed KeyRing", &ring);
    let keys = ring.keys(b"test");
    shown.show("session-sealed Keys", &keys);
    shown.show("session-sealed Key", keys.first());
    shown.show("session-sealed Sealer", &Sealer::new(&ring, b"test"));
    let store = SealedStore::new(MemoryStore::new(), &ring);
    shown.show("session-sealed SealedStore", &store);
    let signed = SessionLayer::builder(MemoryStore::new()).sign(ring.clone());
    shown.show("session-web SessionLayerBuilder", &signed);
    shown.show("session-web SessionLayer", &signed.build());
    let in_cookie = SessionLayer::cookie_only(&ring);
    shown.show("session-web CookieOnlyBuilder", &in_cookie);
    shown.show("session-web SessionLayer", &in_cookie.build());
}

async fn show_cached(shown: &Mutex<Shown>) {
    let builder = CachedStore::builder(MemoryStore::new());
    let store = builder.clone().build().expect("good limits");
    let id = SessionToken::generate().id();
    let draft = Draft::new(CANARY, Lifetime::default());
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    for is_copy in [false, true] {
        let record = store.load(&id).await.expect("up").expect("there");
        assert_eq!(record.is_copy, is_copy);
    }
    let mut shown = shown.lock().expect("whole");
    shown.show("session-cached CachedStoreBuilder", &builder);
    shown.show("session-cached CachedStore", &store);
}

#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Name(String);

impl SessionValue for Name {
    const KEY: &'static str = "key";
}

/// What handlers see, by a request to a server.
async fn show_web(shown: &Arc<Mutex<Shown>>) {
    let flash = Flash {
        kind: "info".to_owned(),
        text: CANARY.to_owned(),
    };
    let show = |name, value: &dyn Debug| shown.lock().expect("whole").show(name, value);
    show("session-core Flash", &flash);
    let name = || Name(CANARY.to_owned());
    show("session-web CsrfForm", &CsrfForm(name()));
    show("session-web CsrfMultipart", &CsrfMultipart(name()));
    show("session-actix CsrfForm", &session_actix::CsrfForm(name()));
    show(
        "session-actix CsrfMultipart",
        &session_actix::CsrfMultipart(name()),
    );
    let session = Sessions::new(MemoryStore::new()).start();
    let token = FormToken::new(session, None).expect("the body may have it");
    let mut token = token.in_multipart(Some(b"multipart/form-data; boundary=a"));
    let head = format!("--a\r\ncontent-disposition: form-data; name=_csrf\r\n\r\n{CANARY}");
    let more = token.push(head.as_bytes()).expect("it has not ended");
    assert_eq!(more, None);
    show("session-web MultipartToken", &token);
    let seen = Arc::clone(shown);
    let look = move |handle: Extension<SessionHandle>, typed: Typed<Name>| async move {
        assert_eq!(typed.0, CANARY);
        let mut seen = seen.lock().expect("whole");
        seen.show("session-core SessionHandle", &handle);
        seen.show("session-web Typed", &typed);
        let token = typed.session().token().expect("stored");
        let text = format!("{handle:?} {typed:#?}");
        assert!(!text.contains(&token.expose()[30..]));
    };
    let put = |session: Session| async move { session.insert("key", CANARY).expect("JSON") };
    let app = Router::new()
        .route("/put", get(put))
        .route("/look", get(look))
        .layer(SessionLayer::new(MemoryStore::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let client = Client::new(port);
    assert_eq!(client.get("/put").await.status, 200);
    assert_eq!(client.get("/look").await.status, 200);
    server.abort();
}

#[tokio::test]
async fn debug_of_no_public_type_shows_data_tokens_or_secrets() {
    let shown = Arc::new(Mutex::new(Shown::default()));
    show_core(&mut shown.lock().expect("whole"));
    show_express(&mut shown.lock().expect("whole"));
    show_sealed(&mut shown.lock().expect("whole"));
    show_cached(&shown).await;
    show_sessions(&shown).await;
    show_web(&shown).await;
    let shown = shown.lock().expect("whole");
    let known: BTreeSet<&str> = shown
        .0
        .iter()
        .copied()
        .chain(HARMLESS.iter().copied())
        .collect();
    let types = public_types();
    assert!(types.len() > 60, "{types:?}");
    let unknown: Vec<_> = types
        .iter()
        .filter(|name| !known.contains(&***name))
        .collect();
    assert!(
        unknown.is_empty(),
        "show each of these here with the canary in it, or list it as harmless: {unknown:?}"
    );
    let gone: Vec<_> = known
        .iter()
        .filter(|name| !types.contains(**name))
        .collect();
    assert!(
        gone.is_empty(),
        "there are none of these any more: {gone:?}"
    );
}
