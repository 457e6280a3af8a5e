//! A site with signing in and out, for what happens to its tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use session_core::{
    EndReason, Error, ErrorKind, Event, Observer, SessionId, Sessions, SessionsBuilder,
};
use session_web::{Session, SessionLayer, SessionLayerBuilder};
use tokio::sync::Semaphore;

use crate::browser::{Browser, Page};
use crate::probe::Probe;

pub(crate) const RENEW_AFTER: Duration = Duration::from_millis(400);
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// Rules by which tokens are renewed soon.
pub(crate) fn renewing(store: &Probe) -> SessionsBuilder {
    Sessions::builder(Arc::new(store.clone()))
        .renew_after(RENEW_AFTER)
        .grace(GRACE)
}

/// What happens on the site.
#[derive(Clone, Default)]
pub(crate) struct Site {
    pub(crate) gate: Gate,
    /// What handlers have seen.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) fn router(&self, sessions: Sessions) -> Router {
        self.router_of(SessionLayer::builder(sessions))
    }

    pub(crate) fn router_of(&self, layer: SessionLayerBuilder) -> Router {
        self.routes().layer(layer.build().expect("good options"))
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/who", get(who))
            .route(
                "/keys",
                get(|session: Session| async move { session.keys().join(",") }),
            )
            .route("/static", get(|| async {}))
            .route("/set/{key}", get(set))
            .route("/form", get(form))
            .route("/post", post(check))
            .route("/sign-in", post(sign_in_by_form))
            .route("/sign-in/{name}", get(sign_in))
            .route("/cycle", get(cycle))
            .route("/sign-out", get(sign_out))
            .route("/sign-out/flash", get(sign_out_with_a_message))
            .route("/slow/set", get(set_slowly))
            .route("/slow/update", get(update_slowly))
            .route("/slow/sign-in", post(sign_in_slowly))
            .with_state(self.clone())
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("whole").clone()
    }

    fn see(&self, what: impl Into<String>) {
        self.seen.lock().expect("whole").push(what.into());
    }
}

/// Stops handlers in their middle until they are let on.
#[derive(Clone)]
pub(crate) struct Gate {
    reached: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        let [reached, open] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
        Self { reached, open }
    }
}

impl Gate {
    async fn pass(&self) {
        self.reached.add_permits(1);
        self.open.acquire().await.expect("open").forget();
    }

    /// Waits until so many handlers wait here, does `meanwhile`, and lets them on.
    pub(crate) async fn hold<T>(&self, handlers: u32, meanwhile: impl Future<Output = T>) -> T {
        let reached = self.reached.acquire_many(handlers).await;
        reached.expect("open").forget();
        let done = meanwhile.await;
        self.open.add_permits(handlers as usize);
        done
    }
}

type Answer<T> = Result<T, (StatusCode, String)>;

/// As a site does it that tells its users what went wrong.
fn failed(error: Error) -> (StatusCode, String) {
    let status = match error.kind() {
        ErrorKind::Gone => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

async fn who(session: Session) -> String {
    let owner = session.owner();
    owner.map_or("nobody".to_owned(), |owner| owner.to_string())
}

async fn set(session: Session, Path(key): Path<String>) -> Answer<()> {
    session.insert(&key, "set").map_err(failed)
}

async fn form(session: Session) -> Answer<String> {
    session.csrf_token().map_err(failed)
}

#[derive(Deserialize)]
struct Fields {
    token: String,
}

async fn check(session: Session, Form(fields): Form<Fields>) -> String {
    session.is_csrf_token(&fields.token).to_string()
}

async fn sign_in(session: Session, Path(name): Path<String>) -> Answer<()> {
    session.insert("secret", &name).map_err(failed)?;
    session.sign_in(name).await.map_err(failed)
}

async fn sign_in_by_form(session: Session, Form(fields): Form<Fields>) -> Answer<()> {
    if !session.is_csrf_token(&fields.token) {
        return Err((StatusCode::FORBIDDEN, "forged".to_owned()));
    }
    session.sign_in("ann").await.map_err(failed)
}

async fn cycle(session: Session) -> Answer<()> {
    session.cycle_id().await.map_err(failed)
}

async fn sign_out(session: Session) -> Answer<()> {
    session.destroy().await.map_err(failed)
}

async fn sign_out_with_a_message(session: Session) -> Answer<()> {
    session.destroy().await.map_err(failed)?;
    session.flash("info", "Goodbye").map_err(failed)
}

async fn set_slowly(State(site): State<Site>, session: Session) -> Answer<()> {
    site.gate.pass().await;
    session.insert("late", true).map_err(failed)?;
    let saved = session.save().await;
    site.see(format!("{:?} {:?}", session.keys(), session.owner()));
    saved.map_err(failed)
}

async fn update_slowly(State(site): State<Site>, session: Session) -> Answer<()> {
    site.gate.pass().await;
    let update = session.update("secret", |secret: Option<String>| {
        site.see(format!("{secret:?}"));
        "overwritten".to_owned()
    });
    let updated = update.await;
    site.see(format!("{:?} {:?}", session.keys(), session.owner()));
    updated.map(drop).map_err(failed)
}

async fn sign_in_slowly(
    State(site): State<Site>,
    session: Session,
    form: Form<Fields>,
) -> Answer<()> {
    site.gate.pass().await;
    sign_in_by_form(session, form).await
}

/// An observer that remembers the ends of sessions and the tokens that were used again.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }

    fn hear(&self, what: String) {
        self.0.lock().expect("whole").push(what);
    }
}

impl Observer for Heard {
    fn destroyed(&self, event: Event<'_>, reason: EndReason) {
        self.hear(format!("{:?} ended: {reason:?}", event.owner));
    }

    fn reused(&self, event: Event<'_>) {
        self.hear(format!("{:?} reused", event.owner));
    }

    fn unknown(&self, _: &SessionId) {
        self.hear("unknown".to_owned());
    }
}

/// The one cookie that a page sets.
pub(crate) fn new_cookie(page: &Page) -> String {
    let new = page.new_cookies();
    let [cookie] = &new[..] else {
        panic!("one cookie is set: {:?}", page.set_cookies());
    };
    cookie.clone()
}

/// Whose session a cookie opens.
pub(crate) async fn who_by(app: &Router, cookie: &str) -> String {
    Browser::holding(cookie).get(app, "/who").await.text
}
