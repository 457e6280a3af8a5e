//! Signing out beside other requests of the same client.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use futures_util::future::join_all;
use http::StatusCode;
use session_core::{Confirmation, Sessions};
use session_memory::MemoryStore;
use session_web::{Session, SessionLayer};
use tokio::sync::Barrier;

use crate::browser::Browser;
use crate::probe::Probe;
use crate::site::{Site, who_by};

const RENEW_AFTER: Duration = Duration::from_millis(40);
const GRACE: Duration = Duration::from_millis(10);

/// How often each race is run: 20 times, or as `SESSION_TEST_ROUNDS` says.
fn rounds() -> usize {
    let told = std::env::var("SESSION_TEST_ROUNDS").ok();
    told.map_or(20, |told| told.parse().expect("a number of rounds"))
}

/// Lets handlers begin when so many requests have opened their session.
async fn together(
    State(barrier): State<Arc<Barrier>>,
    session: Session,
    request: Request,
    next: Next,
) -> Response {
    barrier.wait().await;
    drop(session);
    next.run(request).await
}

struct World {
    sessions: Sessions,
    app: Router,
}

impl World {
    fn new() -> Self {
        let store = Probe::default();
        store.slow();
        let sessions = Sessions::builder(Arc::new(store))
            .renew_after(RENEW_AFTER)
            .grace(GRACE)
            .build()
            .expect("good rules");
        let app = Site::default().router(sessions.clone());
        Self { sessions, app }
    }

    /// The site, for requests that are all under way before one of them does something.
    fn together(&self, requests: usize) -> Router {
        let barrier = Arc::new(Barrier::new(requests));
        let routes = Site::default().routes();
        routes
            .layer(from_fn_with_state(barrier, together))
            .layer(SessionLayer::new(self.sessions.clone()))
    }

    /// Sends these requests of one browser at once, and says which cookies its answers bring.
    async fn send(&self, app: &Router, browser: &Browser, paths: [&str; 4]) -> Vec<String> {
        let tabs = paths.map(|path| (path, browser.copied()));
        let pages = tabs.each_ref().map(|(path, tab)| tab.get(app, path));
        let mut cookies = Vec::new();
        for (page, path) in join_all(pages).await.into_iter().zip(paths) {
            let is_answered = page.status == StatusCode::OK || path == "/cycle";
            assert!(is_answered, "{path}: {}", page.status);
            cookies.extend(page.new_cookies());
        }
        cookies
    }

    async fn assert_signed_out(&self, cookies: &[String]) {
        for pause in [Duration::ZERO, 2 * GRACE] {
            tokio::time::sleep(pause).await;
            for cookie in cookies {
                assert_eq!(who_by(&self.app, cookie).await, "nobody");
            }
        }
        assert_eq!(self.sessions.count().await.expect("it is up"), 0);
    }
}

#[tokio::test]
async fn no_session_survives_a_sign_out_beside_a_renewal() {
    for _ in 0..rounds() {
        let (world, browser) = (World::new(), Browser::new());
        browser.get(&world.app, "/sign-in/ann").await;
        tokio::time::sleep(RENEW_AFTER).await;
        let mut cookies = vec![browser.cookies()];
        let paths = ["/who", "/sign-out", "/keys", "/who"];
        cookies.extend(world.send(&world.app, &browser, paths).await);
        world.assert_signed_out(&cookies).await;
    }
}

#[tokio::test]
async fn no_session_survives_a_sign_out_beside_a_new_token() {
    for _ in 0..rounds() {
        let (world, browser) = (World::new(), Browser::new());
        browser.get(&world.app, "/sign-in/ann").await;
        tokio::time::sleep(RENEW_AFTER).await;
        let mut cookies = vec![browser.cookies()];
        let paths = ["/who", "/sign-out", "/cycle", "/who"];
        let app = world.together(paths.len());
        cookies.extend(world.send(&app, &browser, paths).await);
        world.assert_signed_out(&cookies).await;
    }
}

#[tokio::test]
async fn the_cookie_goes_though_the_end_of_the_session_is_not_confirmed() {
    // Memory is no disk.
    let sessions = Sessions::builder(MemoryStore::new()).confirm_ends(Confirmation::Durable);
    let sessions = sessions.build().expect("good rules");
    let sign_out = |session: Session| async move { session.destroy().await };
    let app = Router::new()
        .route("/sign-in", get(crate::app::sign_in))
        .route("/sign-out", get(sign_out))
        .layer(SessionLayer::new(sessions.clone()));
    let browser = Browser::new();
    browser.get(&app, "/sign-in").await;
    assert!(!browser.cookies().is_empty());
    let page = browser.get(&app, "/sign-out").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(browser.cookies(), "");
    assert_eq!(sessions.count().await.expect("it is up"), 0);
}
