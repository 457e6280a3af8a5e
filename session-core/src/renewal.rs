//! Renewal: a session in use gets a new token every so often, and the old one opens it for a short
//! while longer (OWASP Session Management Cheat Sheet, "Renewal Timeout").
//!
//! Under the old id a *signpost* is left: a record that says under which id the session is now,
//! and that expires by itself. It is no JSON, so no session's data can pass for one.

use std::time::Duration;

use crate::data::to_raw;
use crate::sessions::Manager;
use crate::{Bytes, Draft, Error, Lifetime, Record, Result, Session, SessionId, SessionToken};

/// What a signpost's data begins with.
const SIGNPOST: &[u8] = b"\0moved to ";
/// The key under which is kept how old the session was when its token was issued, in milliseconds.
const ISSUED: &str = "_issued";
/// How long after a session was renamed its signpost may still be missing.
const GAP: Duration = Duration::from_millis(25);
/// How many signposts are followed, one after the other.
const MOST_SIGNPOSTS: usize = 4;

/// When tokens are renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    /// How long a token is in use before it is renewed.
    pub(crate) after: Duration,
    /// How long the old one opens the session from then on.
    pub(crate) grace: Duration,
}

impl Renewal {
    pub(crate) fn check(self) -> Result<()> {
        let Self { after, grace } = self;
        if grace < Lifetime::MIN || grace >= after {
            return Err(Error::misconfigured(format!(
                "the grace of {grace:?} must be at least 1 ms and shorter than the {after:?} after which tokens are \
                 renewed"
            )));
        }
        Ok(())
    }
}

/// The token by which a session is held, and the id under which it is.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) token: SessionToken,
    /// The session's id, if the token is an old one.
    moved_to: Option<SessionId>,
}

impl Held {
    pub(crate) fn by(token: SessionToken) -> Self {
        Self {
            token,
            moved_to: None,
        }
    }

    /// The id under which the session is.
    pub(crate) fn id(&self) -> SessionId {
        self.moved_to.clone().unwrap_or_else(|| self.token.id())
    }

    /// Whether somebody else has got a newer token.
    pub(crate) fn is_old(&self) -> bool {
        self.moved_to.is_some()
    }
}

fn signpost(to: &SessionId, grace: Duration) -> Draft {
    let data = [SIGNPOST, to.as_str().as_bytes()].concat();
    Draft::new(Bytes::from(data), Lifetime::fixed(grace))
}

/// Where a record says the session is; `None` if it is a session itself.
fn target(record: &Record) -> Result<Option<SessionId>> {
    let Some(to) = record.data.strip_prefix(SIGNPOST) else {
        return Ok(None);
    };
    let to = std::str::from_utf8(to).ok();
    let to = to.and_then(|to| SessionId::from_stored(to).ok());
    to.map(Some)
        .ok_or_else(|| Error::corrupt("a signpost names no id"))
}

impl Manager {
    /// Loads the session, wherever it has moved: one round trip, another for a token that was
    /// renewed, and another for one that opens nothing if tokens are renewed.
    pub(crate) async fn load(&self, mut held: Held) -> Result<Option<(Held, Record)>> {
        let mut waited = self.renewal.is_none();
        for _ in 0..MOST_SIGNPOSTS {
            match self.store.load(&held.id()).await? {
                Some(record) => match target(&record)? {
                    Some(to) => held.moved_to = Some(to),
                    None => return Ok(Some((held, record))),
                },
                None if waited => return Ok(None),
                None => {
                    // It may have been renamed a moment ago, and its signpost be on its way.
                    tokio::time::sleep(GAP).await;
                    waited = true;
                }
            }
        }
        Ok(None)
    }
}

impl Session {
    /// Renews the token if the manager's
    /// [`renew_after`](crate::SessionsBuilder::renew_after) says so; whether it did. For the end
    /// of a request, after [`save`](Self::save).
    ///
    /// No round trip if there is nothing to do, two otherwise: a new token for the same data, and
    /// under the old id, for the grace, where that is. Whoever comes with the old token then gets
    /// the session, and no new token; only the request that has renewed it has that.
    ///
    /// # Errors
    /// As [`cycle_id`](Self::cycle_id).
    pub async fn renew_if_due(&self) -> Result<bool> {
        let Some(renewal) = self.0.manager.renewal else {
            return Ok(false);
        };
        let Some(old) = self.held().filter(|held| !held.is_old()) else {
            return Ok(false);
        };
        if self.token_age() < renewal.after {
            return Ok(false);
        }
        let issued = to_raw(ISSUED, &(self.age().as_millis() as u64))?;
        self.renew_with(ISSUED, issued).await?;
        let Some(new) = self.token().map(|token| token.id()) else {
            return Ok(false);
        };
        let store = &self.0.manager.store;
        if let Err(error) = store
            .create(&old.id(), &signpost(&new, renewal.grace))
            .await
        {
            // The old token opens nothing then: what is safe happens, if not what is pleasant.
            tracing::warn!(%error, "a renewed session has no signpost");
        }
        Ok(true)
    }

    /// Whether the token is so near its renewal that another request may be renewing it: sending
    /// it to the client once more could then overwrite the new one.
    #[must_use]
    pub fn is_renewal_near(&self) -> bool {
        let renewal = self.0.manager.renewal;
        renewal.is_some_and(|renewal| self.token_age() + renewal.grace >= renewal.after)
    }

    /// How long ago the token was issued, as far as renewal counts it: from the session's
    /// beginning or the last renewal.
    fn token_age(&self) -> Duration {
        let issued = self.get::<u64>(ISSUED).unwrap_or_default().unwrap_or(0);
        self.age().saturating_sub(Duration::from_millis(issued))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signpost_is_no_json_and_json_is_no_signpost() {
        let id = SessionToken::generate().id();
        let record = |data: Bytes| Record {
            data,
            stamp: crate::Stamp::generate(),
            owner: None,
            lifetime: Lifetime::default(),
            ttl: crate::Ttl::Never,
            age: Duration::ZERO,
            raw: Bytes::new(),
        };
        let post = signpost(&id, Duration::from_secs(30)).data;
        assert_eq!(target(&record(post.clone())).expect("good"), Some(id));
        assert!(crate::data::Data::decode(&post).is_err());
        let json = Bytes::from_static(br#"{"\u0000moved to ":"x"}"#);
        assert_eq!(target(&record(json)).expect("good"), None);
        for wrong in [b"\0moved to \xff".as_slice(), b"\0moved to "] {
            let wrong = target(&record(Bytes::from_static(wrong)));
            assert!(matches!(wrong, Err(Error::Corrupt { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_grace_as_long_as_the_renewal_is_refused() {
        let second = Duration::from_secs(1);
        let renewal = |after, grace| Renewal { after, grace };
        assert!(renewal(second, second).check().is_err());
        assert!(renewal(second, Duration::ZERO).check().is_err());
        renewal(2 * second, second).check().expect("good");
    }
}
