//! Streams and sockets that close when their session ends.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use session_memory::MemoryStore;
use session_web::{KeyRing, Lifetime, Result, Secret, Session, SessionEnd, SessionLayer, Sessions};
use tokio::task::JoinHandle;

use crate::app::{sign_in, sign_out};
use crate::browser::{Browser, Page};

/// Events without an end.
fn news(session: &Session) -> Response {
    let ticks = stream::unfold(0, |n| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((
            Ok::<_, Infallible>(Event::default().data(format!("tick {n}"))),
            n + 1,
        ))
    });
    Sse::new(session.until_ended(ticks)).into_response()
}

async fn open(session: Session) -> Response {
    news(&session)
}

async fn sign_in_and_open(session: Session) -> Result<Response> {
    session.sign_in("ann").await?;
    Ok(news(&session))
}

/// A handler whose work never ends, as that of a socket.
async fn wait(session: Session) -> String {
    let end = session.while_live(std::future::pending::<()>()).await;
    end.map_or_else(|end| end.to_string(), |()| "done".to_owned())
}

fn routes() -> Router {
    Router::new()
        .route("/sign-in", get(sign_in))
        .route("/sign-out", get(sign_out))
        .route("/news", get(open))
        .route("/both", get(sign_in_and_open))
        .route("/wait", get(wait))
}

/// Requests a page, and checks that it has not ended a moment later.
async fn begin(browser: &Browser, app: &Router, path: &'static str) -> JoinHandle<Page> {
    let (browser, app) = (browser.clone(), app.clone());
    let page = tokio::spawn(async move { browser.get(&app, path).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!page.is_finished(), "{path}: its session lives");
    page
}

async fn end(page: JoinHandle<Page>) -> Page {
    let ended = tokio::time::timeout(Duration::from_secs(20), page).await;
    ended.expect("it ends in time").expect("no panic")
}

#[tokio::test]
async fn events_end_when_the_user_signs_out() {
    let app = routes().layer(SessionLayer::new(MemoryStore::new()));
    let (ann, ben) = (Browser::new(), Browser::new());
    ann.get(&app, "/sign-in").await;
    ben.get(&app, "/sign-in").await;
    let hers = begin(&ann, &app, "/news").await;
    let his = begin(&ben, &app, "/news").await;
    ann.get(&app, "/sign-out").await;
    let text = end(hers).await.text;
    assert!(text.starts_with("data: tick 0\n\ndata: tick 1"), "{text}");
    assert!(!his.is_finished(), "his session lives");
    his.abort();
    assert_eq!(ann.get(&app, "/news").await.text, "", "it is over at once");
}

#[tokio::test]
async fn a_handler_may_sign_in_and_stream_in_one_response() {
    let store = MemoryStore::new();
    let app = routes().layer(SessionLayer::new(store.clone()));
    let page = begin(&Browser::new(), &app, "/both").await;
    let elsewhere = Sessions::new(store);
    let ended = elsewhere.destroy_owned_by("ann", None).await;
    assert_eq!(ended.expect("up"), 1);
    let page = end(page).await;
    assert_eq!(page.set_cookies().len(), 1, "the sign-in's");
    assert!(page.text.contains("tick 3"), "{}", page.text);
}

#[tokio::test]
async fn work_ends_when_the_session_does_and_says_why() {
    let app = routes().layer(SessionLayer::new(MemoryStore::new()));
    let browser = Browser::new();
    browser.get(&app, "/sign-in").await;
    let waiting = begin(&browser, &app, "/wait").await;
    browser.copied().get(&app, "/sign-in").await;
    assert_eq!(end(waiting).await.text, SessionEnd::NewToken.to_string());
}

#[tokio::test]
async fn a_stream_of_a_session_in_the_cookie_ends_at_its_deadline() {
    let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
    let lifetime = Lifetime::fixed(Duration::from_millis(600));
    let layer = layer.lifetime(lifetime).build().expect("good rules");
    let (app, browser) = (routes().layer(layer), Browser::new());
    browser.get(&app, "/sign-in").await;
    let began = Instant::now();
    let page = begin(&browser, &app, "/news").await;
    assert!(end(page).await.text.contains("tick 2"));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}
