//! What the layer does to requests and responses.

use std::time::Duration;

use crate::browser::Browser;
use crate::log::Log;
use crate::probe::Probe;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use futures_util::StreamExt;
use http::StatusCode;
use session_core::{Lifetime, SessionDirectory, Sessions};
use session_memory::MemoryStore;
use session_web::{
    OnFailure, Persistence, Rolling, SameSite, Secure, Session, SessionHandle, SessionLayer,
    SessionRejection, Transport,
};

const HOUR: Duration = Duration::from_secs(3_600);

async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

async fn read(session: Session) -> String {
    let n: Option<u32> = session.get("n").expect("a number");
    format!("{n:?} new {}", session.is_new())
}

async fn sign_in(session: Session) -> Result<&'static str, StatusCode> {
    let signed_in = session.sign_in("ann").await;
    signed_in.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok("signed in")
}

async fn remember(session: Session) {
    let long = Lifetime::new(30 * 24 * HOUR, 90 * 24 * HOUR);
    session.set_lifetime(long).expect("a good lifetime");
}

async fn sign_out(session: Session) {
    session.destroy().await.expect("it is up");
}

async fn slow(session: Session) -> String {
    tokio::time::sleep(Duration::from_millis(100)).await;
    count(session).await
}

fn routes() -> Router {
    Router::new()
        .route("/count", get(count))
        .route("/read", get(read))
        .route("/sign-in", get(sign_in))
        .route("/remember", get(remember))
        .route("/sign-out", get(sign_out))
        .route("/slow", get(slow))
        .route("/static", get(|| async { "nothing to see" }))
        .route(
            "/optional",
            get(|session: Option<Session>| async move { session.is_some().to_string() }),
        )
        .route("/panic", get(panics))
        .route(
            "/error",
            get(|session: Session| async move {
                session.insert("failures", 1).expect("JSON");
                StatusCode::UNAUTHORIZED
            }),
        )
}

async fn panics(session: Session) -> &'static str {
    session.insert("n", 99).expect("JSON");
    panic!("a handler's mistake")
}

fn app() -> (Router, Probe) {
    let store = Probe::default();
    (routes().layer(SessionLayer::new(store.clone())), store)
}

#[tokio::test]
async fn a_session_lives_from_request_to_request() {
    let (app, _) = app();
    let browser = Browser::new();
    for n in 1..=3 {
        assert_eq!(browser.get(&app, "/count").await.text, n.to_string());
    }
    assert_eq!(
        Browser::new().get(&app, "/count").await.text,
        "1",
        "another's"
    );
}

#[tokio::test]
async fn the_default_cookie_is_exactly_this() {
    let (app, _) = app();
    let page = Browser::new().get(&app, "/count").await;
    let [cookie] = page.set_cookies()[..] else {
        panic!("one cookie")
    };
    let (value, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Lax");
    let token = value.strip_prefix("__Host-id=").expect("the name");
    assert_eq!(token.len(), 54, "id, lineage, generation, secret");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("vary"), Some("cookie"));
}

#[tokio::test]
async fn a_handler_without_extractor_costs_nothing() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    store.taken();
    let page = browser.get(&app, "/static").await;
    assert_eq!(store.taken(), (0, 0, 0));
    assert!(page.set_cookies().is_empty());
    assert_eq!(page.header("vary"), None);
    assert_eq!(page.header("cache-control"), None);
}

#[tokio::test]
async fn a_request_makes_as_few_calls_as_it_needs() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/read").await;
    assert_eq!(store.taken(), (0, 0, 0), "a visitor without data");
    browser.get(&app, "/count").await;
    assert_eq!(store.taken(), (0, 1, 0), "the session begins");
    let page = browser.get(&app, "/read").await;
    assert_eq!(store.taken(), (1, 0, 0), "read");
    assert!(page.set_cookies().is_empty(), "nothing new to tell");
    let page = browser.get(&app, "/count").await;
    assert_eq!(store.taken(), (1, 1, 0), "changed");
    assert!(page.set_cookies().is_empty(), "the token is the same");
}

#[tokio::test]
async fn a_token_that_opens_nothing_is_not_adopted_and_not_answered() {
    let (app, _) = app();
    let token = "A".repeat(54);
    let browser = Browser::new().with("cookie", &format!("__Host-id={token}"));
    let page = browser.get(&app, "/read").await;
    assert_eq!(page.text, "None new true");
    assert!(page.set_cookies().is_empty(), "{:?}", page.set_cookies());
    let page = browser.get(&app, "/count").await;
    assert!(
        !page.set_cookies()[0].contains(&token),
        "a token of our own"
    );
}

