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

mod builder;
mod key_value;
mod script;

pub use builder::ExpressStoreBuilder;
pub use key_value::ConnectRedis;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// A store of sessions in the layout of connect-redis.
pub type ExpressStore = session_express::ExpressStore<ConnectRedis>;
