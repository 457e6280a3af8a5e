//! The rules of sessions, set where the layer is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use session_core::{ErrorKind, Event, Lifetime, Limits, Observer, Sessions};
use session_memory::MemoryStore;
use session_web::{KeyRing, Persistence, Secret, SessionLayer, SessionLayerBuilder};

use crate::app::routes;
use crate::browser::Browser;

const HOUR: Duration = Duration::from_secs(3_600);

/// Counts the sessions that begin.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicU32>);

impl Observer for Begun {
    fn created(&self, _: Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn on_a_manager(lifetime: Lifetime, begun: &Begun) -> SessionLayerBuilder {
    let sessions = Sessions::builder(MemoryStore::new()).lifetime(lifetime);
    let sessions = sessions.observer(begun.clone()).build();
    SessionLayer::builder(sessions.expect("good rules"))
}

fn in_cookie() -> SessionLayerBuilder {
    let layer = SessionLayer::cookie_only(&KeyRing::new(Secret::generate()));
    layer.options().expect("good options")
}

fn all() -> Vec<SessionLayerBuilder> {
    vec![
        SessionLayer::builder(MemoryStore::new()),
        on_a_manager(Lifetime::fixed(5 * HOUR), &Begun::default()),
        in_cookie(),
        #[cfg(feature = "express")]
        {
            let cookies = session_web::express::CookieSession::new("key");
            let layer = SessionLayer::express_cookie_only(cookies);
            layer.options().expect("good options")
        },
    ]
}

#[tokio::test]
async fn the_lifetime_that_the_layer_is_given_counts() {
    for layer in all() {
        let layer = layer.persistence(Persistence::Always);
        let layer = layer.lifetime(Lifetime::fixed(2 * HOUR)).build();
        let app = routes().layer(layer.expect("good rules"));
        let browser = Browser::new();
        // The second time it has been read.
        for text in ["1", "2"] {
            let page = browser.get(&app, "/count").await;
            assert_eq!(page.text, text);
            let cookies = page.set_cookies();
            let is_told = |cookie: &&str| cookie.contains("; Max-Age=7200;");
            assert!(cookies.iter().all(is_told), "{cookies:?}");
            assert!(!cookies.is_empty(), "it has changed");
        }
    }
}

#[tokio::test]
async fn a_lifetime_that_makes_no_sense_is_refused_when_the_layer_is_built() {
    for layer in all() {
        let layer = layer.lifetime(Lifetime::new(2 * HOUR, HOUR)).build();
        let error = layer.expect_err("the absolute limit is the shorter one");
        assert_eq!(error.kind(), ErrorKind::InvalidLifetime, "{error}");
    }
}

#[tokio::test]
async fn observers_are_added_and_limits_count() {
    let (theirs, ours) = (Begun::default(), Begun::default());
    let layer = on_a_manager(Lifetime::default(), &theirs);
    let layer = layer.observer(ours.clone()).build();
    let app = routes().layer(layer.expect("good rules"));
    Browser::new().get(&app, "/count").await;
    assert_eq!([theirs, ours].map(|begun| begun.0.load(SeqCst)), [1, 1]);

    for layer in all() {
        let limits = Limits::default().with_lifetime(HOUR);
        let layer = layer.lifetime(Lifetime::fixed(2 * HOUR)).limits(limits);
        let error = layer.build().expect_err("it is over the limit");
        assert_eq!(error.kind(), ErrorKind::InvalidLifetime, "{error}");
    }
}
