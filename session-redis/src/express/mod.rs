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
//! The key is the prefix and the token, the value the session's JSON, with a time to live in whole
//! seconds, rounded up. What connect-redis writes is read, and the other way round.
//!
//! One round trip for each operation, two for a touch and for a save after another in the same
//! request.

mod builder;
mod key_value;
mod script;

pub use builder::ExpressStoreBuilder;
pub use key_value::ConnectRedis;
pub use session_express::{self, Express, ExpressLayout, MovingStore};

/// Sessions in the layout of connect-redis.
pub type ExpressStore = session_express::ExpressStore<ConnectRedis>;
