//! What pages need besides: typed values and messages; and signed tokens, and hostile cookies.

use crate::browser::Browser;
use crate::probe::Probe;
use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use session_memory::MemoryStore;
use session_web::{KeyRing, Result, Secret, Session, SessionLayer, SessionValue, Typed};

#[derive(Default, Serialize, Deserialize)]
struct Cart {
    items: Vec<String>,
}

impl SessionValue for Cart {
    const KEY: &'static str = "cart";
}

#[tokio::test]
async fn a_typed_value_is_read_changed_and_saved() {
    async fn add(mut cart: Typed<Cart>) -> Result<String> {
        cart.modify(|cart| cart.items.push("hat".to_owned()))?;
        Ok(cart.items.join(" "))
    }
    async fn update(mut cart: Typed<Cart>) -> Result<String> {
        cart.update(|cart| cart.items.push("coat".to_owned()))
            .await?;
        Ok(cart.items.join(" "))
    }
    async fn spoil(session: Session) {
        session.insert("cart", 5).expect("JSON");
    }
    let app = Router::new()
        .route("/add", get(add))
        .route("/update", get(update))
        .route("/spoil", get(spoil))
        .route(
            "/look",
            get(|cart: Typed<Cart>| async move { cart.items.len().to_string() }),
        )
        .layer(SessionLayer::new(MemoryStore::new()));
    let browser = Browser::new();
    let page = browser.get(&app, "/look").await;
    assert_eq!((page.text.as_str(), page.set_cookies().len()), ("0", 0));
    assert_eq!(browser.get(&app, "/add").await.text, "hat");
    assert_eq!(browser.get(&app, "/update").await.text, "hat coat");
    assert_eq!(browser.get(&app, "/look").await.text, "2");
    browser.get(&app, "/spoil").await;
    assert_eq!(
        browser.get(&app, "/look").await.status,
        500,
        "it is no cart"
    );
}

#[tokio::test]
async fn a_message_is_shown_once() {
    async fn leave(session: Session) {
        session.flash("info", "saved").expect("JSON");
        session.flash("error", "<b>").expect("JSON");
    }
    async fn show(session: Session) -> String {
        let flashes = session.take_flashes().expect("ours");
        let shown: Vec<_> = flashes
            .iter()
            .map(|f| format!("{}: {}", f.kind, f.text))
            .collect();
        shown.join(", ")
    }
    let store = Probe::default();
    let app = Router::new()
        .route("/leave", get(leave))
        .route("/show", get(show))
        .layer(SessionLayer::new(store.clone()));
    let browser = Browser::new();
    browser.get(&app, "/leave").await;
    assert_eq!(
        browser.get(&app, "/show").await.text,
        "info: saved, error: <b>"
    );
    store.taken();
    assert_eq!(browser.get(&app, "/show").await.text, "");
    assert_eq!(store.taken(), (1, 0, 0), "nothing to take, nothing to save");
}

async fn count(session: Session) -> String {
    let n = session.get("n").expect("a number").unwrap_or(0_u32) + 1;
    session.insert("n", n).expect("JSON");
    n.to_string()
}

#[tokio::test]
async fn signed_tokens_spare_the_store_the_made_up_ones() {
    let (old, new) = (Secret::generate(), Secret::generate());
    let store = Probe::default();
    let app = |ring| {
        let layer = SessionLayer::builder(store.clone()).sign(ring).build();
        Router::new()
            .route("/", get(count))
            .layer(layer.expect("good"))
    };
    let before = app(KeyRing::new(old.clone()));
    let during = app(KeyRing::of([new.clone(), old]).expect("two"));
    let after = app(KeyRing::new(new));
    let browser = Browser::new();
    browser.get(&before, "/").await;
    let signed = browser.cookies();
    assert_eq!(browser.get(&during, "/").await.text, "2", "all verify");
    store.taken();
    assert_eq!(
        browser.get(&after, "/").await.text,
        "1",
        "the old secret is out"
    );
    assert_eq!(store.taken().0, 0, "the store was not asked");
    assert_eq!(browser.get(&during, "/").await.text, "2", "the first signs");
    let token = signed.split('.').next().expect("a token");
    for wrong in [
        token.to_owned(),
        format!("{token}."),
        format!("{signed}A"),
        signed.replace('.', ""),
    ] {
        store.taken();
        let forger = Browser::new().with("cookie", &wrong);
        assert_eq!(forger.get(&before, "/").await.text, "1", "{wrong}");
        assert_eq!(store.taken().0, 0, "the store was not asked: {wrong}");
    }
}

#[tokio::test]
async fn hostile_cookies_cost_nobody_anything() {
    let store = Probe::default();
    let layer = SessionLayer::new(store.clone());
    let app = Router::new().route("/", get(count)).layer(layer);
    let good = Browser::new();
    good.get(&app, "/").await;
    let token = good.cookies();
    let mut lengths: Vec<usize> = (0..40).collect();
    lengths.extend([53, 55, 64, 1_000, 4_096, 65_536]);
    for length in lengths {
        let browser = Browser::new().with("cookie", &format!("__Host-id={}", "A".repeat(length)));
        store.taken();
        assert_eq!(browser.get(&app, "/").await.text, "1", "{length}");
        assert_eq!(store.taken().0, 0, "no token has {length} characters");
    }
    for hostile in [
        "__Host-id".to_owned(),
        "=".to_owned(),
        ";;;;".to_owned(),
        format!("__Host-id={}", "%41".repeat(11)),
        format!("__Host-id={}", "../".repeat(11)),
        "__Host-id=s%3Ax8_4i3md4GT-YSO5u41ROgZDabcdefgh.Wwx8NNvQ2pEEhtB5xntCu8iIgTyBBlCOhzMn562Wt%2Fk".to_owned(),
        format!("__Host-id={}", "A".repeat(53) + "*"),
        format!("id={}", &token["__Host-id=".len()..]),
        format!("__host-id={}", &token["__Host-id=".len()..]),
    ] {
        store.taken();
        let page = Browser::new().with("cookie", &hostile).get(&app, "/").await;
        assert_eq!(page.text, "1", "{hostile}");
        assert_eq!(store.taken().0, 0, "{hostile}");
    }
    // A duplicate that is no token shadows nothing, nor does a dead one.
    for (cookies, text) in [
        (format!("__Host-id=junk; {token}"), "2"),
        (format!("__Host-id={}; {token}", "A".repeat(54)), "3"),
        (format!("{token}; __Host-id=junk"), "4"),
        (format!("a=b;{token};c"), "5"),
    ] {
        let page = Browser::new().with("cookie", &cookies).get(&app, "/").await;
        assert_eq!(page.text, text, "{cookies}");
    }
}
