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
//! 503, 409 or 500 that [`OnFailure::Refuse`] tells, and is logged.
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
//! [tower]: https://docs.rs/tower
//! [axum]: https://docs.rs/axum
#![forbid(unsafe_code)]

mod caching;
mod close_code;
mod config;
mod cookie;
mod cookie_header;
mod cookie_only;
mod cookie_store;
#[cfg(feature = "express")]
pub mod express;
#[cfg(feature = "express")]
mod express_cookies;
mod format;
mod handle;
mod layer;
mod list;
mod plain_http;
mod presented;
mod request;
mod sealed;
mod service;
mod set_cookie;
mod signature;
#[cfg(feature = "axum")]
mod typed;

pub use close_code::close_code;
pub use config::{OnFailure, Persistence, Rolling, Transport};
pub use cookie::{NamePrefix, Priority, SameSite};
pub use cookie_only::CookieOnlyBuilder;
pub use layer::{SessionLayer, SessionLayerBuilder};
pub use request::{Https, Peer, Proxy, ProxyHeader, Secure};
pub use service::SessionService;
pub use session_core::{
    self, Error, ErrorKind, Flash, Lifetime, Limits, Observer, Owner, Result, Session, SessionEnd,
    SessionHandle, SessionId, Sessions, Timeout,
};
pub use session_sealed::{KeyRing, Secret};
pub use set_cookie::MAX_COOKIE_BYTES;
#[cfg(feature = "axum")]
pub use typed::{OnMismatch, SessionValue, Typed};

/// The examples of that page are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/changing-values.md")]
struct ChangingValues;

/// The examples of that page are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/streams.md")]
struct Streams;
