//! A walk over the sessions of a store, and what two walks in a row tell.

use std::collections::HashMap;
use std::time::Duration;

use session_store::{Cursor, Result, SessionDirectory, SessionInfo};
use tokio::time::Instant;

use super::figures::Figures;

/// How many sessions a walk looks at, at most.
const MOST: usize = 20_000;
/// How many of them come at once.
const PAGE: usize = 1_000;
/// A deadline that is later by less has not moved: stores tell what is left to the millisecond, and an
/// answer takes time.
const SLACK: Duration = Duration::from_millis(1_500);
/// A session that is so young counts as new where walks do not reach the end of the store.
const YOUNG: Duration = Duration::from_secs(60);

/// What a walk has seen.
pub(super) struct Walk {
    pub(super) at: Instant,
    pub(super) took: Duration,
    /// Whether it has seen all sessions.
    pub(super) is_complete: bool,
    /// When each ends; `None` for never.
    deadlines: HashMap<String, Option<Instant>>,
    young: usize,
    pub(super) figures: Figures,
}

/// How many a second; `None` where the store does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) created: Option<f64>,
    pub(super) renewed: Option<f64>,
    pub(super) ended: Option<f64>,
    pub(super) expired: Option<f64>,
}

impl Walk {
    pub(super) async fn over(directory: &dyn SessionDirectory) -> Result<Self> {
        let began = Instant::now();
        let mut walk = Self {
            at: began,
            took: Duration::ZERO,
            is_complete: true,
            deadlines: HashMap::new(),
            young: 0,
            figures: Figures::default(),
        };
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = directory.list(cursor.as_ref(), PAGE).await?;
            let now = Instant::now();
            for session in &page.sessions {
                walk.add(session, now);
            }
            cursor = page.next;
            walk.is_complete = cursor.is_none();
            if walk.is_complete || walk.len() >= MOST {
                walk.took = began.elapsed();
                return Ok(walk);
            }
        }
    }

    /// A listing may give a session twice.
    fn add(&mut self, session: &SessionInfo, now: Instant) {
        let deadline = session.ttl.left().and_then(|left| now.checked_add(left));
        let id = session.id.as_str().to_owned();
        if self.deadlines.insert(id, deadline).is_none() {
            self.young += usize::from(session.age < YOUNG);
            self.figures.add(session);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// What has happened since the walk `before`, of a store with `total` live sessions.
    pub(super) fn since(&self, before: &Self, total: u64) -> Rates {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        if !self.is_complete || !before.is_complete {
            let share = self.young as f64 / self.len().max(1) as f64;
            let created = share * total as f64 / YOUNG.as_secs_f64();
            return Rates {
                created: Some(created),
                ..Rates::default()
            };
        }
        let (mut created, mut renewed, mut ended, mut expired) = (0, 0, 0, 0);
        for (id, deadline) in &self.deadlines {
            match before.deadlines.get(id) {
                None => created += 1,
                Some(earlier) => renewed += usize::from(is_later(*deadline, *earlier)),
            }
        }
        for (id, deadline) in &before.deadlines {
            if !self.deadlines.contains_key(id) {
                let is_over = deadline.is_some_and(|deadline| deadline <= self.at + SLACK);
                if is_over { expired += 1 } else { ended += 1 }
            }
        }
        let rate = |count: usize| Some(count as f64 / seconds);
        Rates {
            created: rate(created),
            renewed: rate(renewed),
            ended: rate(ended),
            expired: rate(expired),
        }
    }
}

fn is_later(deadline: Option<Instant>, earlier: Option<Instant>) -> bool {
    match (deadline, earlier) {
        (Some(deadline), Some(earlier)) => deadline > earlier + SLACK,
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_store::{Lifetime, SessionId, Ttl};

    const SECOND: Duration = Duration::from_secs(1);

    fn walk(at: Instant, is_complete: bool, sessions: &[(&str, u64, u64)]) -> Walk {
        let mut walk = Walk {
            at,
            took: Duration::ZERO,
            is_complete,
            deadlines: HashMap::new(),
            young: 0,
            figures: Figures::default(),
        };
        for &(id, left, age) in sessions {
            let id = SessionId::from_stored(id).expect("an id");
            let (left, age) = (Duration::from_secs(left), Duration::from_secs(age));
            let info = SessionInfo::new(id, Lifetime::idle(left), Ttl::Left(left), age, 1);
            walk.add(&info, at);
        }
        walk
    }

    #[test]
    fn two_walks_tell_what_has_happened_between_them() {
        let (a, b, c, d) = (
            "aaaaaaaaaaaaaaaa",
            "bbbbbbbbbbbbbbbb",
            "cccccccccccccccc",
            "dddddddddddddddd",
        );
        let then = Instant::now();
        let now = then + 10 * SECOND;
        let before = walk(then, true, &[(a, 100, 500), (b, 5, 500), (c, 100, 500)]);
        let after = walk(now, true, &[(a, 100, 510), (d, 100, 1)]);
        let rates = after.since(&before, 2);
        let expected = Rates {
            created: Some(0.1),
            renewed: Some(0.1),
            ended: Some(0.1),
            expired: Some(0.1),
        };
        assert_eq!(rates, expected);
        // Unmoved: the same deadline.
        let after = walk(now, true, &[(a, 90, 510), (c, 90, 510)]);
        assert_eq!(after.since(&before, 2).renewed, Some(0.0));
    }

    #[test]
    fn walks_that_do_not_reach_the_end_only_estimate_what_is_new() {
        let (a, b) = ("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb");
        let now = Instant::now();
        let before = walk(now, false, &[(a, 100, 500)]);
        let after = walk(now + SECOND, false, &[(a, 100, 500), (b, 100, 1)]);
        let rates = after.since(&before, 1_200);
        assert_eq!(rates.created, Some(10.0));
        assert_eq!(
            (rates.renewed, rates.ended, rates.expired),
            (None, None, None)
        );
    }
}
