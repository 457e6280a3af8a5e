//! An app on axum-login, which uses tower-sessions 0.14, signing in and out over the adapter.

use std::convert::Infallible;

use axum::Router;
use axum::routing::{get, post};
use axum_login::tower_sessions::SessionManagerLayer;
use axum_login::{
    AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId, login_required,
};
use http::StatusCode;
use session_core::{Owner, Sessions};
use session_memory::{MemoryStore, SessionDirectory};
use session_tower_sessions::TowerSessionsStore;
use session_web::testing::TestClient;

#[derive(Clone, Debug)]
struct User;

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        1769
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"a hash of the password"
    }
}

/// One user, whose password is "Josephine".
#[derive(Clone)]
struct Users;

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, password: String) -> Result<Option<User>, Infallible> {
        Ok((password == "Josephine").then_some(User))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok((*id == 1769).then_some(User))
    }
}

async fn sign_in(mut auth: AuthSession<Users>, password: String) -> StatusCode {
    match auth.authenticate(password).await.expect("infallible") {
        Some(user) => {
            auth.login(&user).await.expect("up");
            StatusCode::OK
        }
        None => StatusCode::UNAUTHORIZED,
    }
}

async fn sign_out(mut auth: AuthSession<Users>) {
    auth.logout().await.expect("up");
}

fn app(store: &MemoryStore) -> Router {
    let adapter = TowerSessionsStore::new(store.clone()).expect("a native store");
    let adapter = adapter.with_owner_from(|data| {
        let user = data.get("axum-login.data")?.get("user_id")?.as_u64()?;
        Owner::new(user.to_string()).ok()
    });
    let auth = AuthManagerLayerBuilder::new(Users, SessionManagerLayer::new(adapter)).build();
    Router::new()
        .route("/account", get(|| async { "yours" }))
        .route_layer(login_required!(Users))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .layer(auth)
}

async fn sign_in_with(client: &TestClient<Router>, password: &str) -> StatusCode {
    let request = http::Request::post("/sign-in").body(password.to_owned());
    client.send(request.expect("a good request")).await.status()
}

#[tokio::test]
async fn a_user_signs_in_and_out() {
    let store = MemoryStore::new();
    let (client, other) = (TestClient::new(app(&store)), TestClient::new(app(&store)));
    assert_eq!(
        client.get("/account").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        sign_in_with(&client, "Désirée").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(sign_in_with(&client, "Josephine").await, StatusCode::OK);
    assert_eq!(client.get("/account").await.body(), "yours");
    assert_eq!(
        other.get("/account").await.status(),
        StatusCode::UNAUTHORIZED
    );
    client.post("/sign-out", &[]).await;
    assert_eq!(
        client.get("/account").await.status(),
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(store.count().await.expect("up"), 0);
}

#[tokio::test]
async fn a_user_is_logged_out_everywhere() {
    let store = MemoryStore::new();
    let clients = [(); 2].map(|()| TestClient::new(app(&store)));
    for client in &clients {
        assert_eq!(sign_in_with(client, "Josephine").await, StatusCode::OK);
    }
    let ended = Sessions::new(store).destroy_owned_by("1769", None).await;
    assert_eq!(ended.expect("up"), 2);
    for client in &clients {
        assert_eq!(
            client.get("/account").await.status(),
            StatusCode::UNAUTHORIZED
        );
    }
}
