//! The judge: what a presented token is to a session.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::state::{Renewed, TokenState, millis};
use crate::SessionToken;
use crate::contract::token::is_later_generation;

/// What a presented token is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the current one, and the client is known to have it.
    Current,
    /// It is the current one, seen for the first time since the renewal that made it: this request
    /// confirms it.
    Unconfirmed,
    /// It was replaced by a renewal with this salt, and no client has presented the successor: it
    /// opens, and the client is told of the successor again.
    Replaced([u8; 16]),
    /// It was replaced a short while ago, and its successor has been seen: it opens, and the client
    /// is told nothing.
    Late,
    /// It was replaced longer ago, or was never this session's: a client that knows the lineage
    /// presents a secret that is not the current one. Two parties hold this sign-in.
    Reused,
    /// It is newer than the record: the store has rolled back.
    Ahead,
    /// It is of another lineage, and the session's present one began a moment ago: the request was
    /// on its way when its session got a new token.
    Superseded,
    /// It opens nothing.
    Foreign,
}

impl Verdict {
    /// Whether the token opens the session.
    pub(crate) const fn opens(self) -> bool {
        match self {
            Self::Current | Self::Unconfirmed | Self::Replaced(_) | Self::Late => true,
            Self::Reused | Self::Ahead | Self::Superseded | Self::Foreign => false,
        }
    }
}

impl TokenState {
    /// What `token` is to the session at this age.
    ///
    /// One SHA-256, and another if the token is not the session's.
    pub(crate) fn judge(&self, token: &SessionToken, age: Duration) -> Verdict {
        let (verifier, age) = (token.verifier(), millis(age));
        if bool::from(verifier.ct_eq(&self.verifier)) {
            let is_new = self
                .renewed
                .is_some_and(|renewed| renewed.confirmed.is_none());
            return if is_new {
                Verdict::Unconfirmed
            } else {
                Verdict::Current
            };
        }
        if let Some(renewed) = &self.renewed
            && bool::from(verifier[..16].ct_eq(&renewed.previous))
            && let Some(verdict) = self.judge_previous(renewed, age)
        {
            return verdict;
        }
        self.judge_by_lineage(token, age)
    }

    /// What the previous token is; `None` once its grace is over.
    fn judge_previous(&self, renewed: &Renewed, age: u64) -> Option<Verdict> {
        match renewed.confirmed {
            None => Some(Verdict::Replaced(renewed.salt)),
            Some(confirmed) => self
                .is_within_grace(confirmed, age)
                .then_some(Verdict::Late),
        }
    }

    fn judge_by_lineage(&self, token: &SessionToken, age: u64) -> Verdict {
        let is_same = token
            .lineage()
            .is_some_and(|lineage| bool::from(lineage.ct_eq(&self.lineage)));
        if is_same {
            return match is_later_generation(token.generation(), self.generation) {
                true => Verdict::Ahead,
                false => Verdict::Reused,
            };
        }
        match self.is_within_grace(self.issued, age) {
            true => Verdict::Superseded,
            false => Verdict::Foreign,
        }
    }

    fn is_within_grace(&self, since: u64, age: u64) -> bool {
        Duration::from_millis(age.saturating_sub(since)) < self.grace.duration()
    }

    /// Whether `token` is the current one.
    pub(crate) fn is_current(&self, token: &SessionToken) -> bool {
        token.verifier().ct_eq(&self.verifier).into()
    }

    /// How long the client is known to have had the current token; `None` while that is not known.
    pub(crate) fn token_age(&self, age: Duration) -> Option<Duration> {
        let since = match self.renewed {
            None => self.issued,
            Some(renewed) => renewed.confirmed?,
        };
        Some(Duration::from_millis(millis(age).saturating_sub(since)))
    }

    /// Whether the current token is one to renew: not a guest's, which an attacker may have planted
    /// on a visitor, and with the old one end that visitor's session.
    pub(crate) const fn is_renewable(&self, has_owner: bool) -> bool {
        has_owner || !self.is_guests
    }

    /// Whether the current token replaced another one longer than a grace ago, and no client has
    /// presented it since.
    pub(crate) fn is_unclaimed(&self, age: Duration) -> bool {
        let left = |renewed: Renewed| {
            renewed.confirmed.is_none() && !self.is_within_grace(renewed.at, millis(age))
        };
        self.renewed.is_some_and(left)
    }

    /// Whether a session that was opened by `token`, when its lineage was `lineage`, is still the
    /// same sign-in.
    pub(crate) fn continues(&self, token: &SessionToken, lineage: &[u8; 16]) -> bool {
        if self.lineage == *lineage {
            return true;
        }
        // Another framework's token may have been replaced by the first native one.
        let Some(renewed) = self.renewed.filter(|_| !token.is_native()) else {
            return false;
        };
        token.successor(&renewed.salt).lineage() == Some(self.lineage)
    }
}
