//! A copy that is killed, and goes on.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use session_core::{Draft, Lifetime, SessionStore, SessionToken};
use tempfile::TempDir;

use super::{Place, copy, must_copy, program};

const SESSIONS: usize = 6_000;

async fn fill(store: &dyn SessionStore) {
    let create = async |_| {
        let id = SessionToken::generate().id();
        let draft = Draft::new("{}", Lifetime::idle(Duration::from_secs(3_600)));
        assert!(store.create(&id, &draft).await.expect("created").is_done());
    };
    stream::iter(0..SESSIONS)
        .map(create)
        .buffer_unordered(64)
        .collect::<()>()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_copy_goes_on_where_it_stopped() {
    let (from, to) = (Place::sqlite(), Place::sqlite());
    fill(&*from.store().await).await;
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join("copy.state");
    let state = file.to_str().expect("UTF-8");
    let mut killed = program(&["copy", "env:OLD", "env:NEW", "--state", state]);
    let killed = killed.env("OLD", &from.url).env("NEW", &to.url);
    let mut killed = killed.spawn().expect("the program runs");
    let patience = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < patience, "no page is done within a minute");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    killed.kill().expect("it runs");
    killed.wait().expect("it has ended");
    let kept: Value = serde_json::from_slice(&fs::read(&file).expect("there")).expect("JSON");
    let before = kept["tally"]["copied"].as_u64().expect("a number");
    let there = to.count();
    assert!(
        before >= 1_000 && there >= before,
        "{before} of {there} are known"
    );
    assert!(there < SESSIONS as u64, "it was killed in the middle");

    let other = copy(&to, &from, &["--state", state]);
    assert_eq!(other.code, Some(2), "the state of another copy: {other:?}");
    let counted = must_copy(&from, &to, &["--state", state, "--verify"]);
    let seen = counted["copied"].as_u64();
    assert_eq!(seen, Some(SESSIONS as u64), "{counted}");
    assert_eq!(counted["verified"]["same"], SESSIONS, "{counted}");
    assert!(!file.exists(), "a copy that is done has no state");
}
