//! Touches.

use std::time::{Duration, Instant};

use session_core::backend::Touch;
use session_core::{Lifetime, Result, SessionId, Timeout, Ttl};

use super::change::{Change, Found, Held, Next, Write};
use super::deadline::{Deadline, after, earlier};
use super::{Compare, Compared};
use crate::clock::Reading;
use crate::command::corrupt;
use crate::record::{StoredSession, millis, with_deadline};

struct Extension<'a> {
    touch: &'a Touch,
    time_limit: Duration,
    /// When the touch was asked for.
    begun: Instant,
}

impl Compare<'_> {
    /// Moves deadlines. Two round trips, the first of which reads the session; one if its deadline
    /// stays.
    pub(crate) async fn touch(
        self,
        touches: &[Touch],
    ) -> Result<Compared<Vec<Result<Option<Ttl>>>>> {
        let (time_limit, begun) = (self.route.call.timeout(), Instant::now());
        let extension = |touch| Extension {
            touch,
            time_limit,
            begun,
        };
        let extensions: Vec<_> = touches.iter().map(extension).collect();
        self.run(&extensions).await
    }
}

impl Change for Extension<'_> {
    type Outcome = Option<Ttl>;

    fn id(&self) -> &SessionId {
        &self.touch.id
    }

    fn limit(&self) -> Option<Duration> {
        self.touch.idle.duration()
    }

    fn presumed(&self) -> Option<Found> {
        None
    }

    fn next(&self, held: &Held<'_>, now: Reading) -> Next<Option<Ttl>> {
        let value = match held {
            Held::Nothing | Held::Ended(_) => return Next::Settled(Ok(None)),
            Held::Broken(_) | Held::OtherType => return Next::Settled(Err(corrupt())),
            Held::Live(_, value) => *value,
        };
        let session = match StoredSession::decode(value.clone()) {
            Ok(session) => session,
            Err(error) => return Next::Settled(Err(error)),
        };
        let (idle, absolute) = (self.touch.idle, session.lifetime.absolute);
        // From the beginning: a save that came between would otherwise be overtaken for ever.
        let unused = after(now.earliest_at(self.begun), millis(idle));
        let wanted = earlier(unused, after(session.born, millis(absolute)));
        let is_later = session
            .deadline
            .is_some_and(|at| wanted == 0 || wanted > at);
        if !is_later {
            return Next::Settled(Ok(Some(session.ttl(now.latest()))));
        }
        let lifetime = Lifetime::new(idle, absolute);
        let Deadline { at, expiry } = Deadline::of(lifetime, session.born, now, self.time_limit);
        let write = Write {
            new: with_deadline(value, at),
            old: Some(value.clone()),
            expiry,
            indexed: session.owner.map(|owner| (owner, at)),
            // A later deadline leaves the entry as it is.
            entry: Vec::new(),
        };
        Next::Write(write, Some(ttl(at, now)))
    }
}

/// What is left until the deadline `at`, 0 for never.
fn ttl(at: u64, now: Reading) -> Ttl {
    let left = (at != 0).then(|| at.saturating_sub(now.latest()));
    Timeout::from_millis(left).into()
}
