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
/// | `cert_file`, `key_file` | Redis with TLS | PEM files: the client's certificate and its key |
/// | `password_file` | Redis | a file with the password, read for each connection |
/// | `client_name` | Redis | the name that `CLIENT LIST` shows |
/// | `sentinel_user`, `sentinel_password` | Redis with Sentinel | the login of the Sentinels |
/// | `collection` | MongoDB | default `session_store` |
/// | `table` | SQL databases | default `session_store` |
/// | `schema` | PostgreSQL | the schema of the table; by default the first of the `search_path` |
/// | `unlogged` | PostgreSQL | `true`: create the table unlogged, so that a crash of the server empties it |
/// | `named_statements` | PostgreSQL | `false`: prepare no statements under names, for some poolers |
/// | `notices` | PostgreSQL | `false`: neither announce the ends of sessions nor listen for them |
/// | `timeout` | all but memory | the longest a store operation may take, such as `500ms` or `5s` (the default) |
/// | `max_data` | all | the most bytes of one session's data; default 1 MiB |
/// | `migrate` | all but memory | `false`: the schema is there already, leave it alone |
/// | `connections` | MySQL, PostgreSQL | the most connections, 16 by default |
/// | `connections` | Redis | the connections to the server, in a cluster to each node: 1 by default |
/// | `readers` | SQLite | the most connections that read, 4 by default |
/// | `durability` | SQLite | `full` (the default), or `normal`: a power failure may undo the last writes |
/// | `expiry_grace` | memory, MongoDB | how long an expired session waits for a [`Reaper`](crate::Reaper) |
/// | `expiry_reports` | Redis | `true`: report expired sessions to observers; needs a [`Reaper`](crate::Reaper) |
/// | `max_sessions` | memory | refuse more than this |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let store = session_store::connect("memory:?max_sessions=100000").await.expect("needs no server");
/// let error = session_store::connect("oracle://localhost").await.expect_err("no such backend");
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
