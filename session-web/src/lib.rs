//! Sessions for [tower] and [axum]: in a store, or in an encrypted cookie.
//!
//! ```
//! use axum::{Router, routing::get};
//! use session_memory::MemoryStore;
//! use session_web::{Result, Session, SessionLayer};
//!
//! async fn visit(session: Session) -> Result<String> {
//!     let visits = session.get("visits")?.unwrap_or(0_u32) + 1;
//!     session.insert("visits", visits)?;                           // plain memory, no await
//!     Ok(format!("visit {visits}"))
//! }
//!
//! let app: Router = Router::new()
//!     .route("/", get(visit))
//!     .layer(SessionLayer::new(MemoryStore::new()));               // saves before the response goes
//! ```
//!
//! [`Session`] and [`Error`] are those of `session-core`. As a response, the error has the status
//! that [`session_core::error_response`] tells, and is logged.
//! [`on_error`](SessionLayerBuilder::on_error) puts a site's own page in its place.
//!
//! Without axum, a service finds a [`SessionHandle`] in the request's extensions:
//!
//! ```
//! # use session_web::{Result, SessionHandle};
//! async fn serve(request: http::Request<()>) -> Result<http::Response<String>> {
//!     let handle = request.extensions().get::<SessionHandle>().expect("the layer's");
//!     let session = handle.session().await?;
//!     session.insert("seen", true)?;
//!     Ok(http::Response::new("hello".to_owned()))
//! }
//! ```
//!
//! Other servers and frameworks put the same rules around a request with [`SessionLayer::begin`] and
//! [`Exchange::finish`]; `session-actix` is made of them.
//!
//! # What a site with users needs
//!
//! | for | there is |
//! |---|---|
//! | handlers of signed-in users | the extractor [`Owner`], or `Option<Owner>` |
//! | whole routers of them, and the way to the sign-in page and back | [`RequireOwner`], [`ReturnTo`] |
//! | what does harm in the wrong hands | [`RequireOwner::within`] |
//! | requests that other sites forge | [`CrossOriginProtection`], and `CsrfForm` and `CsrfMultipart` for forms |
//! | a changed password | [`Session::password_changed`] |
//! | "remember me" | [`Session::set_lifetime`], [`Session::set_persistent`] |
//! | pages for errors | [`on_error`](SessionLayerBuilder::on_error) |
//!
//! `docs/recipes.md` has each of them whole.
//!
//! # What happens to a request
//!
//! * **No extractor, no store traffic**, and no header in the response, unless the site chose
//!   [`Rolling::Always`], by which each request that brings a session extends it.
//! * The first extractor loads the session: one round trip if the client has presented a token,
//!   none otherwise. Every other extractor of the request gets the same session.
//! * The layer saves what has changed **before the first byte of the response**, one round trip,
//!   and sets the cookie if there is a new token. What was only read is touched, if its deadline
//!   would move noticeably, or its token is renewed, if that is
//!   [due](session_core::SessionsBuilder::renew_after): one round trip at most.
//! * **If it can't be saved, the client is told**: [`OnFailure`] says how. A response says 200
//!   only if what its handler did to the session is stored.
//! * A body that streams is not held back; it starts once the session is saved, and what it does
//!   to the session from then on must call [`save`](session_core::Session::save) itself. A
//!   warning, one a request and at most ten a minute, names the keys of changes that are dropped
//!   unsaved. A new token can't be sent any more: a write that would make one is
//!   [`ErrorKind::TooLate`]. A stream or a socket that is to close when its session ends is
//!   [`until_ended`](Session::until_ended) or [`while_live`](Session::while_live).
//! * A handler that panics, or whose client goes away, saves nothing, and the same warning names
//!   its changes. One that calls `save` itself has saved; the layer then sets the cookie.
//! * A handler that answers with an error has its session saved all the same: failed sign-ins may
//!   be counted in it.
//! * If there are several cookies of the layer's name, at most four are loaded, at the same time, and
//!   the first that opens a session counts. Other cookies in the request change nothing, whatever
//!   bytes they have. If a cookie can't be read, because it was forged or a secret is wrong,
//!   [observers are told](session_core::Observer::unreadable), and the log gets a warning at most
//!   once a minute.
//! * A token that opens nothing, because its session has ended or was never there, is not adopted
//!   and not answered: only a handler that stores something gets a cookie sent.
//! * **A request that was on its way while another one signed in** has a token that was replaced a
//!   moment ago. It gets an empty session that can't be saved: if its handler changes or ends that,
//!   the response is 409, and no response to it sets a cookie, so that it can't overwrite the one
//!   that the sign-in has set. A handler that signs in itself makes a session of its own. The same
//!   goes for a token that was [used before](session_core::OnReuse).
//! * A renewal that fails refuses nothing: the client keeps its token, and its next request tries
//!   again.
//! * Nested layers with cookies of different names each have a session: extractors get the
//!   innermost, [`SessionHandle::named`] any of them.
//!
//! # Tests of an application
//!
//! With the Cargo feature `testing`, `testing::TestClient` is a browser for tests, which signs in
//! without the site's form and reaches its session. `docs/testing.md` is the guide.
//!
//! [tower]: https://docs.rs/tower
//! [axum]: https://docs.rs/axum
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod caching;
mod close_code;
mod conclude;
mod config;
mod cookie;
mod cookie_header;
mod cookie_only;
mod cookie_store;
mod cross_origin;
#[cfg(feature = "axum")]
mod csrf_form;
#[cfg(feature = "axum")]
mod csrf_multipart;
#[cfg(feature = "axum")]
mod csrf_rejection;
mod error_pages;
mod exchange;
#[cfg(feature = "express")]
pub mod express;
#[cfg(feature = "express")]
mod express_cookies;
mod form_token;
mod format;
mod guard;
mod handle;
mod layer;
mod list;
mod plain_http;
mod presented;
mod request;
mod require_owner;
mod return_to;
mod sealed;
mod service;
mod set_cookie;
mod signature;
#[cfg(feature = "testing")]
pub mod testing;
mod typed;
mod user_agent;

pub use close_code::close_code;
pub use config::{OnFailure, Persistence, Rolling, Transport};
pub use cookie::{NamePrefix, Priority, SameSite};
pub use cookie_only::CookieOnlyBuilder;
pub use cross_origin::{CSRF_HEADER, CrossOriginProtection};
#[cfg(feature = "axum")]
pub use csrf_form::CsrfForm;
#[cfg(feature = "axum")]
pub use csrf_multipart::CsrfMultipart;
#[cfg(feature = "axum")]
pub use csrf_rejection::CsrfRejection;
pub use error_pages::{ErrorPages, PlainErrors, RespondToError};
pub use exchange::Exchange;
pub use form_token::{FormToken, IsMultipart, MultipartToken};
pub use guard::GuardService;
pub use layer::{SessionLayer, SessionLayerBuilder};
pub use request::{Https, Peer, Proxy, ProxyHeader, Secure};
pub use require_owner::RequireOwner;
pub use return_to::ReturnTo;
pub use service::SessionService;
pub use session_core::{
    self, Description, Error, ErrorKind, Flash, Lifetime, Limits, Observer, Owner, Result, Session,
    SessionEnd, SessionHandle, SessionId, Sessions, Timeout,
};
pub use session_sealed::{KeyRing, Secret};
pub use set_cookie::MAX_COOKIE_BYTES;
pub use typed::{OnMismatch, SessionValue, Typed};
pub use user_agent::UserAgent;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
