//! Express' sessions from Rust: one user, signed in on both, on the same cookie and record.
//!
//! ```
//! use session_express::Express;
//!
//! // What the Express app says: session({ secret: 'keyboard cat', cookie: { maxAge: 3600000 } })
//! let express = Express::new("keyboard cat").max_age(std::time::Duration::from_secs(3_600));
//! ```
//!
//! Each backend takes it from there: `session_redis::express`, `session_mongo::express` and
//! `session_mysql::express` (Cargo feature `express`) read and write the records of connect-redis,
//! connect-mongo and express-mysql-session, and `session-web`'s `SessionLayer::express_compatible`
//! does the cookie. `docs/express.md` is the guide.
//!
//! # What is in a record
//!
//! One JSON object: `cookie`, as express-session keeps it, and the session's variables beside it.
//! What is in there and unknown here is written back as it was. A [`Session`](session_core::Session)
//! shows the variables only.
//!
//! What Express has no room for is kept under one more key, [`EXTRA_KEY`], and only if it is used:
//! the owner, the absolute limit, and when the session began. Express keeps that as a variable it
//! doesn't know.
//!
//! # One writer at a time, by the value
//!
//! The format has no room for a stamp either. So a record's stamp is a hash of what is in it, and
//! a write names the value that it replaces, which the database compares. `cookie.expires` is left
//! out of the hash: it moves with every touch, and nobody's changes are lost by that.
#![forbid(unsafe_code)]

mod connect_sess;
mod cookie_session;
mod expiry;
mod key_value;
mod moving;
mod options;
mod record;
mod secret;
mod signature;
mod store;

pub use connect_sess::ConnectSess;
pub use cookie_session::{CookieSession, KeygripHash};
pub use key_value::{Configured, Found, KeyValue, Listed};
pub use moving::MovingStore;
pub use options::{CookieOptions, Express, Priority, SameSite};
pub use record::EXTRA_KEY;
pub use session_core;
pub use store::{ExpressLayout, ExpressStore};
