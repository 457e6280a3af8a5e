//! Layers of other kinds than the default, and what the server says of a connection.

use actix_web::test::TestRequest;
use session_actix::{KeyRing, OnFailure, Proxy, Secret, Secure, SessionLayer, Transport};
use session_memory::MemoryStore;

use crate::app::site;
use crate::browser::Browser;

#[actix_web::test]
async fn sessions_may_be_in_the_cookie() {
    let ring = KeyRing::new(Secret::generate());
    let site = site(SessionLayer::cookie_only(&ring).build().expect("good")).await;
    let browser = Browser::new();
    for n in ["1", "2", "3"] {
        assert_eq!(browser.get(&site, "/count").await.text, n);
    }
    browser.get(&site, "/sign-in").await;
    assert_eq!(browser.get(&site, "/account").await.text, "ann");
    let cookies = browser.cookies();
    let (name, value) = cookies.split_once('=').expect("a pair");
    let tampered = Browser::with_cookie(name, &format!("{}AAAA", &value[..value.len() - 4]));
    assert_eq!(tampered.get(&site, "/read").await.text, "None new true");
    browser.get(&site, "/sign-out").await;
    assert_eq!(browser.cookies(), "");
}

#[cfg(feature = "express")]
#[actix_web::test]
async fn sessions_may_be_shared_with_express() {
    use crate::express_records::Memory;
    use session_actix::express::{Express, ExpressStore};
    let (memory, express) = (Memory::default(), Express::new("keyboard cat"));
    let store = ExpressStore::with_client(memory.clone(), express, ()).expect("good");
    let layer = SessionLayer::express_compatible(store).expect("good");
    let site = site(layer.build().expect("good")).await;
    let browser = Browser::new();
    for n in ["1", "2"] {
        assert_eq!(browser.get(&site, "/count").await.text, n);
    }
    let cookies = browser.cookies();
    let value = cookies.strip_prefix("connect.sid=").expect("Express' name");
    let token = Express::new("keyboard cat").read_cookie(value);
    let record = memory.text(&token.expect("signed")).expect("stored");
    assert!(record.ends_with(r#","n":2}"#), "{record}");
}

#[actix_web::test]
async fn bearers_are_told_the_scheme_and_their_token() {
    let layer = SessionLayer::builder(MemoryStore::new()).transport(Transport::Bearer);
    let site = site(layer.build().expect("good")).await;
    let browser = Browser::new();
    let page = browser.get(&site, "/sign-in").await;
    let token = page.header("x-session").expect("a token");
    let bearer = ("authorization", format!("Bearer {token}"));
    let account = || TestRequest::get().uri("/account");
    let page = browser.send(&site, account().insert_header(bearer)).await;
    assert_eq!(page.text, "ann");
    let page = browser.send(&site, account()).await;
    assert_eq!(page.status.as_u16(), 401);
    assert_eq!(page.header("www-authenticate"), Some("Bearer"));
}

#[actix_web::test]
async fn only_a_trusted_proxy_says_that_a_request_came_by_https() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .secure(Secure::AsRequest)
        .proxy(Proxy::From(vec!["10.0.0.0/8".parse().expect("a network")]));
    let site = site(layer.build().expect("good")).await;
    for (peer, is_secure) in [("10.1.2.3:4000", true), ("192.0.2.1:4000", false)] {
        let request = TestRequest::get()
            .uri("/count")
            .peer_addr(peer.parse().expect("an address"))
            .insert_header(("x-forwarded-proto", "https"));
        let page = Browser::new().send(&site, request).await;
        assert_eq!(
            page.set_cookies()[0].contains("Secure"),
            is_secure,
            "{peer}"
        );
    }
}

#[actix_web::test]
async fn a_site_may_go_on_without_its_store() {
    let store = crate::probe::Probe::default();
    let layer = SessionLayer::builder(store.clone()).on_failure(OnFailure::Anonymous);
    let site = site(layer.build().expect("good")).await;
    let browser = Browser::new();
    browser.get(&site, "/count").await;
    store.fail_loads(true);
    store.fail_writes(true);
    assert_eq!(browser.get(&site, "/count").await.text, "1");
}

#[actix_web::test]
async fn the_path_is_what_the_browser_asks_for() {
    let layer = SessionLayer::builder(MemoryStore::new()).path("/static");
    let site = site(layer.build().expect("good")).await;
    let page = Browser::new().get(&site, "/count?n=/static").await;
    assert_eq!(
        page.status.as_u16(),
        500,
        "no browser sends the cookie there"
    );
}
