//! Tokens and ends: signing in, new tokens, renewal, use, and signing out.

use std::pin::pin;

use crate::backend::run_to_completion;
use crate::manager::confirmed::Ends;
use crate::manager::ending::Ending;
use crate::manager::identity::TokenState;
use crate::manager::judged_token::JudgedToken;
use crate::manager::observer::EndReason;
use crate::manager::session::Lifecycle;
use crate::manager::write::Operation;
use crate::time_limit::within_one_limit;
use crate::{Error, ErrorKind, Owner, Result, Session};

impl Session {
    /// Makes this session `owner`'s, who has just authenticated, and saves it: in one write the
    /// session gets its owner and a new token, and its limits count from now. There is no other
    /// way to set an owner.
    ///
    /// The old token opens nothing from that write on, so that another party who knows it gains
    /// nothing (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege
    /// Level Change"; ASVS 5.0 §7.2.4). The id stays. The secret behind form tokens is dropped.
    ///
    /// The data stays, such as a guest's cart, unless the session is another owner's: `owner` gets
    /// nothing of theirs. Data, description and lifetime are then what was changed through this
    /// handle and not saved, as in a new session.
    ///
    /// If another request has signed in with this session meanwhile (two clicks on one button), a
    /// session of its own is made, with what this request has read and changed; if the session has
    /// ended, or what was read is another owner's, with what it has changed.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) over
    /// [`Limits::owner_bytes`](crate::Limits::owner_bytes), and as [`save`](Self::save), but not
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone).
    pub async fn sign_in<O>(&self, owner: O) -> Result<()>
    where
        O: TryInto<Owner>,
        Error: From<O::Error>,
    {
        let owner = owner.try_into()?;
        self.0.manager.limits.check_owner(&owner)?;
        self.write_for(Operation::SignIn(owner)).await.map(drop)
    }

    /// Says that the owner has just authenticated again: the session gets a new token, and its
    /// limits count from now (NIST SP 800-63B §5.2, ASVS 5.0 §7.2.4). Saves what was changed too.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn reauthenticated(&self) -> Result<()> {
        self.write_for(Operation::Reauthenticate).await.map(drop)
    }

    /// Gives the session a new token and saves it; data, owner and id stay. The old token opens
    /// nothing from that write on.
    ///
    /// To be called whenever the user's rights change in another way than by signing in, which
    /// does it by itself. A session that is not stored yet gets its first token when it is saved,
    /// so this just saves it.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn cycle_id(&self) -> Result<()> {
        self.write_for(Operation::CycleId).await.map(drop)
    }

    /// Renews the token if it is due by [`renew_after`](crate::SessionsBuilder::renew_after);
    /// whether it did. For the end of a request that has only read: a [`save`](Self::save) renews
    /// by itself.
    ///
    /// No round trip if there is nothing to do, one otherwise.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn renew_if_due(&self) -> Result<bool> {
        Ok(self.write_for(Operation::Renew).await?.is_some())
    }

    /// Gives a session that was opened by another framework's token one of this library's, as the
    /// first write does by itself; whether it did. Saves what was changed too.
    ///
    /// If that was done before, by another request, and no client has presented the new token
    /// within the [grace](crate::SessionsBuilder::grace), the session gets a token of a new
    /// lineage, as by [`cycle_id`](Self::cycle_id): an attacker who planted the old token may hold
    /// the one before. Of several requests that do so at the same time, one succeeds.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn replace_foreign_token(&self) -> Result<bool> {
        Ok(self
            .write_for(Operation::ReplaceForeignToken)
            .await?
            .is_some())
    }

    /// As [`forbid_new_token`](Self::forbid_new_token), after the write that another task may have
    /// under way: [`token`](Self::token) is then the one for the response, and stays that.
    pub async fn forbid_new_token_after_writes(&self) {
        let _lock = self.0.write_lock.lock().await;
        self.forbid_new_token();
    }

    /// As [`forbid_change`](Self::forbid_change), after the write that another task may have under
    /// way.
    pub async fn forbid_change_after_writes(&self) {
        let _lock = self.0.write_lock.lock().await;
        self.forbid_change();
    }

    /// Whether the token is so near its renewal that another request may be renewing it: sending
    /// it to the client once more could then overwrite the new one.
    #[must_use]
    pub fn is_renewal_near(&self) -> bool {
        let state = self.state();
        let Lifecycle::Stored(judged, _) = &state.lifecycle else {
            return false;
        };
        let (has_owner, age) = (state.view.owner.is_some(), state.clock.age_now());
        self.0.manager.is_renewal_near(judged, has_owner, age)
    }

    /// Says that the session is in use, so that its idle limit starts anew. Writes no data. A
    /// save does this anyway. The first use of a renewed token is noted with it.
    ///
    /// One round trip, or none if the deadline would hardly move (see
    /// [`touch_after`](crate::SessionsBuilder::touch_after)) or this process is touching the
    /// session already.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) if the session has ended; the store's own.
    pub async fn touch(&self) -> Result<()> {
        self.write_touch().await
    }

    /// Whether the session still lives, under the sign-in that it was opened with: what
    /// a socket or a stream asks before it goes on. Changes nothing.
    ///
    /// One round trip; none for a session that was never saved, which does not live.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_live(&self) -> Result<bool> {
        let Some(judged) = self.with_judged(JudgedToken::clone) else {
            return Ok(false);
        };
        let Some(record) = self.0.manager.load_anew(&judged.id).await? else {
            return Ok(false);
        };
        let state = record.credential.as_ref().map(TokenState::decode);
        Ok(judged.is_same_sign_in(state.transpose()?.as_ref()))
    }

    /// Ends the session, here and in the store, under whatever token it is known by now. No request
    /// that is still under way can bring it back. The handle is then a new, empty session.
    ///
    /// `Ok` means that the store has confirmed that no live session has this id. One round trip;
    /// none for a session that was never saved. It goes on if its caller goes away.
    ///
    /// # Errors
    /// The store's: the session may then still be there. The manager goes on to end it in the
    /// background, and observers hear of it then. [`ErrorKind::Unconfirmed`] if it has ended and
    /// [more was asked for](crate::SessionsBuilder::confirm_ends): calling this again asks for the
    /// confirmation only. [`ErrorKind::Gone`](crate::ErrorKind::Gone) if
    /// the token that it was opened with had just been replaced: the session may live under another
    /// one. [`ErrorKind::TooLate`](crate::ErrorKind::TooLate) for a session in a cookie that can't
    /// be changed any more.
    pub async fn destroy(&self) -> Result<()> {
        let session = self.clone();
        let work = async move { session.destroy_here().await };
        run_to_completion("destroy", work).await
    }

    async fn destroy_here(&self) -> Result<()> {
        let _lock = self.0.write_lock.lock().await;
        within_one_limit(pin!(self.end_all_of_handle())).await
    }

    async fn end_all_of_handle(&self) -> Result<()> {
        let (ids, owner, age) = {
            let state = self.state();
            state.check_late_end()?;
            let mut ids = state.unconfirmed_ends.clone();
            ids.extend(match &state.lifecycle {
                Lifecycle::Stored(judged, _) => Some(judged.id.clone()),
                Lifecycle::Gone(id) => id.clone(),
                Lifecycle::New => None,
                // The session that its token once opened is not its own to end.
                Lifecycle::Barred => return Err(Error::gone()),
            });
            // A create without an answer may have happened: its id must go too.
            for pending in &state.pending {
                if !ids.contains(&pending.write.judged.id) {
                    ids.push(pending.write.judged.id.clone());
                }
            }
            (ids, state.view.owner.clone(), state.clock.age_now())
        };
        let (mut unconfirmed, mut outcome) = (Vec::new(), Ok(()));
        for id in ids {
            let ending = Ending::new(id.clone(), EndReason::SignedOut).known(owner.clone(), age);
            match self.0.manager.end_confirmed(Ends::One(ending)).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Unconfirmed => {
                    unconfirmed.push(id);
                    outcome = Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        let mut state = self.state();
        state.reset(self.0.manager.lifetime);
        state.unconfirmed_ends = unconfirmed;
        outcome
    }
}
