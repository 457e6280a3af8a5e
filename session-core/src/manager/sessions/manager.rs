//! What all sessions of one manager share: the store, the rules, and the touches under way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backoff::Backoff;
use crate::manager::identity::{Grace, Verdict};
use crate::manager::in_doubt::InDoubt;
use crate::manager::judged_token::JudgedToken;
use crate::manager::observer::Observers;
use crate::manager::watch::{Lease, Watch};
use crate::{
    Confirmation, Error, Lifetime, Limits, OnReuse, Record, Result, SessionDirectory, SessionId,
    SessionStore, Ttl, time_limit,
};

pub(crate) struct Manager {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) lifetime: Lifetime,
    pub(crate) limits: Limits,
    pub(crate) observers: Observers,
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) grace: Grace,
    pub(crate) on_reuse: OnReuse,
    pub(super) renew_after: Option<Duration>,
    /// Default: a twentieth of the idle limit.
    pub(super) touch_after: Option<Duration>,
    pub(super) touching: Mutex<HashSet<SessionId>>,
    pub(crate) lease: Lease,
    /// What the end of a session must be before it is reported.
    pub(crate) confirmation: Confirmation,
    /// The streams that are open until their sessions end.
    pub(crate) watch: Watch,
    /// The ends that may have happened.
    pub(crate) in_doubt: InDoubt,
}

impl Manager {
    pub(crate) fn directory(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        let directory = self.store.directory();
        directory.ok_or_else(|| Error::unsupported(what))
    }

    /// The session `id` as the database has it now, and no copy of it.
    pub(crate) async fn load_anew(&self, id: &SessionId) -> Result<Option<Record>> {
        self.store.drop_copy(id);
        self.store.load(id).await
    }

    /// Whether a handle's token is to be renewed now: it is the current one,
    /// the client has had it for long enough, and it is not a guest's.
    pub(crate) fn is_renewal_due(
        &self,
        judged: &JudgedToken,
        has_owner: bool,
        age: Duration,
    ) -> bool {
        self.is_renewal_within(judged, has_owner, age, Duration::ZERO)
    }

    /// Whether it is to be renewed within the grace.
    pub(crate) fn is_renewal_near(
        &self,
        judged: &JudgedToken,
        has_owner: bool,
        age: Duration,
    ) -> bool {
        self.is_renewal_within(judged, has_owner, age, self.grace.duration())
    }

    fn is_renewal_within(
        &self,
        judged: &JudgedToken,
        has_owner: bool,
        age: Duration,
        within: Duration,
    ) -> bool {
        let (Some(after), Some(state)) = (self.renew_after, &judged.state) else {
            return false;
        };
        judged.verdict == Verdict::Current
            && state.is_renewable(has_owner)
            && state
                .token_age(age)
                .is_some_and(|token_age| token_age + within >= after)
    }

    /// Whether a touch would move the deadline, now `left` away, far enough to be worth a round
    /// trip.
    pub(crate) fn is_touch_due(&self, lifetime: Lifetime, left: Ttl, age: Duration) -> bool {
        match (lifetime.left_after_use(age), left) {
            (Ttl::Left(touched), Ttl::Left(left)) => {
                let idle = lifetime.idle.duration().unwrap_or(touched);
                let after = match self.touch_after {
                    Some(after) => after.min(idle / 2),
                    None => idle / 20,
                };
                touched.saturating_sub(left) > after
            }
            (touched, left) => touched > left,
        }
    }

    /// The right to touch `id`, unless this process is doing so already.
    pub(crate) fn begin_touch(&self, id: &SessionId) -> Option<Touching<'_>> {
        let mut touching = self.touching();
        touching.insert(id.clone()).then(|| Touching {
            manager: self,
            id: id.clone(),
        })
    }

    fn touching(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.touching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits up to 16 ms, before an operation whose connection broke is sent once more.
    pub(crate) async fn pause_before_repeat(&self) {
        time_limit::pause(self.backoff.delay(4)).await;
    }
}

/// Held while one session is touched; released even if the caller goes away.
pub(crate) struct Touching<'a> {
    manager: &'a Manager,
    id: SessionId,
}

impl Drop for Touching<'_> {
    fn drop(&mut self) {
        self.manager.touching().remove(&self.id);
    }
}
