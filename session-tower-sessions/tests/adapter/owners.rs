//! Sessions of tower-sessions that have an owner.

use axum::Router;
use axum::routing::get;
use session_core::{Owner, Sessions};
use session_memory::MemoryStore;
use session_tower_sessions::TowerSessionsStore;
use session_web::testing::TestClient;
use tower_sessions::{Session, SessionManagerLayer};

#[tokio::test]
async fn log_out_everywhere_ends_the_sessions_of_a_user_and_no_others() {
    let store = MemoryStore::new();
    let adapter = TowerSessionsStore::new(store.clone()).expect("a native store");
    let adapter = adapter.with_owner_from(|data| Owner::new(data.get("user")?.as_str()?).ok());
    let sign_in = |user: &'static str| {
        get(move |session: Session| async move { session.insert("user", user).await.expect("up") })
    };
    let whoami = |session: Session| async move {
        let user: Option<String> = session.get("user").await.expect("up");
        user.unwrap_or_default()
    };
    let app: Router = Router::new()
        .route("/ann", sign_in("ann"))
        .route("/ben", sign_in("ben"))
        .route("/whoami", get(whoami))
        .layer(SessionManagerLayer::new(adapter));
    let clients = [(); 3].map(|()| TestClient::new(app.clone()));
    for (client, path) in clients.iter().zip(["/ann", "/ann", "/ben"]) {
        client.get(path).await;
    }

    let sessions = Sessions::new(store);
    assert_eq!(sessions.owned_by("ann").await.expect("up").len(), 2);
    let ended = sessions.destroy_owned_by("ann", None).await;
    assert_eq!(ended.expect("up"), 2);
    for (client, user) in clients.iter().zip(["", "", "ben"]) {
        assert_eq!(client.get("/whoami").await.body(), user);
    }
}
