//! From a URL to a store.

use std::sync::Arc;

use session_core::{Error, Result, SessionStore};

use crate::backends;
use crate::location::Location;

/// Every scheme, with the feature it needs.
const SCHEMES: [(&str, &str); 12] = [
    ("memory", "memory"),
    ("redis", "redis"),
    ("rediss", "redis"),
    ("valkey", "redis"),
    ("valkeys", "redis"),
    ("unix", "redis"),
    ("redis+unix", "redis"),
    ("valkey+unix", "redis"),
    ("mongodb", "mongo"),
    ("mongodb+srv", "mongo"),
    ("mysql", "mysql"),
    ("mariadb", "mysql"),
];

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
/// let store = session::connect("memory:?max_sessions=100000").await.expect("needs no server");
/// let error = session::connect("postgres://localhost").await.expect_err("no such backend");
/// assert!(error.to_string().contains("mysql://"));
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::Misconfigured`] for a URL or option that can't be right, or a backend whose feature
/// is off: the message says which to turn on, and which schemes or options there are. [`ErrorKind::Unavailable`] and the like if the server
/// can't be reached. No error shows a password.
pub async fn connect(url: &str) -> Result<Arc<dyn SessionStore>> {
    let location = Location::parse(url)?;
    location.check_options()?;
    let Some((_, feature)) = SCHEMES
        .iter()
        .find(|(scheme, _)| *scheme == location.scheme())
    else {
        return Err(unknown(location.scheme()));
    };
    match *feature {
        "memory" => backends::memory(location).await,
        "redis" => backends::redis(location).await,
        "mongo" => backends::mongo(location).await,
        _ => backends::mysql(location).await,
    }
}

fn unknown(scheme: &str) -> Error {
    let all = SCHEMES.iter().map(|(scheme, feature)| {
        let url = match *scheme {
            "memory" | "unix" | "redis+unix" | "valkey+unix" => format!("{scheme}:"),
            scheme => format!("{scheme}://"),
        };
        (url, *feature)
    });
    let (known, off): (Vec<_>, Vec<_>) = all.partition(|(_, feature)| is_on(feature));
    let known: Vec<String> = known.into_iter().map(|(url, _)| url).collect();
    let off: Vec<String> = off
        .into_iter()
        .map(|(url, feature)| format!("{url} (feature {feature:?})"))
        .collect();
    let mut message = format!("no session store takes {scheme:?} URLs");
    let lists = [
        ("this program has", known),
        ("the crate `session` also knows", off),
    ];
    for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
        message += &format!("; {what} {}", list.join(", "));
    }
    Error::misconfigured(message)
}

/// The features that are on.
const ON: [(&str, bool); 4] = [
    ("memory", cfg!(feature = "memory")),
    ("redis", cfg!(feature = "redis")),
    ("mongo", cfg!(feature = "mongo")),
    ("mysql", cfg!(feature = "mysql")),
];

/// Whether the feature of a backend is on.
fn is_on(feature: &str) -> bool {
    ON.contains(&(feature, true))
}
