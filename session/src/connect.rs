//! From a URL to a store.

use std::sync::Arc;

use session_core::{Result, SessionStore};

use crate::Schemes;

/// Connects to the store that `url` names, and sets it up.
///
/// The URL is the driver's own, so its options work as its documentation says. These are ours,
/// and are taken out before the driver sees the URL:
///
/// | option | for | meaning |
/// |---|---|---|
/// | `prefix` | Redis | what keys begin with; default `session:` |
/// | `ca_file` | Redis with TLS | a PEM file: the authority that signs the server's certificate |
/// | `collection` | MongoDB | default `session_store` |
/// | `table` | MySQL, MariaDB | default `session_store` |
/// | `timeout` | all but memory | the longest a store operation may take, such as `500ms` or `5s` (the default) |
/// | `max_data` | all | the most bytes of one session's data; default 1 MiB |
/// | `migrate` | all but memory | `false`: the schema is there already, leave it alone |
/// | `connections` | MySQL | the most connections, 16 by default |
/// | `expiry_grace` | memory, MongoDB | how long an expired session waits for a [`Reaper`](crate::Reaper) |
/// | `max_sessions` | memory | refuse more than this |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = session_store::connect("memory:?max_sessions=100000").await.expect("needs no server");
/// let error = session_store::connect("postgres://localhost").await.expect_err("no such backend");
/// assert!(error.to_string().contains("mysql://"));
/// # }
/// ```
///
/// [`Schemes`] takes URLs of further schemes, for stores of your own.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) for a URL or option that can't be
/// right, or a backend whose feature is off: the message says which to turn on, and which schemes
/// or options there are. [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) and the like if
/// the server can't be reached. No error shows a password.
pub async fn connect(url: &str) -> Result<Arc<dyn SessionStore>> {
    Schemes::new().connect(url).await
}
