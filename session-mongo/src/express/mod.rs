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
//! One document a session: `_id` is the token (or what [`transform_id`] makes of it), `session`
//! its JSON as a string, encrypted if the app does that, or a document, `expires` when it ends. What
//! connect-mongo writes is read, and the other way round; strings and documents are read both,
//! whatever is written.
//!
//! One round trip for each operation; two for a touch and for a save after another in the same
//! request. A session that gets a new token gets a new `_id`, which a document can't: the old
//! document is removed and then a new one added. If the server is lost in between, the session is.
//!
//! [`transform_id`]: ExpressStoreBuilder::transform_id

mod builder;
mod key_value;
mod schema;
mod subdocument;

pub use builder::ExpressStoreBuilder;
pub use key_value::ConnectMongo;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// Sessions in the layout of connect-mongo.
pub type ExpressStore = session_express::ExpressStore<ConnectMongo>;
