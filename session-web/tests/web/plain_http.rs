//! Whether a cookie is `Secure`, and by whose word.

use axum::Router;
use axum::routing::get;
use session_memory::MemoryStore;
use session_web::{Peer, Proxy, ProxyHeader, Secure, Session, SessionLayer, SessionLayerBuilder};

use crate::browser::{Browser, Page};
use crate::log::Log;

fn app(layer: SessionLayerBuilder) -> Router {
    Router::new()
        .route(
            "/",
            get(|session: Session| async move { session.insert("n", 1).expect("JSON") }),
        )
        .layer(layer.build().expect("good options"))
}

fn builder() -> SessionLayerBuilder {
    SessionLayer::builder(MemoryStore::new())
}

fn from(peer: &str, app: Router) -> Router {
    let peer = Peer(peer.parse().expect("an address"));
    app.layer(axum::Extension(peer))
}

async fn get_with(app: &Router, headers: &[(&'static str, &str)]) -> Page {
    let with = |browser: Browser, (name, value): &(&'static str, &str)| browser.with(name, value);
    let browser = headers.iter().fold(Browser::by_http(), with);
    browser.get(app, "/").await
}

fn is_strict(page: &Page) -> bool {
    let [cookie] = page.set_cookies()[..] else {
        panic!("one cookie: {:?}", page.set_cookies());
    };
    let is_secure = cookie.contains("; Secure");
    assert_eq!(cookie.starts_with("__Host-"), is_secure, "{cookie}");
    is_secure
}

/// nginx' `proxy_pass http://127.0.0.1:3000;`, alone or with other lines that people write: the
/// application must not take the site's visitors for its developer.
#[tokio::test]
async fn behind_a_proxy_that_says_nothing_the_cookie_is_as_strict_as_ever() {
    let local = from("127.0.0.1", app(builder()));
    for app in [app(builder()), local] {
        for headers in [
            &[("host", "127.0.0.1:3000"), ("connection", "close")][..],
            &[("host", "localhost:3000"), ("connection", "close")],
            &[("host", "[::1]:3000")],
            &[("host", "127.0.0.1:3000"), ("x-real-ip", "192.0.2.1")],
            &[("host", "127.0.0.1:3000"), ("x-forwarded-for", "192.0.2.1")],
            &[("host", "127.0.0.1:3000"), ("x-forwarded-proto", "http")],
            &[("host", "127.0.0.1:3000"), ("forwarded", "proto=http")],
            &[("host", "app")],
            &[("host", "example.org")],
        ] {
            assert!(is_strict(&get_with(&app, headers).await), "{headers:?}");
        }
    }
}

#[tokio::test]
async fn the_switch_for_development_works_on_any_host_and_is_told() {
    let log = Log::start();
    let app = app(builder().secure(Secure::Development));
    let [told] = &log.take()[..] else {
        panic!("one line");
    };
    assert!(
        told.starts_with("WARN") && told.contains("Secure::Development"),
        "{told}"
    );
    for host in [
        "localhost:3000",
        "192.168.1.5",
        "app",
        "0.0.0.0",
        "[::1]:3000",
    ] {
        assert!(
            !is_strict(&get_with(&app, &[("host", host)]).await),
            "{host}"
        );
    }
    let trusting = builder().secure(Secure::Development).proxy(Proxy::Any);
    let https = [("x-forwarded-proto", "https")];
    log.take();
    assert!(is_strict(&get_with(&self::app(trusting), &https).await));
    assert_eq!(log.take().len(), 1, "that it is on");
}

#[tokio::test]
async fn a_host_whose_browsers_drop_the_cookie_is_told_of_once() {
    let log = Log::start();
    let app = app(builder());
    for host in [
        "192.168.1.5:3000",
        "app",
        "0.0.0.0",
        "app",
        "192.168.1.5:3000",
    ] {
        get_with(&app, &[("host", host)]).await;
    }
    let told = log.take();
    assert_eq!(told.len(), 3, "{told:?}");
    for (line, host) in told.iter().zip(["192.168.1.5:3000", "app", "0.0.0.0"]) {
        assert!(line.starts_with("WARN") && line.contains(host), "{line}");
        for part in ["plain http", "drop", "Proxy::From", "Secure::Development"] {
            assert!(line.contains(part), "{line} says {part}");
        }
    }
    for host in ["localhost:3000", "app.localhost", "127.0.0.1"] {
        get_with(&app, &[("host", host)]).await;
        let told = log.take();
        assert!(
            told[0].starts_with("INFO") && told[0].contains("Safari"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn sites_with_https_are_not_told_of() {
    let log = Log::start();
    let app = app(builder());
    for (name, value) in [
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=\"[2001:db8::1]\";proto=https"),
        ("origin", "https://example.org"),
        ("referer", "https://example.org/"),
        ("sec-fetch-site", "none"),
    ] {
        get_with(&app, &[(name, value)]).await;
        assert_eq!(log.take(), [""; 0], "{name}: {value}");
    }
    // One that shows the cookie has kept it.
    get_with(&app, &[("cookie", "__Host-id=x")]).await;
    assert!(log.take().iter().all(|line| !line.contains("plain http")));
    for secure in [Secure::AsRequest, Secure::Never] {
        get_with(&self::app(builder().secure(secure)), &[]).await;
        assert_eq!(log.take(), [""; 0], "{secure:?}");
    }
}

#[tokio::test]
async fn clients_that_make_up_hosts_fill_neither_log_nor_memory() {
    let log = Log::start();
    let app = app(builder());
    for n in 0..100 {
        get_with(&app, &[("host", &format!("{}.{n}", "long".repeat(100)))]).await;
        get_with(&app, &[("host", &format!("h{n}"))]).await;
    }
    let told = log.take();
    assert_eq!(
        told.len(),
        17,
        "16, and one more in the first minute: {told:?}"
    );
    assert!(told.iter().all(|line| line.len() < 1_000));
}

#[tokio::test]
async fn one_header_counts_and_whatever_else_a_client_sends_does_not() {
    let https = ("x-forwarded-proto", "https");
    let (x, forwarded) = (ProxyHeader::XForwarded, ProxyHeader::Forwarded);
    for (header, headers, is_https) in [
        (x, &[https][..], true),
        (x, &[https, ("forwarded", "proto=http")], true),
        (x, &[https, ("forwarded", "for=\"")], true),
        (x, &[("forwarded", "proto=https")], false),
        (x, &[("x-forwarded-proto", "HTTPS , http")], true),
        (x, &[("x-forwarded-proto", "http, https")], false),
        (x, &[("x-forwarded-proto", "https,ä")], true),
        (x, &[("x-forwarded-proto", "")], false),
        (forwarded, &[https], false),
        (forwarded, &[https, ("forwarded", "proto=http")], false),
        (
            forwarded,
            &[("forwarded", "for=192.0.2.1;proto=https;by=1")],
            true,
        ),
        (
            forwarded,
            &[("forwarded", "for=192.0.2.1; Proto = \"https\"")],
            true,
        ),
        (forwarded, &[("forwarded", r#"proto="ht\tps""#)], true),
        (
            forwarded,
            &[("forwarded", r#"for="a,b";proto=https"#)],
            true,
        ),
        (
            forwarded,
            &[("forwarded", r#"for="a;proto=http";proto=https"#)],
            true,
        ),
        (
            forwarded,
            &[("forwarded", r#"for="\",";proto=https, proto=http"#)],
            true,
        ),
        (forwarded, &[("forwarded", r#"for="a, proto=https"#)], false),
        (forwarded, &[("forwarded", "for=ä;proto=https")], true),
        (
            forwarded,
            &[("forwarded", "ä;proto=https, for=\"ö\"")],
            true,
        ),
        (forwarded, &[("forwarded", ";;proto=https")], true),
        (forwarded, &[("forwarded", "for=1, proto=https")], false),
        (forwarded, &[("forwarded", "xproto=https")], false),
    ] {
        let layer = builder().proxy(Proxy::Any).proxy_header(header);
        let app = app(layer.secure(Secure::AsRequest));
        let page = get_with(&app, headers).await;
        assert_eq!(is_strict(&page), is_https, "{header:?} {headers:?}");
    }
}

#[tokio::test]
async fn only_the_proxys_word_is_taken() {
    let private = Proxy::From(vec!["10.0.0.0/8".parse().expect("a network")]);
    for (peer, is_https) in [
        (Some("10.1.2.3"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("192.0.2.1"), false),
        (None, false),
    ] {
        let layer = builder().proxy(private.clone()).secure(Secure::AsRequest);
        let mut app = app(layer);
        if let Some(peer) = peer {
            app = from(peer, app);
        }
        let page = get_with(&app, &[("x-forwarded-proto", "https")]).await;
        assert_eq!(is_strict(&page), is_https, "{peer:?}");
    }
    let app = app(builder().secure(Secure::AsRequest));
    let page = get_with(&app, &[("x-forwarded-proto", "https")]).await;
    assert!(!is_strict(&page), "nobody's");
}

#[tokio::test]
async fn that_a_server_does_not_say_who_is_connected_is_told_once() {
    let log = Log::start();
    let private = Proxy::From(vec!["10.0.0.0/8".parse().expect("a network")]);
    let app = app(builder().proxy(private).secure(Secure::AsRequest));
    for _ in 0..3 {
        get_with(&app, &[("x-forwarded-proto", "https")]).await;
    }
    let [told] = &log.take()[..] else {
        panic!("one line");
    };
    assert!(
        told.starts_with("WARN") && told.contains("connect_info"),
        "{told}"
    );
    get_with(&from("10.1.2.3", app), &[]).await;
    assert_eq!(log.take(), [""; 0]);
}
