//! Values that a handler does not expect, and values that two requests make at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use session_express::{Express, ExpressStore};
use session_memory::MemoryStore;
use session_web::{Session, SessionLayer};
use tokio::sync::Barrier;

use crate::browser::Browser;
use crate::express_records::Memory;

/// Pages whose two first forms are made at once.
fn forms(layer: SessionLayer) -> Router {
    let both = Arc::new(Barrier::new(2));
    let form = move |session: Session| async move {
        both.wait().await;
        session.csrf_token().expect("ours")
    };
    let flash_both = Arc::new(Barrier::new(2));
    let flash = move |session: Session, query: Query<BTreeMap<String, String>>| async move {
        flash_both.wait().await;
        session.flash("info", &query.0["text"]).expect("ours");
    };
    let post = |session: Session, query: Query<BTreeMap<String, String>>| async move {
        session.is_csrf_token(&query.0["token"]).to_string()
    };
    let show = |session: Session| async move {
        let flashes = session.take_flashes().expect("ours");
        let texts: Vec<String> = flashes.into_iter().map(|flash| flash.text).collect();
        texts.join(",")
    };
    Router::new()
        .route("/", get(|session: Session| async move { session.insert("n", 1).expect("JSON") }))
        .route("/form", get(form))
        .route("/post", get(post))
        .route("/flash", get(flash))
        .route("/show", get(show))
        .layer(layer)
}

fn on_memory() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

fn on_express() -> SessionLayer {
    let store = ExpressStore::new(Memory::default(), Express::new("s")).expect("good");
    let layer = SessionLayer::express_compatible(store).expect("good");
    layer.build().expect("good")
}

#[tokio::test]
async fn forms_that_two_requests_make_at_once_are_both_accepted() {
    for layer in [on_memory, on_express] {
        let app = forms(layer());
        for _ in 0..50 {
            let browser = Browser::new();
            browser.get(&app, "/").await;
            let (one, two) = tokio::join!(browser.get(&app, "/form"), browser.get(&app, "/form"));
            for form in [&one.text, &two.text] {
                let page = browser.get(&app, &format!("/post?token={form}")).await;
                assert_eq!(page.text, "true");
            }
            // A stranger's is none of them.
            let page = Browser::new().get(&app, &format!("/post?token={}", one.text)).await;
            assert_eq!(page.text, "false");
        }
    }
}

#[tokio::test]
async fn messages_that_two_requests_leave_at_once_are_both_shown() {
    for layer in [on_memory, on_express] {
        let app = forms(layer());
        let browser = Browser::new();
        browser.get(&app, "/").await;
        tokio::join!(
            browser.get(&app, "/flash?text=one"),
            browser.get(&app, "/flash?text=two")
        );
        let shown = browser.get(&app, "/show").await.text;
        assert!(shown == "one,two" || shown == "two,one", "{shown}");
        assert_eq!(browser.get(&app, "/show").await.text, "");
    }
}
