//! Two requests change one session at the same time, and one signs out while another is under way:
//! what is left of it, in tower-sessions and in this library. docs/compare.md names it.
//!
//! ```text
//! cargo run --manifest-path benches/Cargo.toml --bin two_requests
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::error::Error;
use std::sync::Arc;

use session_memory::{MemoryStore, Sessions};
use tower_sessions_core::session::{Id, Session};
use tower_sessions_memory_store::MemoryStore as TowerStore;

type Outcome = Result<(Vec<&'static str>, bool), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    for (name, (kept, is_back)) in [("tower-sessions", tower().await?), ("ours", ours().await?)] {
        let back = if is_back { "is back" } else { "stays ended" };
        println!(
            "{name}: of the keys a and b, {kept:?} are kept; a session that was signed out {back}"
        );
    }
    Ok(())
}

/// The keys that are left after two overlapping requests, and whether a slow request brings a
/// session back that another one has ended.
async fn tower() -> Outcome {
    let store = Arc::new(TowerStore::default());
    let open = |id: Option<Id>| Session::new(id, store.clone(), None);
    let first = open(None);
    first.insert("n", 1).await?;
    first.save().await?;
    let id = first.id();

    let (one, other) = (open(id), open(id));
    one.load().await?;
    other.load().await?;
    one.insert("a", 1).await?;
    other.insert("b", 1).await?;
    one.save().await?;
    other.save().await?;
    let left = open(id);
    let mut kept = Vec::new();
    for key in ["a", "b"] {
        if left.get::<u32>(key).await?.is_some() {
            kept.push(key);
        }
    }

    let (slow, leaver) = (open(id), open(id));
    slow.load().await?;
    leaver.flush().await?;
    slow.insert("late", 1).await?;
    slow.save().await?;
    Ok((kept, open(id).get::<u32>("n").await?.is_some()))
}

async fn ours() -> Outcome {
    let sessions = Sessions::new(MemoryStore::new());
    let first = sessions.start();
    first.insert("n", 1)?;
    first.save().await?;
    let token = first.token().ok_or("it is stored")?;

    let (one, other) = (sessions.open(&token).await?, sessions.open(&token).await?);
    one.insert("a", 1)?;
    other.insert("b", 1)?;
    one.save().await?;
    other.save().await?;
    let left = sessions.open(&token).await?;
    let kept = ["a", "b"].into_iter().filter(|key| left.contains_key(key));
    let kept = kept.collect();

    let (slow, leaver) = (sessions.open(&token).await?, sessions.open(&token).await?);
    leaver.destroy().await?;
    slow.insert("late", 1)?;
    // It is refused: `ErrorKind::Gone`.
    let refused = slow.save().await.is_err();
    slow.discard();
    let is_back = sessions.find(&token).await?.is_some();
    Ok((kept, is_back || !refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_libraries_do_what_the_page_says() {
        let (kept, is_back) = tower().await.expect("in memory");
        assert_eq!((kept, is_back), (vec!["b"], true));
        let (kept, is_back) = ours().await.expect("in memory");
        assert_eq!((kept, is_back), (vec!["a", "b"], false));
    }
}
