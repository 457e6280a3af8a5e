//! A changed password: a new token here, and the end of all other sessions of its user.

use crate::backend::run_to_completion;
use crate::{Owner, Result, Session, Sessions};

impl Session {
    /// Says that the owner has just authenticated and changed the password, or whatever else signs
    /// them in: this session gets a new token, as by [`reauthenticated`](Self::reauthenticated),
    /// and all others of the owner end; gives how many (OWASP ASVS 5.0 §7.4.3).
    ///
    /// ```
    /// # use session_core::{Owner, Result, Session};
    /// # async fn store_password(_: &Owner, _: &str) -> Result<()> { Ok(()) }
    /// async fn change_password(session: Session, new: &str) -> Result<()> {
    ///     let owner = session.require_owner()?;
    ///     // First of all, so that the old one begins no more sessions.
    ///     store_password(&owner, new).await?;
    ///     session.password_changed().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// `Ok` means that no token from before opens a session of this owner, except of a sign-in that
    /// was under way. The new token comes first, so that a thief who holds a copy of the old one
    /// can begin nothing that the second step does not end.
    ///
    /// | after an error in | this session | the others |
    /// |---|---|---|
    /// | the first step | is ended with the others, if the store can | are ended, if the store can |
    /// | the second step | has its new token | some have ended |
    ///
    /// It may be called again until it succeeds; the user may have to sign in again first. So
    /// another request that ends this session or takes it over, or keeps writing it, does not keep
    /// the others alive.
    ///
    /// Both steps run in a task of their own, so a request that is dropped half-way, because its
    /// client has gone away, ends the others all the same. One that is dropped within
    /// `store_password` does not get as far as this call: a handler that spawns one task for both
    /// is safe from that too ([recipe][recipes]).
    ///
    #[doc = concat!(
        "[recipes]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/recipes.md#a-changed-password"
    )]
    ///
    /// One round trip for the token, and those of
    /// [`destroy_owned_by`](Sessions::destroy_owned_by).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no directory, and
    /// [`ErrorKind::Unauthenticated`](crate::ErrorKind::Unauthenticated) if the session has no
    /// owner, before anything is written; as `reauthenticated`, such as
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone); as `destroy_owned_by`, which is `Unsupported`
    /// in Express layouts.
    pub async fn password_changed(&self) -> Result<usize> {
        let sessions = Sessions::of(self);
        sessions.directory()?;
        // Also of a session that has ended meanwhile: the others must end all the same.
        let owner = self.owner().ok_or_else(crate::Error::unauthenticated)?;
        let session = self.clone();
        run_to_completion("password_changed", async move {
            session.replace_all_of(&sessions, owner).await
        })
        .await
    }

    /// Gives this session a new token, and ends all others of `owner`.
    async fn replace_all_of(&self, sessions: &Sessions, owner: Owner) -> Result<usize> {
        match self.reauthenticated().await {
            Ok(()) => {
                let own = self.id();
                sessions.destroy_owned_by(owner, own.as_ref()).await
            }
            Err(error) => {
                self.end_all_of(sessions, owner).await;
                Err(error)
            }
        }
    }

    /// Ends all sessions of `owner`, because this one can't be told from a thief's any more.
    async fn end_all_of(&self, sessions: &Sessions, owner: Owner) {
        if let Err(error) = sessions.destroy_owned_by(owner, None).await {
            tracing::error!(%error, "the sessions of a user whose password was changed may live on");
        }
    }
}
