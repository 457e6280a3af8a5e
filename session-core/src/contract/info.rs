//! What a listing says of a session.

use std::time::Duration;

use crate::{Description, Lifetime, Owner, Record, SessionId, Ttl};

/// One line of a listing: everything about a session but its data and credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The id it is filed under.
    pub id: SessionId,
    /// The principal it belongs to.
    pub owner: Option<Owner>,
    /// What its user recognises it by; see [`Session::describe`](crate::Session::describe).
    pub description: Option<Description>,
    /// Its limits.
    pub lifetime: Lifetime,
    /// What is left until its deadline.
    pub ttl: Ttl,
    /// How long ago it began, or its owner last signed in; see [`Anchor`](crate::Anchor).
    pub age: Duration,
    /// The size of its data, in bytes.
    pub size: usize,
}

impl SessionInfo {
    /// The line about the session `id`, without an owner and a description.
    #[must_use]
    pub const fn new(
        id: SessionId,
        lifetime: Lifetime,
        ttl: Ttl,
        age: Duration,
        size: usize,
    ) -> Self {
        Self {
            id,
            owner: None,
            description: None,
            lifetime,
            ttl,
            age,
            size,
        }
    }

    /// How long ago the session was last used, by the store's clock. A store knows it by the
    /// deadline that each use moves, so it may be longer ago than the last request by
    /// [`touch_after`](crate::SessionsBuilder::touch_after).
    ///
    /// `None` if the deadline does not tell: the session has no idle limit, or its absolute limit
    /// comes first. It was then used within its idle limit of the deadline.
    #[must_use]
    pub fn last_used(&self) -> Option<Duration> {
        let (idle, left) = (self.lifetime.idle.duration()?, self.ttl.left()?);
        let is_absolute = |absolute| self.age.saturating_add(left) >= absolute;
        let absolute = self.lifetime.absolute.duration();
        (!absolute.is_some_and(is_absolute)).then(|| idle.saturating_sub(left))
    }

    /// The same line with this description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<Option<Description>>) -> Self {
        self.description = description.into();
        self
    }

    /// The same line about a session of `owner`.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<Option<Owner>>) -> Self {
        self.owner = owner.into();
        self
    }

    /// The line about the session `id`, of which this is the record.
    #[must_use]
    pub fn of(id: SessionId, record: &Record) -> Self {
        let size = record.data.len();
        Self::new(id, record.lifetime, record.ttl, record.age, size)
            .with_description(record.description.clone())
            .with_owner(record.owner.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SessionToken, Timeout};

    #[test]
    fn the_last_use_is_what_the_deadline_tells() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let last_used = |lifetime: Lifetime, left: Ttl, age| {
            let id = SessionToken::generate().id();
            SessionInfo::new(id, lifetime, left, minutes(age), 0).last_used()
        };
        let (half_an_hour, hour) = (minutes(30), minutes(60));
        let both = Lifetime::new(half_an_hour, hour);
        let left = |left| Ttl::Left(minutes(left));
        assert_eq!(last_used(both, left(30), 0), Some(minutes(0)));
        assert_eq!(last_used(both, left(20), 25), Some(minutes(10)));
        assert_eq!(last_used(both, left(1), 58), Some(minutes(29)));
        // Used at the age of 30 minutes or later: the absolute limit ends it first.
        assert_eq!(last_used(both, left(30), 30), None);
        assert_eq!(last_used(both, left(5), 55), None);
        let idle = Lifetime::idle(half_an_hour);
        assert_eq!(last_used(idle, left(5), 1_000), Some(minutes(25)));
        // A touch by a server with a longer limit.
        assert_eq!(last_used(idle, left(40), 1_000), Some(minutes(0)));
        assert_eq!(last_used(Lifetime::fixed(hour), left(60), 0), None);
        let never = Lifetime::new(Timeout::Never, hour);
        assert_eq!(last_used(never, left(60), 0), None);
        let endless = Lifetime::idle(Timeout::Never);
        assert_eq!(last_used(endless, Ttl::Never, 5), None);
    }
}
