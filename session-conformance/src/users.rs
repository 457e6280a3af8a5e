//! Managers and signed-in sessions for the cases about tokens.

use std::time::Duration;

use session_core::{Owner, Session, SessionToken, Sessions};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::samples::{ms, owner};

/// The age at which the managers renew a token.
pub(super) const RENEWED_AFTER: Duration = ms(1_200);
/// How long the previous token opens the session after the new one has been confirmed.
pub(super) const GRACE: Duration = ms(300);

/// A manager that renews tokens after a short time and retries conflicts many times.
pub(super) fn renewing(store: &CheckedStore) -> Sessions {
    let builder = Sessions::builder(store.shared()).attempts(400);
    let builder = builder.renew_after(RENEWED_AFTER).grace(GRACE);
    builder.build().expect("good settings")
}

/// Managers of two instances of the store.
pub(super) async fn two_managers(fixture: &Fixture) -> [Sessions; 2] {
    [fixture.store(), fixture.instance().await].map(|store| renewing(&store))
}

/// The user of a case's session number `n`.
pub(super) fn user(fixture: &Fixture, n: usize) -> Owner {
    owner(&format!("user {n} of {}", fixture.namespace()))
}

/// Creates a guest's session with a cart and returns its token.
pub(super) async fn guest(sessions: &Sessions) -> SessionToken {
    let session = sessions.start();
    session.insert("cart", 1).expect("a number is JSON");
    session.save().await.expect("save failed");
    session.token().expect("a stored session has a token")
}

/// Signs a user in and returns the session's token.
pub(super) async fn signed_in(sessions: &Sessions, user: &Owner) -> SessionToken {
    let session = sessions.start();
    session.insert("cart", 1).expect("a number is JSON");
    session.sign_in(user).await.expect("sign-in failed");
    session.token().expect("a stored session has a token")
}

pub(super) async fn opened(sessions: &Sessions, token: &SessionToken) -> Session {
    sessions.open(Some(token)).await.expect("open failed")
}

/// Handles a request as a web layer does. Returns the token that the response sets, if any.
pub(super) async fn load_page(sessions: &Sessions, token: &SessionToken) -> Option<SessionToken> {
    let session = opened(sessions, token).await;
    // Another request may end the session at the same time, which is not an error here.
    let renewed = session.renew_if_due().await.unwrap_or(false);
    if !renewed {
        let _ = session.touch().await;
    }
    session.token()
}

/// Checks that no token of `tokens` opens a session.
pub(super) async fn must_open_nothing(sessions: &Sessions, tokens: &[SessionToken], why: &str) {
    for (n, token) in tokens.iter().enumerate() {
        let found = sessions.find(token).await.expect("find failed");
        assert!(
            found.is_none(),
            "{why}: the token {n} still opens {found:?}"
        );
    }
}
