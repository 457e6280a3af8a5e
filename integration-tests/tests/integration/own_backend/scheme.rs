//! URLs for the toy, as docs/own-store.md shows them.

use std::sync::Arc;

use session_store::{Location, Result, Schemes};

use super::toy::{Server, Toy, ToyStore};

/// Takes `toy://` URLs, such as `toy://here?round_trip=2ms`.
async fn connect_toy(mut location: Location) -> Result<ToyStore> {
    let round_trip = location.take_duration("round_trip")?.unwrap_or_default();
    location.finish_with(&[])?; // a driver's options would be named here
    let rows = Arc::default();
    Ok(ToyStore::with_client(Toy, Server { rows, round_trip }))
}

/// The schemes of this program: the built-in ones and `toy`.
pub fn schemes() -> Schemes {
    Schemes::new().scheme("toy", connect_toy)
}
