//! What becomes of sessions and tokens, as metrics.

use crate::metrics::{event, events, names};
use crate::{EndReason, Error, Event, Observer, Refusal, SessionEnd, SessionId, Unreadable};

/// Counts what observers are told.
pub(super) struct MetricsObserver;

impl Observer for MetricsObserver {
    fn created(&self, _: Event<'_>) {
        event(names::CREATED, None);
    }

    fn renewed(&self, _: Event<'_>) {
        event(names::RENEWED, None);
    }

    fn destroyed(&self, _: Event<'_>, reason: EndReason) {
        let reason = match reason {
            EndReason::SignedOut => "signed_out",
            EndReason::Revoked => "revoked",
            EndReason::Limit => "limit",
            EndReason::Reused => "reused",
        };
        event(names::ENDED, Some(reason));
    }

    fn expired(&self, _: Event<'_>) {
        event(names::ENDED, Some("expired"));
    }

    fn reused(&self, _: Event<'_>) {
        event(names::REUSES, None);
    }

    fn refused(&self, _: &SessionId, why: Refusal) {
        let reason = match why {
            Refusal::OtherLineage => "other_lineage",
            Refusal::JustReplaced => "just_replaced",
            Refusal::NewerThanStored => "newer_than_stored",
        };
        event(names::REFUSED_TOKENS, Some(reason));
    }

    fn corrupt(&self, _: &SessionId, _: &Error) {
        event(names::CORRUPT, None);
    }

    fn unreadable(&self, _: &str, why: Unreadable) {
        let reason = match why {
            Unreadable::Malformed => "malformed",
            Unreadable::UnknownSecret => "unknown_secret",
        };
        event(names::REJECTED_COOKIES, Some(reason));
    }

    fn unknown(&self, _: &SessionId) {
        event(names::REFUSED_TOKENS, Some("unknown"));
    }

    fn streams_closed(&self, _: &SessionId, end: SessionEnd, streams: usize) {
        let reason = match end {
            SessionEnd::Ended => "ended",
            SessionEnd::NewToken => "new_token",
            SessionEnd::Unconfirmed => "unconfirmed",
        };
        events(names::CLOSED_STREAMS, Some(reason), streams as u64);
    }
}
