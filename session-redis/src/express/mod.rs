//! Sessions in the layout of connect-redis, shared with an Express app.
//!
//! ```no_run
//! # async fn example() -> session_redis::Result<()> {
//! use session_redis::express::{Express, ExpressStore};
//!
//! // session({ secret: 'keyboard cat', store: new RedisStore({ client, prefix: 'myapp:' }) })
//! let express = Express::new("keyboard cat");
//! let store = ExpressStore::builder(express).prefix("myapp:").connect("redis://127.0.0.1/").await?;
//! # Ok(()) }
//! ```
//!
//! The key is the prefix and the token, the value is the session's JSON, with a time to live in
//! whole seconds, rounded up. The store reads what connect-redis writes, and connect-redis reads
//! what the store writes.
//!
//! One round trip for each operation; two for a touch, and for a second save in the same request.
//!
//! A write compares the whole stored record: with the server's own commands where it has both
//! `SET … IFEQ` and `DELIFEQ` (Valkey 9.0), by a script elsewhere. Processes of both kinds may share
//! records. Without scripts, a new token and the end of an expected version take three and four round trips,
//! because the record is renamed in steps. If the server can't be reached for the
//! [time limit](ExpressStoreBuilder::timeout) between these, the session ends.

mod builder;
mod check;
mod key_value;
mod script;
mod write;

pub use builder::ExpressStoreBuilder;
pub use key_value::ConnectRedis;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// A store of sessions in the layout of connect-redis.
pub type ExpressStore = session_express::ExpressStore<ConnectRedis>;
