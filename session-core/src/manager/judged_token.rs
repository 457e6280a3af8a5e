//! The token that a handle has opened its session with, judged by what the record keeps of it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::manager::identity::{Grace, TokenState, Verdict};
use crate::{Error, Record, Result, SessionId, SessionToken};

const BINDING: &[u8] = b"session binding v1\0";

/// A handle's token, and what it is to the session by the record that was read or written last.
#[derive(Clone)]
pub(crate) struct JudgedToken {
    pub(crate) id: SessionId,
    /// The token that has opened it, or its latest new one.
    pub(crate) token: SessionToken,
    pub(crate) verdict: Verdict,
    /// What the record keeps of its token; `None` in layouts where the id is the token.
    pub(crate) state: Option<TokenState>,
}

impl JudgedToken {
    /// What `token` is to the session in `record`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a record without a credential, unless
    /// the token is of a kind that needs none, and one with a credential that can't be read.
    pub(crate) fn judge(id: SessionId, token: SessionToken, record: &Record) -> Result<Self> {
        let Some(credential) = &record.credential else {
            // A token of this kind was loaded by its very text.
            if !token.is_plain() {
                return Err(Error::corrupt("the session has no credential"));
            }
            return Ok(Self {
                id,
                token,
                verdict: Verdict::Current,
                state: None,
            });
        };
        let state = TokenState::decode(credential)?;
        Ok(Self {
            id,
            verdict: state.judge(&token, record.age),
            token,
            state: Some(state),
        })
    }

    /// The token to send to the client; `None` if it has a newer one from another request.
    pub(crate) fn for_client(&self) -> Option<SessionToken> {
        match self.verdict {
            Verdict::Current | Verdict::Unconfirmed => Some(self.token.clone()),
            Verdict::Replaced(salt) => {
                let successor = self.token.successor(&salt);
                // It is sent only if the record says that it is the one.
                let state = self.state.as_ref();
                let is_current = state.is_some_and(|state| state.is_current(&successor));
                is_current.then_some(successor)
            }
            _ => None,
        }
    }

    /// Whether another framework's token opens the session though it was replaced longer than a
    /// grace ago, because no client has presented the successor. An attacker who planted that token
    /// on a visitor may hold the successor by now.
    pub(crate) fn is_unclaimed(&self, age: Duration) -> bool {
        let is_replaced = matches!(self.verdict, Verdict::Replaced(_));
        let state = self.state.as_ref().filter(|_| !self.token.is_native());
        is_replaced && state.is_some_and(|state| state.is_unclaimed(age))
    }

    /// Whether the owner is known to have authenticated here, and not at another framework alone,
    /// of which a session that moves tells no time. In an Express layout every owner has signed in here.
    pub(crate) fn is_of_own_sign_in(&self) -> bool {
        let state = self.state.as_ref();
        state.is_none_or(TokenState::is_of_own_sign_in)
    }

    /// The same, of a session that a write has filed under another id, which is then its token.
    pub(crate) fn moved_to(mut self, id: Option<&SessionId>) -> Self {
        if let Some(token) = id.and_then(|id| SessionToken::plain(id.as_str())) {
            self.id = token.id();
            self.token = token;
        }
        self
    }

    /// Whether `state`, which the session has now, is of the same sign-in.
    pub(crate) fn is_same_sign_in(&self, state: Option<&TokenState>) -> bool {
        match (&self.state, state) {
            (Some(then), Some(now)) => now.continues(&self.token, then.lineage()),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    pub(crate) fn binding(&self) -> Option<String> {
        let hash = Sha256::new()
            .chain_update(BINDING)
            .chain_update(self.state.as_ref()?.bound_to())
            .finalize();
        Some(URL_SAFE_NO_PAD.encode(&hash[..16]))
    }

    /// Replaces the current token, which this is, by its successor. Responses send that until the
    /// client presents it.
    pub(crate) fn renew(&mut self, age: Duration, grace: Grace) {
        if let Some(state) = self.state.take() {
            let (state, salt) = state.renewed(&self.token, age, grace);
            self.state = Some(state);
            self.verdict = Verdict::Replaced(salt);
        }
    }
}
