//! What the layer does to requests: sessions, tokens, and the calls that they take.

use std::time::Duration;

use crate::app::{app, routes};
use crate::browser::Browser;
use crate::log::Log;
use crate::probe::Probe;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use session_core::{Lifetime, SessionDirectory, Sessions};
use session_memory::MemoryStore;
use session_web::{Session, SessionHandle, SessionLayer};

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
async fn without_a_layer_the_handler_is_refused_and_says_why() {
    let log = Log::start();
    let page = Browser::new().get(&routes(), "/read").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = &log.take()[..] else {
        panic!("one line")
    };
    let advice = "add `.layer(SessionLayer::new(store))` to the router";
    assert!(line.starts_with("ERROR") && line.contains(advice), "{line}");
    assert_eq!(
        Browser::new().get(&routes(), "/optional").await.text,
        "false"
    );
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
