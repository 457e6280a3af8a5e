//! `Debug` shows no session data, no live token, no credential and no secret, whatever it is that
//! is shown. Each public type of the workspace is either shown here or known to hold nothing of the
//! kind.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Extension, Router};
use integration_tests::servers::Client;
use session_core::{
    Credential, Cursor, Data, Description, Draft, Ended, Event, Flash, Lifetime, Observer, Page,
    Record, Saved, Session, SessionHandle, SessionId, SessionInfo, SessionToken, Sessions, Stamp,
    Ttl, Version, backend,
};
use session_express::{
    ConnectSess, CookieSession, Express, ExpressStore, Found, Listed, MovingStore,
};
use session_memory::MemoryStore;
use session_mongo::crypto::{Kruptein, WebCrypto};
use session_sealed::{KeyRing, SealedStore, Sealer, Secret};
use session_web::{CsrfForm, SessionLayer, SessionValue, Typed};
use tokio::net::TcpListener;

#[allow(dead_code, reason = "other tests look at what is stored")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;

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
    show("session-web CsrfForm", &CsrfForm(Name(CANARY.to_owned())));
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

/// Types that hold no data, no token and no secret, whoever made them.
const HARMLESS: &[&str] = &[
    // A URL by its scheme.
    "session Location",
    // Schemes.
    "session Schemes",
    // Rules, and what the middleware is around.
    "session-actix CrossOriginMiddleware",
    "session-actix CrossOriginService",
    "session-actix SessionMiddleware",
    "session-actix SessionService",
    // Of the suite: which cases there are, and how they ended.
    "session-conformance Case",
    "session-conformance CaseReport",
    "session-conformance CheckedStore",
    "session-conformance Invariant",
    "session-conformance Need",
    "session-conformance Outcome",
    "session-conformance ReferenceFactory",
    "session-conformance ReferenceStore",
    "session-conformance Report",
    "session-conformance TestStore",
    "session-core Anchor",
    // A driver's client, which the backends' stores show by its address.
    "session-core Attempt",
    "session-core Backoff",
    "session-core BatchLimits",
    // Its operation and where it leads.
    "session-core Call",
    "session-core Capabilities",
    "session-core Counts",
    "session-core EndReason",
    "session-core ErrorKind",
    // Its error, which is shown.
    "session-core Failure",
    // Where its client leads.
    "session-core Fixed",
    "session-core Lifetime",
    "session-core Limits",
    "session-core LogObserver",
    "session-core Meter",
    // An id, which hides itself where it is a secret.
    "session-core Notice",
    "session-core OnReuse",
    "session-core Operation",
    "session-core OperationCounts",
    // It is to be shown; `Owner` says so.
    "session-core Owner",
    "session-core Policy",
    // Nothing at all.
    "session-core PresentedToken",
    "session-core Reaper",
    "session-core Refusal",
    "session-core RetryStatus",
    // An answer, as that shows itself.
    "session-core Sent",
    "session-core SessionEnd",
    "session-core Stamp",
    // Its backend, and where it leads.
    "session-core Store",
    "session-core Timeout",
    "session-core TokenChange",
    "session-core Ttl",
    "session-core Unreadable",
    "session-express CookieOptions",
    "session-express KeygripHash",
    "session-express Priority",
    "session-express Renamed",
    "session-express SameSite",
    "session-memory MemoryStoreBuilder",
    "session-mongo Algorithm",
    // Connections: by address, without user and password.
    "session-mongo ConnectMongo",
    "session-mongo Encoding",
    "session-mongo ExpressStoreBuilder",
    "session-mongo MongoBackend",
    "session-mongo MongoStoreBuilder",
    "session-mysql ExpressMysqlSession",
    "session-mysql ExpressStoreBuilder",
    "session-mysql MysqlBackend",
    "session-mysql MysqlStoreBuilder",
    "session-redis ConnectRedis",
    "session-redis Connection",
    "session-redis ExpressStoreBuilder",
    "session-redis RedisBackend",
    "session-redis RedisClient",
    "session-redis RedisStoreBuilder",
    // Its rules.
    "session-web CrossOriginProtection",
    // What is wrong with the form, by its fields' names.
    "session-web CsrfFormRejection",
    // Nothing at all.
    "session-web ErrorPages",
    // Its name.
    "session-web Exchange",
    // Its store, which is shown.
    "session-tower-sessions TowerSessionsStore",
    "session-web Https",
    "session-web NamePrefix",
    "session-web OnFailure",
    "session-web OnMismatch",
    "session-web Peer",
    "session-web Persistence",
    "session-web PlainErrors",
    "session-web Priority",
    "session-web Proxy",
    "session-web ProxyHeader",
    // Its rules.
    "session-web RequireOwner",
    "session-web GuardService",
    // A path that a client has asked for.
    "session-web ReturnTo",
    "session-web Rolling",
    "session-web SameSite",
    "session-web Secure",
    // Of a layer, which is shown.
    "session-web SessionService",
    // The names of its cookies; its own tests show that no value is shown.
    "session-web TestClient",
    "session-web Transport",
    // Names out of a table.
    "session-web UserAgent",
];

/// The public types of the workspace that have `Debug`, as `crate Type`.
fn public_types() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut types = BTreeSet::new();
    for entry in std::fs::read_dir(root).expect("the workspace") {
        let folder = entry.expect("read").path();
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        if name.starts_with("session") {
            for file in sources(&folder.join("src")) {
                let text = std::fs::read_to_string(file).expect("a source");
                types.extend(types_in(&text).map(|of| format!("{name} {of}")));
            }
        }
    }
    types
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("read").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect()
}

fn types_in(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("\n\n");
    blocks.filter_map(move |block| {
        let is_declaration =
            |line: &&str| line.starts_with("pub struct ") || line.starts_with("pub enum ");
        let line = block.lines().find(is_declaration)?;
        let name = line.split([' ', '<', '(', ';']).nth(2)?;
        let derives = block.lines().take_while(|other| *other != line);
        let is_derived = derives
            .filter(|line| line.contains("derive("))
            .any(|line| line.contains("Debug"));
        let is_written = text.contains(&format!("Debug for {name}"));
        (is_derived || is_written).then_some(name)
    })
}

#[tokio::test]
async fn debug_of_no_public_type_shows_data_tokens_or_secrets() {
    let shown = Arc::new(Mutex::new(Shown::default()));
    show_core(&mut shown.lock().expect("whole"));
    show_express(&mut shown.lock().expect("whole"));
    show_sealed(&mut shown.lock().expect("whole"));
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
