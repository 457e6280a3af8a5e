//! Sessions for [actix-web]: in a store, or in an encrypted cookie.
//!
//! ```
//! use actix_web::{App, HttpServer, web};
//! use session_actix::{Session, SessionLayer, SessionMiddleware};
//! use session_memory::MemoryStore;
//!
//! async fn visit(session: Session) -> actix_web::Result<String> {
//!     let visits = session.get("visits")?.unwrap_or(0_u32) + 1;
//!     session.insert("visits", visits)?;                           // plain memory, no await
//!     Ok(format!("visit {visits}"))
//! }
//!
//! # async fn example() -> std::io::Result<()> {
//! let sessions = SessionMiddleware::new(SessionLayer::new(MemoryStore::new()));
//! HttpServer::new(move || {
//!     App::new()
//!         .route("/", web::get().to(visit))
//!         .wrap(sessions.clone())                                  // saves before the response goes
//! })
//! .bind(("127.0.0.1", 8080))?
//! .run()
//! .await
//! # }
//! ```
//!
//! The rules and options are those of [`session_web`]: [`SessionMiddleware`] takes any of its layers,
//! also [`SessionLayer::cookie_only`] and, with the Cargo feature `express`, those that share
//! sessions with an Express app. [What happens to a request](session_web#what-happens-to-a-request)
//! is the same, and so is what is stored: an application on axum can open the sessions of one on
//! actix-web.
//!
//! Make the store and the middleware once, before `HttpServer::new`, and give each worker a clone:
//! a store that is made inside of the closure is another one for each worker.
//!
//! # Handlers
//!
//! | argument | what it gives | if there is none |
//! |---|---|---|
//! | [`Session`] | the request's session: loaded by the first extractor, at most one round trip | |
//! | [`Owner`] | the signed-in user | 401 |
//! | [`Typed<T>`](Typed) | one value of the session, of a type that has a key of its own | the default |
//! | [`CsrfForm<T>`](CsrfForm) | a form that has the session's token | 403 |
//! | [`CsrfMultipart<M>`](CsrfMultipart) | the same of a form with files | 403 |
//! | [`ReturnTo`] | where the user goes on after signing in; a response, too | `/` |
//! | `Option<Session>` | `None` if the session can't be loaded | |
//! | `Result<Owner>` | the user, or why there is none; [`Error::is_refusal`] tells which | |
//!
//! actix-web makes `None` of every error, so `Option<Owner>` takes a user whose session can't be
//! loaded for a guest: ask [`Session::owner`] instead. [`Error`] is a `ResponseError`, so `?` works
//! in handlers that return [`actix_web::Result`]; its response has no body and the status that
//! [`session_core::error_response`] tells.
//!
//! # Errors of middleware
//!
//! Middleware inside of this one that fails by an `Err`, as authentication does, has its session
//! saved all the same, as a handler that answers with an error has, and the response that actix-web
//! makes of the error gets the cookie. A handler that panics, or whose client goes away, saves
//! nothing.
//!
//! # Guards
//!
//! [`GuardMiddleware`] takes [`RequireOwner`], for what only signed-in users may do, and
//! [`CrossOriginProtection`], which refuses what other sites' pages send.
//!
//! # Tests of an application
//!
//! With the Cargo feature `testing`, `testing::TestClient` is a browser for tests, which signs in
//! without the site's form and reaches its session.
//!
//! [actix-web]: https://docs.rs/actix-web
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod convert;
mod csrf_form;
mod csrf_multipart;
mod guard;
mod middleware;
#[cfg(feature = "testing")]
pub mod testing;

pub use csrf_form::CsrfForm;
pub use csrf_multipart::CsrfMultipart;
pub use guard::{GuardMiddleware, GuardService};
pub use middleware::{SessionMiddleware, SessionService};
#[cfg(feature = "express")]
pub use session_web::express;
pub use session_web::{
    self, CookieOnlyBuilder, CrossOriginProtection, Description, Error, ErrorKind, Flash, Https,
    KeyRing, Lifetime, Limits, NamePrefix, Observer, OnFailure, OnMismatch, Owner, Peer,
    Persistence, Priority, Proxy, ProxyHeader, RequireOwner, Result, ReturnTo, Rolling, SameSite,
    Secret, Secure, Session, SessionEnd, SessionHandle, SessionId, SessionLayer,
    SessionLayerBuilder, SessionValue, Sessions, Timeout, Transport, Typed, UserAgent, close_code,
    session_core,
};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
