//! Values that a handler does not expect, and values that two requests make at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use session_express::{Express, ExpressStore};
use session_memory::MemoryStore;
use session_web::{Error, KeyRing, OnMismatch, Secret, Session, SessionLayer, SessionValue, Typed};
use tokio::sync::Barrier;

use crate::browser::Browser;
use crate::express_records::Memory;
use crate::log::Log;

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
        .route(
            "/",
            get(|session: Session| async move { session.insert("n", 1).expect("JSON") }),
        )
        .route("/form", get(form))
        .route("/post", get(post))
        .route("/flash", get(flash))
        .route("/show", get(show))
        .layer(layer)
}

/// Gets two forms at once, and says which of them the browser can post.
async fn two_forms(browser: &Browser, app: &Router) -> [bool; 2] {
    let (one, two) = tokio::join!(browser.get(app, "/form"), browser.get(app, "/form"));
    let post = async |form: &str| {
        let page = browser.get(app, &format!("/post?token={form}")).await;
        page.text == "true"
    };
    [post(&one.text).await, post(&two.text).await]
}

fn on_memory() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

fn on_express() -> SessionLayer {
    let store = ExpressStore::with_client(Memory::default(), Express::new("s"), ()).expect("good");
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
            let page = Browser::new()
                .get(&app, &format!("/post?token={}", one.text))
                .await;
            assert_eq!(page.text, "false");
        }
    }
}

