//! A site on tower-sessions, for the adapter over each store.

use axum::Router;
use axum::routing::get;
use session_tower_sessions::TowerSessionsStore;
use time::Duration;
use tower_sessions::{Expiry, Session, SessionManagerLayer};

pub(crate) fn app(store: TowerSessionsStore) -> Router {
    let expiry = Expiry::OnInactivity(Duration::HOUR);
    let count = |session: Session| async move {
        let n = session.get("n").await.expect("up").unwrap_or(0_u32) + 1;
        session.insert("n", n).await.expect("up");
        n.to_string()
    };
    let read = |session: Session| async move {
        let n: Option<u32> = session.get("n").await.expect("up");
        format!("{n:?}")
    };
    let remove = |session: Session| async move {
        session.remove::<u32>("n").await.expect("up");
    };
    let cycle = |session: Session| async move { session.cycle_id().await.expect("up") };
    let flush = |session: Session| async move { session.flush().await.expect("up") };
    Router::new()
        .route("/", get(|_: Session| async {}))
        .route("/count", get(count))
        .route("/read", get(read))
        .route("/remove", get(remove))
        .route("/cycle", get(cycle))
        .route("/flush", get(flush))
        .layer(SessionManagerLayer::new(store).with_expiry(expiry))
}
