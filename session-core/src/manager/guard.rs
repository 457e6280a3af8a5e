//! What a handler asks of a session before it acts for its user.

use std::time::Duration;

use crate::manager::judged_token::JudgedToken;
use crate::{Error, Owner, Result, Session};

impl Session {
    /// The owner, for what only a signed-in user may do.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`](crate::ErrorKind::Unauthenticated), as a response 401, if no
    /// user is signed in, or the session is known to have [ended](Self::is_gone).
    pub fn require_owner(&self) -> Result<Owner> {
        let owner = self.owner().filter(|_| !self.is_gone());
        owner.ok_or_else(Error::unauthenticated)
    }

    /// The owner, if the user has authenticated `within` that time, by
    /// [`sign_in`](Self::sign_in) or [`reauthenticated`](Self::reauthenticated): for what does
    /// harm in the wrong hands, such as a new password, a new address, or a payment (OWASP ASVS 5.0
    /// §7.5.1).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use session_core::{Result, Session};
    /// # fn change_address(_: &str) {}
    /// const RECENTLY: Duration = Duration::from_secs(10 * 60);
    ///
    /// async fn address(session: Session, new: String) -> Result<()> {
    ///     session.require_recent_owner(RECENTLY)?;
    ///     change_address(&new);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// The [`age`](Self::age) of a session with an owner is the time since that, by the store's
    /// clock. A sign-in at Express does not count: in an Express layout such a session has no owner
    /// until [`sign_in`](Self::sign_in), and one that has moved to a native layout does not pass
    /// until its owner authenticates there.
    ///
    /// # Errors
    /// As [`require_owner`](Self::require_owner);
    /// [`ErrorKind::ReauthenticationRequired`](crate::ErrorKind::ReauthenticationRequired), as a
    /// response 401, if it was longer ago, or elsewhere.
    pub fn require_recent_owner(&self, within: Duration) -> Result<Owner> {
        let owner = self.require_owner()?;
        let is_here = self.with_judged(JudgedToken::is_of_own_sign_in);
        match is_here == Some(true) && self.age() <= within {
            true => Ok(owner),
            false => Err(Error::reauthentication_required(within)),
        }
    }
}
