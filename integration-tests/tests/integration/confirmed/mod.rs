//! Ends that are confirmed: each database says that a write is on another server, or on a disk, and
//! refuses where its settings say otherwise.

mod mongo;
mod mysql;
mod postgres;
mod redis;
mod sqlite;

use std::time::Duration;

use session_core::{Confirmation, ErrorKind, SessionStore, Sessions};

const SECOND: Duration = Duration::from_secs(1);

/// Signs out with this confirmation, twice: the second time asks for the confirmation only.
async fn signs_out(store: impl SessionStore, confirmation: Confirmation) {
    let sessions = Sessions::builder(std::sync::Arc::new(store)).confirm_ends(confirmation);
    let sessions = sessions.build().expect("good rules");
    for by_owner in [false, true] {
        let session = sessions.start();
        session.sign_in("alice").await.expect("signed in");
        let id = session.id().expect("saved");
        match by_owner {
            true => {
                let ended = sessions.destroy_owned_by("alice", None).await;
                assert_eq!(ended.expect("confirmed"), 1);
            }
            false => session.destroy().await.expect("confirmed"),
        }
        assert!(
            !sessions.destroy(&id).await.expect("confirmed"),
            "it is gone"
        );
    }
}

/// Waits for the confirmation in vain; why.
async fn late(store: &impl SessionStore, confirmation: Confirmation) -> String {
    let error = store.confirm(confirmation).await.expect_err("in vain");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    error.to_string()
}

/// The server's settings don't allow the confirmation; why.
async fn refused(store: &impl SessionStore, confirmation: Confirmation) -> String {
    let error = store.confirm(confirmation).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    error.to_string()
}
