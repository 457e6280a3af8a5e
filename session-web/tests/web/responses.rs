//! What the layer does to responses: of every kind, to their headers, and when something fails.

use crate::app::{app, read};
use crate::browser::Browser;
use crate::log::Log;
use crate::probe::Probe;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use futures_util::StreamExt;
use http::StatusCode;
use session_memory::MemoryStore;
use session_web::{Session, SessionLayer};

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
async fn the_log_names_the_cause_and_a_temporary_failure_asks_to_try_again() {
    let (app, store) = app();
    let browser = Browser::new();
    browser.get(&app, "/count").await;
    for (loads, writes, what) in [
        (true, false, "a request failed because of its session"),
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
