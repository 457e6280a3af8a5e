//! What a second run of `copy` brings, and what it leaves alone.

use std::time::Duration;

use session_core::{Lifetime, Session, SessionId, Sessions, Timeout};

use super::{Place, copy, must_copy};

struct Pair {
    from: Place,
    to: Place,
    old: Sessions,
    new: Sessions,
}

impl Pair {
    async fn new() -> Self {
        let (from, to) = (Place::sqlite(), Place::sqlite());
        let (old, new) = (from.sessions().await, to.sessions().await);
        Self { from, to, old, new }
    }

    /// A session of the old store with `step` 0.
    async fn begin(&self, owner: &str) -> Session {
        let session = self.old.start();
        session.insert("step", 0).expect("it fits");
        session.sign_in(owner).await.expect("signed in");
        session
    }

    fn copy(&self, options: &[&str]) -> serde_json::Value {
        must_copy(&self.from, &self.to, options)
    }
}

fn id(session: &Session) -> SessionId {
    session.id().expect("saved")
}

async fn step(session: &Session, step: u32) {
    session.insert("step", step).expect("it fits");
    session.save().await.expect("saved");
}

/// The session of the same token in another store, with its `step`.
async fn found(sessions: &Sessions, session: &Session) -> Option<(Session, u32)> {
    let token = session.token()?;
    let found = sessions.find(&token).await.expect("asked")?;
    let step = found.get("step").expect("a number")?;
    Some((found, step))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_brings_what_has_changed() {
    let pair = Pair::new().await;
    let (same, saved, signed_in) = (
        pair.begin("same").await,
        pair.begin("saved").await,
        pair.begin("before").await,
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(pair.copy(&[])["copied"], 3);
    let old_token = signed_in.token().expect("saved");
    step(&saved, 1).await;
    signed_in.sign_in("after").await.expect("signed in anew");
    let begun = pair.begin("begun").await;
    let counted = pair.copy(&["--delete", "--verify"]);
    let counts = ["unchanged", "updated", "copied", "deleted"].map(|name| counted[name].as_u64());
    assert_eq!(counts, [Some(1), Some(2), Some(1), Some(0)], "{counted}");
    assert_eq!(found(&pair.new, &same).await.map(|(_, step)| step), Some(0));
    assert_eq!(
        found(&pair.new, &saved).await.map(|(_, step)| step),
        Some(1)
    );
    assert!(found(&pair.new, &begun).await.is_some());
    let token = signed_in.token().expect("saved");
    let anew = pair.new.find(&token).await.expect("asked").expect("copied");
    assert_eq!(anew.owner(), signed_in.owner());
    let age = anew.age();
    assert!(
        age < signed_in.age() + Duration::from_millis(50),
        "the sign-in's: {age:?}"
    );
    let opened = pair.new.find(&old_token).await.expect("asked");
    assert!(opened.is_none(), "the token from before the sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_moves_the_deadline_of_a_session_that_was_used() {
    let pair = Pair::new().await;
    let session = pair.begin("ann").await;
    session
        .set_lifetime(Lifetime::idle(Duration::from_secs(60)))
        .expect("allowed");
    step(&session, 0).await;
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    pair.copy(&[]);
    let used = Timeout::After(Duration::from_secs(60));
    let touched = pair.old.store().touch(&id(&session), used).await;
    touched.expect("touched").expect("live");
    let counted = pair.copy(&["--verify"]);
    assert_eq!(counted["extended"], 1, "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_in_the_new_store_stays() {
    let pair = Pair::new().await;
    let session = pair.begin("ann").await;
    pair.copy(&[]);
    let (moved, _) = found(&pair.new, &session).await.expect("copied");
    step(&moved, 7).await;
    let counted = pair.copy(&["--verify"]);
    assert_eq!(counted["newer"], 1, "{counted}");
    let counted = pair.copy(&["--overwrite"]);
    assert_eq!(counted["newer"], 1, "{counted}");
    assert_eq!(
        found(&pair.new, &session).await.map(|(_, step)| step),
        Some(7)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_have_changed_is_told_and_replaced_on_demand_only() {
    let pair = Pair::new().await;
    let session = pair.begin("ann").await;
    pair.copy(&[]);
    let (moved, _) = found(&pair.new, &session).await.expect("copied");
    step(&moved, 7).await;
    step(&session, 1).await;
    let ran = copy(&pair.from, &pair.to, &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert_eq!(ran.values()[0]["undecided"], 1, "{ran:?}");
    assert_eq!(
        found(&pair.new, &session).await.map(|(_, step)| step),
        Some(7)
    );
    let counted = pair.copy(&["--overwrite", "--verify"]);
    assert_eq!(counted["updated"], 1, "{counted}");
    assert_eq!(
        found(&pair.new, &session).await.map(|(_, step)| step),
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let pair = Pair::new().await;
    let (leaves, changes) = (pair.begin("ann").await, pair.begin("bob").await);
    pair.copy(&[]);
    leaves.destroy().await.expect("signed out");
    step(&changes, 1).await;
    pair.begin("cid").await;
    let counted = pair.copy(&["--dry-run", "--delete"]);
    let counts = ["copied", "updated", "deleted"].map(|name| counted[name].as_u64());
    assert_eq!(counts, [Some(1), Some(1), Some(1)], "{counted}");
    assert_eq!(pair.to.count(), 2);
    assert_eq!(
        found(&pair.new, &changes).await.map(|(_, step)| step),
        Some(0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_url_deletes_no_session() {
    let pair = Pair::new().await;
    pair.begin("ann").await;
    pair.copy(&[]);
    let empty = Place::sqlite();
    empty.must(&["migrate"]);
    let ran = copy(&empty, &pair.to, &["--delete"]);
    assert_eq!((ran.code, pair.to.count()), (Some(2), 1), "{ran:?}");
    let ran = copy(&pair.to, &pair.to, &["--delete"]);
    assert_eq!((ran.code, pair.to.count()), (Some(2), 1), "{ran:?}");
    let away = Place {
        name: "nothing",
        url: "redis://127.0.0.1:1/".to_owned(),
        _directory: None,
    };
    let ran = copy(&away, &pair.to, &["--delete"]);
    assert_eq!((ran.code, pair.to.count()), (Some(5), 1), "{ran:?}");
    must_copy(&empty, &pair.to, &["--delete", "--yes"]);
    assert_eq!(pair.to.count(), 0);
}
