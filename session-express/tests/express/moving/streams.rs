//! Streams of sessions that are signed out on another application server.

use std::time::Duration;

use session_core::{Lifetime, SessionEnd, SessionStore, Sessions, Timeout};
use tokio::time::timeout;

use super::{Setup, setup, token};
use crate::fixture::HOUR;

impl Setup {
    /// Another application server.
    fn elsewhere(&self) -> Sessions {
        Sessions::new(self.store.clone() as std::sync::Arc<dyn SessionStore>)
    }
}

#[tokio::test]
async fn a_sign_out_elsewhere_closes_the_streams_of_a_moved_session_by_a_notice() {
    let setup = setup();
    let id = setup.stored_by_express();
    let session = setup.sessions.open(Some(&token())).await.expect("read");
    session.insert("moved", true).expect("JSON");
    session.save().await.expect("saved");
    let open = tokio::spawn(session.ended());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!open.is_finished(), "its session lives");
    assert!(setup.elsewhere().destroy(&id).await.expect("up"));
    // Less than the round of questions, which comes half a lease of 5 s after the first.
    let ended = timeout(Duration::from_secs(1), open).await;
    let ended = ended.expect("in time").expect("no panic");
    assert_eq!(ended, SessionEnd::Ended);
}

#[tokio::test]
async fn a_tombstone_lives_from_the_sign_out_and_not_from_the_sessions_beginning() {
    let setup = setup();
    let rules = setup
        .sessions
        .to_builder()
        .lifetime(Lifetime::idle(48 * HOUR));
    let session = rules.build().expect("good rules").start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    let id = session.id().expect("stored");
    for _ in 0..3 {
        setup.native.advance(24 * HOUR);
        let touched = setup.store.touch(&id, Timeout::After(48 * HOUR)).await;
        touched.expect("up").expect("it lives");
    }
    session.destroy().await.expect("up");
    setup.native.advance(47 * HOUR);
    setup.assert_ended(&id).await;
    setup.native.advance(2 * HOUR);
    let later = setup.native.load(&id).await.expect("up");
    assert!(later.is_none(), "the tombstone is gone");
}