#[tokio::test]
async fn signing_in_changes_the_token_and_kills_the_old_one() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let thief = browser.copied();
    let page = browser.get(&app, "/sign-in").await;
    assert_eq!(page.set_cookies().len(), 1);
    assert_ne!(browser.cookies(), thief.cookies());
    assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
    let page = thief.get(&app, "/read").await;
    assert_eq!(page.text, "None new false", "empty, and not to be saved");
    assert!(page.set_cookies().is_empty(), "{page:?}");
}

#[tokio::test]
async fn signing_out_expires_the_cookie() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let page = browser.get(&app, "/sign-out").await;
    assert_eq!(
        page.attributes(),
        "Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(browser.cookies(), "");
    assert_eq!(store.store().count().await.expect("up"), 0);
    let page = Browser::new().get(&app, "/sign-out").await;
    assert!(page.set_cookies().is_empty(), "there was none");
}

#[tokio::test]
async fn a_request_under_way_does_not_undo_a_sign_out() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let other = browser.copied();
    let (slow, ()) = tokio::join!(other.get(&app, "/slow"), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        browser.get(&app, "/sign-out").await;
    });
    assert_eq!(
        slow.status,
        StatusCode::CONFLICT,
        "its change is not stored"
    );
    assert!(slow.set_cookies().is_empty());
    assert_eq!(other.get(&app, "/read").await.text, "None new true");
}

#[tokio::test]
async fn two_tabs_lose_nothing() {
    let set = |key: &'static str| {
        get(move |session: Session| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            session.insert(key, true).expect("JSON");
        })
    };
    let app = routes()
        .route("/one", set("one"))
        .route("/two", set("two"))
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(" ") }),
        )
        .layer(SessionLayer::new(MemoryStore::new()));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    tokio::join!(browser.get(&app, "/one"), browser.get(&app, "/two"));
    let text = browser.get(&app, "/keys").await.text;
    let mut names: Vec<&str> = text.split(' ').collect();
    names.sort_unstable();
    assert_eq!(names, ["n", "one", "two"]);
}

