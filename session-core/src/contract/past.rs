//! The life that a session had in another store.

use std::time::{Duration, Instant};

use crate::{Draft, Lifetime, Record, Timeout, Ttl};

/// The life that a session had in another store, by the clock of that store, when it was read
/// there: what a create continues instead of beginning anew. See [`Draft::continuing`].
///
/// The time since then is counted in, up to the moment at which a store sends the session to its
/// database, so one that waits in a queue or is sent again gets no longer life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    age: Duration,
    left: Ttl,
    read: Instant,
}

impl Past {
    /// Of a session that had this age, and this long until its deadline, at the moment `read` or
    /// later.
    #[must_use]
    pub const fn new(age: Duration, left: Ttl, read: Instant) -> Self {
        Self { age, left, read }
    }

    /// How long ago the session began.
    fn age_now(&self) -> Duration {
        self.age.saturating_add(self.read.elapsed())
    }

    /// How long the session lives from now on unless it is used, never past its absolute limit.
    fn left_now(&self, lifetime: Lifetime) -> Timeout {
        let left = self.left.left().map_or(Timeout::Never, |left| {
            Timeout::After(left.saturating_sub(self.read.elapsed()))
        });
        match lifetime.absolute {
            Timeout::After(limit) => left.min(Timeout::After(limit.saturating_sub(self.age_now()))),
            Timeout::Never => left,
        }
    }
}

impl Draft {
    /// A draft that creates in another store the session of `record`, which was loaded at the
    /// moment `read` or later: the same data, credential, description, owner, limits and stamp, and
    /// [its past](Self::past). Created under the same id, the same tokens open it.
    ///
    /// A store continues the past if it declares
    /// [`Capabilities::keeps_past`](crate::Capabilities::keeps_past). Its age and deadline are then
    /// those of the record to within 5 ms and the time that the create takes on its way from this
    /// process to the database, which its time limit bounds. A session whose time has passed
    /// meanwhile is created as ended: nothing finds it.
    #[must_use]
    pub fn continuing(record: &Record, read: Instant) -> Self {
        Self::new(record.data.clone(), record.lifetime)
            .with_credential(record.credential.clone())
            .with_description(record.description.clone())
            .with_owner(record.owner.clone())
            .with_stamp(record.version.stamp())
            .with_past(Past::new(record.age, record.ttl, read))
    }

    /// The same draft with this past, or without one.
    #[must_use]
    pub fn with_past(mut self, past: impl Into<Option<Past>>) -> Self {
        self.past = past.into();
        self
    }

    /// The age that a session has when it is created now, in whole milliseconds, rounded up: 0
    /// without a [past](Self::past). For stores.
    #[must_use]
    pub fn age_at_create(&self) -> Duration {
        self.past.map_or(Duration::ZERO, |past| {
            let micros = past.age_now().as_micros();
            let millis = u64::try_from(micros.div_ceil(1_000)).unwrap_or(u64::MAX);
            Duration::from_millis(millis)
        })
    }

    /// How long after its create the session ends unless it is used, in whole milliseconds: the
    /// earlier limit, or with a [past](Self::past) what is left of it. Zero: it has ended. For
    /// stores.
    #[must_use]
    pub fn left_at_create(&self) -> Timeout {
        let left = match self.past {
            Some(past) => past.left_now(self.lifetime),
            None => self.lifetime.idle.min(self.lifetime.absolute),
        };
        left.whole_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stamp;

    const MINUTE: Duration = Duration::from_secs(60);

    fn ago(span: Duration) -> Instant {
        let now = Instant::now();
        now.checked_sub(span)
            .expect("the machine runs longer than that")
    }

    fn continuing(lifetime: Lifetime, left: Ttl, age: Duration, read: Instant) -> Draft {
        let record = Record::new("{}", Stamp::generate(), lifetime, left, age);
        Draft::continuing(&record, read)
    }

    #[test]
    fn a_draft_without_a_past_begins_now() {
        let lifetime = Lifetime::new(Duration::from_micros(1_900), MINUTE);
        let draft = Draft::new("{}", lifetime);
        assert_eq!(draft.age_at_create(), Duration::ZERO);
        let left = Timeout::After(Duration::from_millis(1));
        assert_eq!(draft.left_at_create(), left);
    }

    #[test]
    fn the_time_since_it_was_read_counts() {
        let lifetime = Lifetime::new(10 * MINUTE, 60 * MINUTE);
        let read = ago(Duration::from_secs(2));
        let draft = continuing(lifetime, Ttl::Left(MINUTE), 5 * MINUTE, read);
        let (age, left) = (draft.age_at_create(), draft.left_at_create());
        assert!(age >= 5 * MINUTE + Duration::from_secs(2), "{age:?}");
        let most = MINUTE - Duration::from_secs(2);
        assert!(left <= Timeout::After(most) && left > Timeout::After(most / 2));
    }

    #[test]
    fn what_is_left_never_passes_the_absolute_limit() {
        let lifetime = Lifetime::new(Timeout::Never, 60 * MINUTE);
        for left in [Ttl::Never, Ttl::Left(30 * MINUTE)] {
            let draft = continuing(lifetime, left, 59 * MINUTE, Instant::now());
            assert!(draft.left_at_create() <= Timeout::After(MINUTE));
            let over = continuing(lifetime, left, 61 * MINUTE, Instant::now());
            assert_eq!(over.left_at_create(), Timeout::After(Duration::ZERO));
        }
        let endless = Lifetime::new(Timeout::Never, Timeout::Never);
        let draft = continuing(endless, Ttl::Never, MINUTE, Instant::now());
        assert_eq!(draft.left_at_create(), Timeout::Never);
    }
}
