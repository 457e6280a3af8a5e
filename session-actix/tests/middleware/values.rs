//! Values of a type that has a key of its own.

use actix_web::http::StatusCode;
use actix_web::{App, web};
use serde::{Deserialize, Serialize};
use session_actix::{
    OnMismatch, Result, Session, SessionLayer, SessionMiddleware, SessionValue, Typed,
};
use session_memory::MemoryStore;

use crate::browser::{Browser, Site, served};

#[derive(Default, Serialize, Deserialize)]
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

/// What an earlier version of the site has stored.
async fn before(session: Session) -> Result<&'static str> {
    session.insert("item", [("name", "a hat")])?;
    Ok("")
}

async fn look<const POLICY: u8>(item: Typed<Item<POLICY>>) -> String {
    format!("{}{}", item.name, item.qty)
}

async fn modify<const POLICY: u8>(mut item: Typed<Item<POLICY>>) -> Result<String> {
    item.modify(|item| item.qty += 1)?;
    Ok(item.qty.to_string())
}

async fn update<const POLICY: u8>(mut item: Typed<Item<POLICY>>) -> Result<String> {
    item.update(|item| item.qty += 1).await?;
    Ok(item.qty.to_string())
}

async fn items<const POLICY: u8>() -> Site {
    let keys = |session: Session| async move { session.keys().join(",") };
    let layer = SessionLayer::new(MemoryStore::new());
    served!(
        App::new()
            .route("/before", web::get().to(before))
            .route("/look", web::get().to(look::<POLICY>))
            .route("/modify", web::get().to(modify::<POLICY>))
            .route("/update", web::get().to(update::<POLICY>))
            .route("/keys", web::get().to(keys))
            .wrap(SessionMiddleware::new(layer))
    )
}

#[actix_web::test]
async fn a_value_lives_from_request_to_request_and_begins_as_the_default() {
    let (site, browser) = (items::<0>().await, Browser::new());
    assert_eq!(browser.get(&site, "/look").await.text, "0");
    assert_eq!(browser.get(&site, "/keys").await.text, "", "only read");
    assert_eq!(browser.get(&site, "/modify").await.text, "1");
    assert_eq!(browser.get(&site, "/update").await.text, "2");
    assert_eq!(browser.get(&site, "/look").await.text, "2");
}

#[actix_web::test]
async fn a_value_from_before_a_new_field_is_what_the_site_chooses() {
    let (site, browser) = (items::<0>().await, Browser::new());
    browser.get(&site, "/before").await;
    let page = browser.get(&site, "/look").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(page.text, "");
    assert_eq!(browser.get(&site, "/keys").await.text, "item");

    let (site, browser) = (items::<1>().await, Browser::new());
    browser.get(&site, "/before").await;
    assert_eq!(browser.get(&site, "/look").await.text, "0");
    assert_eq!(
        browser.get(&site, "/keys").await.text,
        "item",
        "it is there"
    );
    assert_eq!(browser.get(&site, "/modify").await.text, "1");

    let (site, browser) = (items::<2>().await, Browser::new());
    browser.get(&site, "/before").await;
    assert_eq!(browser.get(&site, "/look").await.text, "0");
    assert_eq!(browser.get(&site, "/keys").await.text, "", "it is gone");
}