#[tokio::test]
async fn the_store_down_is_503_and_never_a_fresh_session() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let cookies = browser.cookies();
    store.fail_loads(true);
    for path in ["/read", "/count", "/sign-in"] {
        let page = browser.get(&app, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(page.set_cookies().is_empty(), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(browser.get(&app, "/optional").await.text, "false");
    assert_eq!(browser.get(&app, "/static").await.status, StatusCode::OK);
    store.fail_loads(false);
    store.fail_writes(true);
    for path in ["/count", "/sign-in"] {
        let page = browser.get(&app, path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(page.set_cookies().is_empty(), "{path}");
        assert_eq!(page.text, "", "what the handler has said is not sent");
    }
    assert_eq!(browser.get(&app, "/read").await.status, StatusCode::OK);
    store.fail_writes(false);
    store.fail_answers(true);
    let page = browser.get(&app, "/count").await;
    assert_eq!(
        page.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "the answer is lost"
    );
    assert!(page.set_cookies().is_empty());
    store.fail_answers(false);
    assert_eq!(browser.cookies(), cookies, "the browser has what it had");
    assert_eq!(
        browser.get(&app, "/read").await.text,
        "Some(2) new false",
        "written once"
    );
}

#[tokio::test]
async fn other_policies_are_what_they_say() {
    for (policy, load, save) in [
        (
            OnFailure::LogSaves,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::OK,
        ),
        (OnFailure::Anonymous, StatusCode::OK, StatusCode::OK),
    ] {
        let store = Probe::default();
        let layer = SessionLayer::builder(store.clone())
            .on_failure(policy)
            .build();
        let app = routes().layer(layer.expect("good"));
        let browser = Browser::new();
        browser.get(&app, "/count").await;
        store.fail_writes(true);
        assert_eq!(browser.get(&app, "/count").await.status, save, "{policy:?}");
        store.fail_loads(true);
        let page = browser.get(&app, "/read").await;
        assert_eq!(page.status, load, "{policy:?}");
        assert!(page.set_cookies().is_empty(), "{policy:?}");
    }
}

#[tokio::test]
async fn a_panic_saves_nothing() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let (same, tab) = (app.clone(), browser.copied());
    let panicked = tokio::spawn(async move { tab.get(&same, "/panic").await }).await;
    assert!(panicked.is_err());
    assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_session_usable() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let tab = browser.copied();
    let gone = tokio::time::timeout(Duration::from_millis(20), tab.get(&app, "/slow")).await;
    assert!(gone.is_err());
    assert_eq!(browser.get(&app, "/count").await.text, "2");
}

#[tokio::test]
async fn an_error_of_the_handler_saves_too() {
    let (app, _) = app();
    let browser = Browser::new();
    assert_eq!(
        browser.get(&app, "/error").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_ne!(browser.cookies(), "", "the failure was counted");
}

#[tokio::test]
async fn a_handler_may_save_by_itself() {
    let store = Probe::default();
    let app = Router::new()
        .route(
            "/",
            get(|session: Session| async move {
                session.insert("n", 1).expect("JSON");
                session.save().await.expect("up");
            }),
        )
        .layer(SessionLayer::new(store.clone()));
    let page = Browser::new().get(&app, "/").await;
    assert_eq!(page.set_cookies().len(), 1);
    assert_eq!(store.taken(), (0, 1, 0), "once");
}

#[tokio::test]
async fn two_extractors_are_one_session() {
    let store = Probe::default();
    let app = Router::new()
        .route(
            "/",
            get(|one: Session, two: Session| async move {
                one.insert("n", 1).expect("JSON");
                two.get::<u32>("n")
                    .expect("a number")
                    .unwrap_or(0)
                    .to_string()
            }),
        )
        .merge(routes())
        .layer(SessionLayer::new(store.clone()));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    store.taken();
    assert_eq!(browser.get(&app, "/").await.text, "1");
    assert_eq!(store.taken().0, 1, "loaded once");
}

#[tokio::test]
async fn nested_layers_each_have_a_session() {
    async fn both(session: Session, handle: axum::Extension<SessionHandle>) -> String {
        let admin = handle.named("admin").expect("there").session().await;
        let admin = admin.expect("up");
        admin.insert("a", 1).expect("JSON");
        session.insert("b", 1).expect("JSON");
        format!("{:?} {:?}", admin.keys(), session.keys())
    }
    let admin = SessionLayer::builder(MemoryStore::new())
        .name("admin")
        .build();
    let app = Router::new()
        .route("/", get(both))
        .layer(SessionLayer::new(MemoryStore::new()))
        .layer(admin.expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/").await;
    assert_eq!(page.set_cookies().len(), 2);
    assert_eq!(page.text, r#"["a"] ["b"]"#);
    let cookies = browser.cookies();
    assert!(
        cookies.contains("__Host-id=") && cookies.contains("__Host-admin="),
        "{cookies}"
    );
}

#[tokio::test]
async fn a_stream_is_not_held_back_and_starts_after_the_save() {
    async fn stream(State(store): State<Probe>, session: Session) -> Body {
        session.insert("n", 1).expect("JSON");
        let chunks = futures_util::stream::unfold(0, move |n| {
            let store = store.clone();
            async move {
                if n == 1 {
                    // Never comes: only the first chunk does.
                    std::future::pending::<()>().await;
                }
                let saved = store.taken().1;
                Some((Ok::<_, std::io::Error>(format!("{saved} saved")), n + 1))
            }
        });
        Body::from_stream(chunks)
    }
    use tower::ServiceExt;
    let store = Probe::default();
    let app = Router::new()
        .route("/", get(stream))
        .with_state(store.clone())
        .layer(SessionLayer::new(store));
    let request = http::Request::get("/").body(Body::empty()).expect("good");
    let response = app.oneshot(request).await.expect("infallible");
    assert!(response.headers().contains_key("set-cookie"));
    let first = response.into_body().into_data_stream().next().await;
    assert_eq!(first.expect("a chunk").expect("good"), "1 saved");
}

#[tokio::test]
async fn without_a_layer_the_handler_is_refused_and_says_why() {
    let page = Browser::new().get(&routes(), "/read").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        SessionRejection::NoLayer
            .to_string()
            .contains("SessionLayer")
    );
    assert_eq!(
        Browser::new().get(&routes(), "/optional").await.text,
        "false"
    );
}

#[tokio::test]
async fn the_path_is_a_real_prefix() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .path("/foo")
        .build();
    let app = Router::new()
        .route("/foo/count", get(count))
        .route("/foobar", get(count))
        .layer(layer.expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/foo/count").await;
    assert_eq!(
        page.attributes(),
        "Path=/foo; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(browser.cookies().starts_with("__Secure-id="));
    let page = browser.get(&app, "/foobar").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.set_cookies().is_empty());
}

#[tokio::test]
async fn remember_me_makes_this_cookie_last_and_no_other() {
    let (app, _) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let page = browser.get(&app, "/remember").await;
    assert_eq!(
        page.attributes(),
        "Path=/; Max-Age=2592000; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(browser.get(&app, "/read").await.set_cookies().is_empty());
    let page = browser.get(&app, "/count").await;
    assert_eq!(
        page.set_cookies().len(),
        1,
        "the deadline has moved with the save"
    );
    let page = Browser::new().get(&app, "/count").await;
    assert!(!page.attributes().contains("Max-Age"), "another's");
}

#[tokio::test]
async fn persistence_and_rolling_are_what_they_say() {
    let lifetime = Lifetime::new(HOUR, 12 * HOUR);
    for (persistence, rolling, first, read, changed) in [
        (Persistence::Never, Rolling::WithDeadline, false, 0, 0),
        (Persistence::Always, Rolling::WithDeadline, true, 0, 1),
        (Persistence::Always, Rolling::Always, true, 1, 1),
        (Persistence::Always, Rolling::Never, true, 0, 0),
        (Persistence::Never, Rolling::Always, false, 1, 1),
    ] {
        let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
        let sessions = sessions.lifetime(lifetime).build().expect("good");
        let layer = SessionLayer::builder(sessions)
            .persistence(persistence)
            .rolling(rolling);
        let app = routes().layer(layer.build().expect("good"));
        let browser = Browser::new();
        let page = browser.get(&app, "/count").await;
        let what = format!("{persistence:?} {rolling:?}");
        assert_eq!(page.attributes().contains("Max-Age=3600"), first, "{what}");
        assert_eq!(
            browser.get(&app, "/read").await.set_cookies().len(),
            read,
            "{what}"
        );
        assert_eq!(
            browser.get(&app, "/count").await.set_cookies().len(),
            changed,
            "{what}"
        );
    }
}

#[tokio::test]
async fn reading_extends_the_session_and_its_cookie() {
    let store = Probe::default();
    let lifetime = Lifetime::new(Duration::from_millis(400), HOUR);
    let sessions = Sessions::builder(std::sync::Arc::new(store.clone())).lifetime(lifetime);
    let layer = SessionLayer::builder(sessions.build().expect("good"));
    let layer = layer.persistence(Persistence::Always).build();
    let app = routes().layer(layer.expect("good"));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = browser.get(&app, "/read").await;
        assert_eq!(page.text, "Some(1) new false");
        assert_eq!(
            page.set_cookies().len(),
            1,
            "Max-Age moves with the deadline"
        );
    }
    assert_eq!(store.taken().2, 6, "touches");
    tokio::time::sleep(Duration::from_millis(410)).await;
    assert_eq!(browser.get(&app, "/read").await.text, "None new true");
}

#[tokio::test]
async fn uninitialized_sessions_are_stored_only_if_asked_for() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .save_uninitialized(true)
        .build();
    let app = routes().layer(layer.expect("good"));
    let browser = Browser::new();
    assert_eq!(browser.get(&app, "/read").await.set_cookies().len(), 1);
    assert_eq!(browser.get(&app, "/read").await.text, "None new false");
}

#[tokio::test]
async fn a_header_carries_the_token_as_well() {
    for (transport, sent, answered) in [
        (Transport::Bearer, "authorization", "x-session"),
        (
            Transport::Header(http::HeaderName::from_static("x-my-session")),
            "x-my-session",
            "x-my-session",
        ),
    ] {
        let layer = SessionLayer::builder(MemoryStore::new())
            .transport(transport.clone())
            .build();
        let app = routes().layer(layer.expect("good"));
        let page = Browser::new().get(&app, "/count").await;
        assert!(page.set_cookies().is_empty());
        let token = page.header(answered).expect("a token").to_owned();
        let value = match transport {
            Transport::Bearer => format!("Bearer {token}"),
            _ => token,
        };
        let client = Browser::new().with(sent, &value);
        assert_eq!(client.get(&app, "/read").await.text, "Some(1) new false");
        let page = client.get(&app, "/sign-out").await;
        assert_eq!(page.header(answered), Some(""), "it has ended");
        assert_eq!(client.get(&app, "/read").await.text, "None new true");
    }
}

#[tokio::test]
async fn a_token_in_the_url_or_the_body_is_not_read() {
    let (app, probe) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let cookies = browser.cookies();
    let (_, token) = cookies.split_once('=').expect("a pair");
    probe.taken();
    for name in ["id", "__Host-id", "session", "token", "jsessionid"] {
        for path in [
            format!("/read?{name}={token}"),
            format!("/read?{name}=__Host-id={token}"),
        ] {
            let page = Browser::new().get(&app, &path).await;
            assert_eq!(page.text, "None new true", "{path}");
        }
        let request = http::Request::post("/read")
            .header("host", "example.org")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!("{name}={token}")))
            .expect("a good request");
        let app = app.clone().route("/read", axum::routing::post(read));
        tower::ServiceExt::oneshot(app, request).await.expect("up");
    }
    assert_eq!(probe.taken(), (0, 0, 0), "nothing was even looked up");
}

#[tokio::test]
async fn any_tower_service_has_its_session_without_axum() {
    use tower::{Layer, ServiceExt};
    let service = tower::service_fn(|request: http::Request<()>| async move {
        let handle = request.extensions().get::<SessionHandle>();
        let session = handle.expect("the layer's").session().await?;
        let n = session.get("n")?.unwrap_or(0_u32) + 1;
        session.insert("n", n)?;
        Ok::<_, session_core::Error>(http::Response::new(n.to_string()))
    });
    let service = SessionLayer::new(MemoryStore::new()).layer(service);
    let mut cookie = String::new();
    for n in ["1", "2", "3"] {
        let request = http::Request::get("/").header("host", "example.org");
        let request = request.header("cookie", &cookie).body(());
        let response = service.clone().oneshot(request.expect("good")).await;
        let response = response.expect("the store is up");
        if let Some(set) = response.headers().get("set-cookie") {
            let set = set.to_str().expect("ASCII");
            cookie = set.split(';').next().expect("a pair").to_owned();
        }
        assert_eq!(response.body(), n);
    }
}

#[tokio::test]
async fn contradictions_are_refused_when_the_layer_is_built() {
    let builder = || SessionLayer::builder(MemoryStore::new());
    for (builder, says) in [
        (
            builder().secure(Secure::Never).same_site(SameSite::None),
            "SameSite=None",
        ),
        (
            builder()
                .secure(Secure::Always)
                .name("__Host-id")
                .domain("example.org"),
            "domain",
        ),
        (builder().path("/app").serves_below("app"), "serves_below"),
        (
            builder().transport(Transport::Header(http::header::SET_COOKIE)),
            "set-cookie",
        ),
        (
            builder().transport(Transport::Header(http::header::CONTENT_LENGTH)),
            "content-length",
        ),
        (builder().name("a;b"), "cookie name"),
        (builder().path("/a\r\nSet-Cookie: b=c"), "cookie path"),
        (builder().domain("a\r\nb"), "cookie domain"),
    ] {
        let error = builder.build().expect_err(says);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn what_the_handler_says_of_caching_is_kept_where_it_says_enough() {
    let with = |value: &'static str| {
        get(move |session: Session| async move {
            session.insert("n", 1).expect("JSON");
            [("cache-control", value), ("vary", "accept-encoding")]
        })
    };
    let app = Router::new()
        .route("/public", with("public, max-age=60"))
        .route("/private", with("private, no-store"))
        .layer(SessionLayer::new(MemoryStore::new()));
    let page = Browser::new().get(&app, "/public").await;
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let vary: Vec<_> = page.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-encoding", "cookie"]);
    let page = Browser::new().get(&app, "/private").await;
    assert_eq!(page.header("cache-control"), Some("private, no-store"));
}

#[tokio::test]
async fn no_cache_keeps_a_response_that_sets_the_cookie() {
    let with = |name: &'static str, value: &'static str| {
        get(move |session: Session| async move {
            session.insert("n", 1).expect("JSON");
            [(name, value), ("x-other-control", "kept")]
        })
    };
    for (name, value) in [
        ("cdn-cache-control", "max-age=600"),
        ("cloudflare-cdn-cache-control", "public, max-age=600"),
        ("vercel-cdn-cache-control", "max-age=600"),
        ("netlify-cdn-cache-control", "public, durable"),
        ("akamai-cache-control", "max-age=600"),
        ("x-litespeed-cache-control", "public,max-age=600"),
        ("surrogate-control", "max-age=600"),
        ("edge-control", "!no-store, max-age=10m"),
        ("x-accel-expires", "600"),
        ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ("cache-control", "public, max-age=600"),
        ("cache-control", "public, ext=\"no-store\""),
        ("cache-control", "public, ext=\"a, no-store, b\""),
        ("cache-control", "public, ext=\"a\\\", no-store"),
        ("cache-control", "x-no-store"),
        (
            "cache-control",
            "public, max-age=600, must-understand, no-store",
        ),
        ("cache-control", "No-Store, Must-Understand"),
    ] {
        let app = Router::new()
            .route("/", with(name, value))
            .layer(SessionLayer::new(MemoryStore::new()));
        let page = Browser::new().get(&app, "/").await;
        assert_eq!(page.set_cookies().len(), 1);
        let control: Vec<_> = page.headers.get_all("cache-control").iter().collect();
        assert_eq!(control, ["no-store"], "{name}: {value}");
        assert_eq!(page.header("x-other-control"), Some("kept"));
        if name != "cache-control" {
            assert_eq!(page.header(name), None, "{name}: {value}");
        }
    }
    for kept in ["No-Store", "ext=\"a, b\", no-store"] {
        let app = Router::new()
            .route("/", with("cache-control", kept))
            .route("/static", get(|| async { [("surrogate-control", "x")] }))
            .layer(SessionLayer::new(MemoryStore::new()));
        let browser = Browser::new();
        let page = browser.get(&app, "/").await;
        assert_eq!(page.header("cache-control"), Some(kept));
        let page = browser.get(&app, "/static").await;
        assert_eq!(page.header("surrogate-control"), Some("x"), "not ours");
    }
}

#[tokio::test]
async fn behind_a_proxy_that_strips_the_path_the_cookie_has_the_browsers() {
    let layer = SessionLayer::builder(MemoryStore::new()).path("/app");
    let app = routes().layer(layer.serves_below("/").build().expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/count").await;
    let attributes = "Path=/app; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(page.attributes(), attributes);
    assert_eq!(browser.get(&app, "/count").await.text, "2");
    let layer = SessionLayer::builder(MemoryStore::new()).path("/app");
    let app = routes().layer(layer.build().expect("good"));
    let log = Log::start();
    let page = Browser::new().get(&app, "/count").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let told = log.take();
    assert!(told[0].contains("serves_below"), "{told:?}");
}

#[tokio::test]
async fn the_log_names_the_cause_and_a_temporary_failure_asks_to_try_again() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    for (loads, writes, what) in [
        (true, false, "a session could not be loaded"),
        (false, true, "a session could not be saved"),
    ] {
        store.fail_loads(loads);
        store.fail_writes(writes);
        let log = Log::start();
        let page = browser.get(&app, "/count").await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(page.header("retry-after"), Some("1"));
        let told = log.take();
        assert!(
            told[0].contains(what) && told[0].contains("it is down"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn rolling_always_answers_each_request_that_brings_a_cookie() {
    let store = Probe::default();
    let lifetime = Lifetime::new(Duration::from_millis(400), HOUR);
    let sessions = Sessions::builder(std::sync::Arc::new(store.clone())).lifetime(lifetime);
    let layer = SessionLayer::builder(sessions.build().expect("good"))
        .persistence(Persistence::Always)
        .rolling(Rolling::Always);
    let app = routes().layer(layer.build().expect("good"));
    let browser = Browser::new();
    let page = browser.get(&app, "/static").await;
    assert!(page.set_cookies().is_empty(), "there is no session");
    browser.get(&app, "/count").await;
    store.taken();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let page = browser.get(&app, "/static").await;
        assert_eq!(page.text, "nothing to see");
        assert_eq!(page.new_cookies(), [browser.cookies()]);
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(store.taken(), (1, 0, 1), "loaded and touched");
    }
    assert_eq!(browser.get(&app, "/read").await.text, "Some(1) new false");
    store.taken();
    store.fail_loads(true);
    let page = browser.get(&app, "/static").await;
    assert_eq!(
        (page.status, page.text.as_str()),
        (StatusCode::OK, "nothing to see")
    );
    assert!(page.set_cookies().is_empty());
    let page = browser.get(&app, "/read").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(store.taken().0, 2, "a failed load is not repeated");
    store.fail_loads(false);
    browser.get(&app, "/sign-out").await;
    let dead = format!("__Host-id={}", "A".repeat(54));
    let page = Browser::holding(&dead).get(&app, "/static").await;
    assert!(page.set_cookies().is_empty(), "it opens nothing");
}

#[tokio::test]
async fn within_a_nested_router_the_path_is_the_whole_one() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .path("/foo/bar")
        .build();
    let inner = Router::new()
        .route("/bar", get(count))
        .route("/bar/baz", get(count))
        .route("/foo/bar", get(count))
        .layer(layer.expect("good"));
    let app = Router::new().nest("/foo", inner);
    for (path, status) in [
        ("/foo/bar", StatusCode::OK),
        ("/foo/bar/baz?x=/", StatusCode::OK),
        ("/foo/foo/bar", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let page = Browser::new().get(&app, path).await;
        assert_eq!(page.status, status, "{path}");
        assert_eq!(
            page.set_cookies().len(),
            usize::from(status == 200),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_cookies_of_the_response_are_kept() {
    let app = Router::new()
        .route(
            "/",
            get(|session: Session| async move {
                session.insert("n", 1).expect("JSON");
                ([("set-cookie", "theme=dark; Path=/")], "")
            }),
        )
        .layer(SessionLayer::new(MemoryStore::new()));
    let page = Browser::new().get(&app, "/").await;
    let [theirs, ours] = page.set_cookies()[..] else {
        panic!("two cookies")
    };
    assert_eq!(theirs, "theme=dark; Path=/");
    assert!(ours.starts_with("__Host-id="));
}

#[tokio::test]
async fn responses_of_every_kind_save_the_session() {
    async fn set(session: &Session) {
        session.insert("n", 1).expect("JSON");
    }
    let app = Router::new()
        .route(
            "/empty",
            get(|session: Session| async move {
                set(&session).await;
                StatusCode::NO_CONTENT
            }),
        )
        .route(
            "/redirect",
            get(|session: Session| async move {
                set(&session).await;
                axum::response::Redirect::to("/read")
            }),
        )
        .route(
            "/long",
            get(|session: Session| async move {
                set(&session).await;
                "x".repeat(100_000)
            }),
        )
        .route("/read", get(read))
        .layer(SessionLayer::new(MemoryStore::new()));
    for path in ["/empty", "/redirect", "/long"] {
        let browser = Browser::new();
        browser.get(&app, path).await;
        assert_eq!(
            browser.get(&app, "/read").await.text,
            "Some(1) new false",
            "{path}"
        );
    }
    // A method that has no body to answer with.
    let browser = Browser::new();
    browser.get(&app, "/empty").await;
    assert_ne!(browser.cookies(), "");
}

#[tokio::test]
async fn a_long_max_age_is_kept_and_a_browser_keeps_at_most_400_days() {
    for (days, seconds) in [(35, 35 * 86_400), (400, 400 * 86_400)] {
        let lifetime = Lifetime::fixed(days * 24 * HOUR);
        let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
        let sessions = sessions.lifetime(lifetime).build().expect("good");
        let layer = SessionLayer::builder(sessions)
            .persistence(Persistence::Always)
            .build();
        let page = Browser::new()
            .get(&routes().layer(layer.expect("good")), "/count")
            .await;
        assert!(
            page.attributes().contains(&format!("Max-Age={seconds};")),
            "{page:?}"
        );
    }
    let forever = Lifetime::idle(session_core::Timeout::Never);
    let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
    let sessions = sessions.lifetime(forever).build().expect("good");
    let layer = SessionLayer::builder(sessions)
        .persistence(Persistence::Always)
        .build();
    let page = Browser::new()
        .get(&routes().layer(layer.expect("good")), "/count")
        .await;
    assert!(page.attributes().contains("Max-Age=34560000;"), "{page:?}");
}

#[tokio::test]
async fn an_expired_session_begins_anew_under_another_token() {
    let sessions = Sessions::builder(std::sync::Arc::new(MemoryStore::new()));
    let sessions = sessions.lifetime(Lifetime::fixed(Duration::from_millis(50)));
    let app = routes().layer(SessionLayer::new(sessions.build().expect("good")));
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    let before = browser.cookies();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let page = browser.get(&app, "/count").await;
    assert_eq!(page.text, "1");
    assert_ne!(browser.cookies(), before);
}