/// What the documentation warns of: the browser keeps one of the two cookies.
#[tokio::test]
async fn of_forms_that_two_requests_make_at_once_in_the_cookie_or_without_one_is_accepted() {
    let in_cookie = || {
        let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
        layer.build().expect("good")
    };
    for (layer, has_cookie) in [
        (in_cookie(), true),
        (in_cookie(), false),
        (on_memory(), false),
    ] {
        let app = forms(layer);
        for _ in 0..10 {
            let browser = Browser::new();
            if has_cookie {
                browser.get(&app, "/").await;
            }
            let good = two_forms(&browser, &app).await;
            assert_ne!(good[0], good[1], "one of them: {has_cookie}");
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

/// What an earlier version of the site has stored.
#[derive(Serialize)]
struct Before {
    name: &'static str,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Item<const POLICY: u8> {
    name: String,
    qty: u32,
}

impl<const POLICY: u8> SessionValue for Item<POLICY> {
    const KEY: &'static str = "item";
    const ON_MISMATCH: OnMismatch = match POLICY {
        0 => OnMismatch::Refuse,
        1 => OnMismatch::Default,
        _ => OnMismatch::Discard,
    };
}

fn items<const POLICY: u8>() -> Router {
    let before = |session: Session| async move {
        let item = Before { name: "hunter2" };
        session.insert("item", item).expect("JSON");
    };
    let null = |session: Session| async move { session.insert("item", None::<u8>).expect("JSON") };
    let look = |item: Typed<Item<POLICY>>| async move { format!("{}{}", item.name, item.qty) };
    let modify = |mut item: Typed<Item<POLICY>>| async move {
        item.modify(|item| item.qty += 1)?;
        Ok::<_, Error>(item.qty.to_string())
    };
    // Its own loading does not read the value.
    let update = |session: Session| async move {
        session.insert("item", 0).expect("JSON");
        session.remove("item");
        session
            .insert("item", Before { name: "hunter2" })
            .expect("JSON");
    };
    Router::new()
        .route("/before", get(before))
        .route("/null", get(null))
        .route("/look", get(look))
        .route("/modify", get(modify))
        .route("/spoil", get(update))
        .route(
            "/update",
            get(|mut item: Typed<Item<POLICY>>| async move {
                let updated = item.update(|item| item.qty += 1).await;
                updated.map(|()| item.qty.to_string())
            }),
        )
        .route(
            "/keys",
            get(|session: Session| async move { session.keys().join(",") }),
        )
        .layer(SessionLayer::new(MemoryStore::new()))
}

/// The reason, which is in each line of the log.
const REASON: &str = "cannot read session key \"item\" as web::values::Item<";
const MISSING: &str = ">: missing field \"qty\"";

fn check(log: &Log, level: &str, lines: usize) {
    let logged = log.take();
    assert_eq!(logged.len(), lines, "{logged:?}");
    for line in logged {
        assert!(line.starts_with(level), "{line}");
        assert!(line.contains(REASON) && line.contains(MISSING), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[tokio::test]
async fn a_value_from_before_a_new_field_is_what_the_site_chooses() {
    let log = Log::start();
    let (browser, app) = (Browser::new(), items::<0>());
    browser.get(&app, "/before").await;
    for page in ["/look", "/modify", "/update"] {
        assert_eq!(browser.get(&app, page).await.status, 500);
        check(&log, "ERROR", 1);
    }
    assert_eq!(browser.get(&app, "/keys").await.text, "item");

    let (browser, app) = (Browser::new(), items::<1>());
    browser.get(&app, "/before").await;
    for _ in 0..2 {
        assert_eq!(browser.get(&app, "/look").await.text, "0");
        check(&log, "WARN", 1);
    }
    assert_eq!(browser.get(&app, "/keys").await.text, "item", "it is there");
    assert_eq!(browser.get(&app, "/modify").await.text, "1");
    check(&log, "WARN", 1);
    assert_eq!(browser.get(&app, "/look").await.text, "1", "replaced");
    browser.get(&app, "/spoil").await;
    assert_eq!(browser.get(&app, "/update").await.text, "1");
    // Once to get the value, and once to change it.
    check(&log, "WARN", 2);

    let (browser, app) = (Browser::new(), items::<2>());
    browser.get(&app, "/before").await;
    assert_eq!(browser.get(&app, "/look").await.text, "0");
    check(&log, "WARN", 1);
    assert_eq!(browser.get(&app, "/keys").await.text, "", "it is gone");
    assert_eq!(browser.get(&app, "/look").await.text, "0");
    browser.get(&app, "/spoil").await;
    assert_eq!(browser.get(&app, "/update").await.text, "1");
    check(&log, "WARN", 1);
    assert_eq!(browser.get(&app, "/look").await.text, "1");
    check(&log, "WARN", 0);
}

/// Pages that get the value at the same time, and change it then.
fn items_at_once() -> Router {
    type Discarded = Typed<Item<2>>;
    let both = [(); 4].map(|()| Arc::new(Barrier::new(2)));
    let [got, set, got_too, got_again] = both;
    let before = |session: Session| async move {
        let item = Before { name: "hunter2" };
        session.insert("item", item).expect("JSON");
    };
    let look = {
        let (got, set) = (Arc::clone(&got), Arc::clone(&set));
        move |item: Discarded| async move {
            got.wait().await;
            set.wait().await;
            item.qty.to_string()
        }
    };
    let post = move |session: Session| async move {
        got.wait().await;
        let item = Item::<2> {
            name: "hat".to_owned(),
            qty: 7,
        };
        session.insert("item", item).expect("JSON");
        session.save().await.expect("saved");
        set.wait().await;
    };
    let update = move |mut item: Discarded| async move {
        got_too.wait().await;
        item.update(|item| item.qty += 1).await
    };
    let modify = move |mut item: Discarded| async move {
        got_again.wait().await;
        item.modify(|item| item.qty += 1).map(drop)
    };
    Router::new()
        .route("/before", get(before))
        .route("/look", get(look))
        .route("/post", get(post))
        .route("/update", get(update))
        .route("/modify", get(modify))
        .route(
            "/item",
            get(|item: Discarded| async move { format!("{}{}", item.name, item.qty) }),
        )
        .layer(SessionLayer::new(MemoryStore::new()))
}

#[tokio::test]
async fn a_value_that_is_discarded_takes_none_along_that_others_have_stored_since() {
    let app = items_at_once();
    for (one, two, left) in [
        ("/look", "/post", "hat7"),
        ("/update", "/update", "2"),
        ("/modify", "/modify", "1"),
    ] {
        let browser = Browser::new();
        browser.get(&app, "/before").await;
        let (one, two) = tokio::join!(browser.get(&app, one), browser.get(&app, two));
        assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
        assert_eq!(browser.get(&app, "/item").await.text, left);
    }
}

#[tokio::test]
async fn null_is_the_default() {
    let log = Log::start();
    for app in [items::<0>(), items::<1>()] {
        let browser = Browser::new();
        browser.get(&app, "/null").await;
        assert_eq!(browser.get(&app, "/look").await.text, "0");
        assert_eq!(browser.get(&app, "/update").await.text, "1");
        browser.get(&app, "/null").await;
        assert_eq!(browser.get(&app, "/modify").await.text, "1");
    }
    assert_eq!(log.take(), [""; 0]);
}
