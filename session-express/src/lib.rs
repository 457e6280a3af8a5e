//! Sessions shared with an Express app: the same cookie, the same records, one sign-in for both.
//!
//! ```
//! use session_express::Express;
//!
//! // What the Express app says: session({ secret: 'keyboard cat', cookie: { maxAge: 3600000 } })
//! let express = Express::new("keyboard cat").max_age(std::time::Duration::from_secs(3_600));
//! ```
//!
//! The backends do the rest: `session_redis::express`, `session_mongo::express` and
//! `session_mysql::express` (Cargo feature `express`) read and write the records of connect-redis,
//! connect-mongo and express-mysql-session, and `session-web`'s `SessionLayer::express_compatible`
//! does the cookie. `docs/express.md` is the guide.
//!
//! # What is in a record
//!
//! One JSON object: `cookie`, as express-session keeps it, and the session's variables beside it.
//! Contents that this library does not know are written back as they were. A
//! [`Session`](session_core::Session) shows the variables only.
//!
//! What Express has no room for is kept under one more key, [`EXTRA_KEY`], and only if it is used:
//! the owner, the absolute limit, and when the session began. Express keeps that as a variable it
//! doesn't know. It is authenticated by Express' secret: what an app's own code puts there sets no
//! owner, and a record with such a value is corrupt, as is one whose secret was retired too early.
//!
//! # Compare and set, by the value
//!
//! The format has no room for a stamp. So a record's stamp is a hash of its contents, and a write
//! names the value that it replaces, which the database compares. `cookie.expires` is not in the
//! hash: every touch changes it, and no change of a session is lost by that.
//!
//! # Plain ids
//!
//! The client's token is the id of the record, and there is no room for a credential. So a new
//! token is a new id: in these layouts, and only here, a session moves. [`ExpressStore`] says what
//! follows from that. [`MovingStore`] moves sessions on to a native store, where ids stay.
#![forbid(unsafe_code)]

mod backend;
mod connect_sess;
mod cookie_session;
mod cookie_text;
mod directory;
mod expiry;
mod extra;
mod key_value;
mod layout;
mod moving;
mod options;
mod parsed;
mod record;
mod secret;
mod sent;
mod signature;
mod store;
mod tombstone;

pub use connect_sess::ConnectSess;
pub use cookie_session::{CookieSession, KeygripHash};
pub use extra::EXTRA_KEY;
pub use key_value::{Configured, Found, KeyValue, Listed, Renamed};
pub use moving::MovingStore;
pub use options::{CookieOptions, Express, Priority, SameSite};
pub use parsed::check_parsed;
pub use session_core;
pub use store::{ExpressLayout, ExpressStore};
