//! Sessions in the layout of connect-mongo, shared with an Express app.
//!
//! ```no_run
//! # async fn example() -> session_mongo::Result<()> {
//! use session_mongo::express::{Express, ExpressStore};
//!
//! // session({ secret: 'keyboard cat', store: MongoStore.create({ mongoUrl, touchAfter: 3600 }) })
//! let express = Express::new("keyboard cat");
//! let store = ExpressStore::builder(express)
//!     .touch_after(std::time::Duration::from_secs(3_600))
//!     .connect("mongodb://127.0.0.1/app")
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! One document for each session: `_id` is the token (or what [`transform_id`] makes of it),
//! `session` is its JSON as a string, encrypted if the app encrypts, or a document, and `expires`
//! is its expiry. The store reads what connect-mongo writes, and connect-mongo reads what the store
//! writes. The store reads both strings and documents, whichever it writes.
//!
//! One round trip for each operation; two for a touch, and for a second save in the same request. A
//! session that gets a new token gets a new `_id`, which MongoDB can't change: the store removes
//! the old document and then adds a new one. If the server is lost in between, the session is lost.
//!
//! [`transform_id`]: ExpressStoreBuilder::transform_id

mod builder;
mod key_value;
mod schema;
mod subdocument;

pub use builder::ExpressStoreBuilder;
pub use key_value::ConnectMongo;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// A store of sessions in the layout of connect-mongo.
pub type ExpressStore = session_express::ExpressStore<ConnectMongo>;
