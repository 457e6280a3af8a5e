//! A browser for the tests of an application (Cargo feature `testing`).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> session_web::Result<()> {
//! use axum::{Router, routing::get};
//! use session_memory::MemoryStore;
//! use session_web::testing::TestClient;
//! use session_web::{Result, Session, SessionLayer};
//!
//! async fn account(session: Session) -> Result<String> {
//!     Ok(match session.owner() {
//!         Some(user) => format!("Hello, {}", user.as_str()),
//!         None => "Sign in first".to_owned(),
//!     })
//! }
//!
//! let app: Router = Router::new()
//!     .route("/account", get(account))
//!     .layer(SessionLayer::new(MemoryStore::new()));
//!
//! let alice = TestClient::new(app.clone()).signed_in("alice").await?;
//! assert_eq!(alice.get("/account").await.body(), "Hello, alice");
//!
//! let guest = TestClient::new(app);
//! assert_eq!(guest.get("/account").await.body(), "Sign in first");
//! # Ok(()) }
//! ```
//!
//! # How it reaches the session
//!
//! [`TestClient::session`] sends a request with an extension that only code of the same process can
//! set. The outermost [`SessionLayer`](crate::SessionLayer) that it comes to answers it itself: it
//! opens the session, hands it to the test, saves it and sets the cookie, by the same code as for
//! any other request. No handler runs. So the client needs no store and works with each kind of
//! layer; and what a test prepares is what a browser would have.
//!
//! Enable the feature under `dev-dependencies` only.

mod browser;
mod client;
mod jar;
mod origin;
mod visit;

pub use client::TestClient;
pub(crate) use visit::{Visit, met, millis_ahead};
