//! Measuring the start and end of calls, so that cases about time are right on slow machines too.
//!
//! The store has its own clock, but the moment of a call lies between its start and its end by this
//! process' clock, and both clocks run at the same speed. So a session that was written by a call
//! that ended at `e`, with a limit of `l`, must be invisible to every call that starts at `e + l`
//! or later; that holds on any machine. A session that was written by a call that began at `b` must
//! be visible to every call that ends before `b + l`. If the machine is too slow to make such a
//! call, the attempt proves nothing and is repeated with longer limits.

use std::future::Future;
use std::time::{Duration, Instant};

use session_core::{Record, SessionId, Ttl};

use crate::checked::CheckedStore;

/// The error of counting in whole milliseconds at both ends of a measurement.
const GRAIN: Duration = Duration::from_millis(2);

/// How much too early a session may end. A client that reads the server's clock knows it to within
/// the time that an answer takes, and must not end a session late; neither must a local copy.
const EARLY: Duration = Duration::from_millis(5);

/// The units of time of the attempts, from the shortest.
const UNITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
    Duration::from_millis(6_400),
];

/// When a call began and ended, by this process' clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl Span {
    /// The moment from which a session that this call wrote with `limit` has ended.
    pub(super) fn dead_from(&self, limit: Duration) -> Instant {
        self.ended + limit
    }

    /// The moment before which a session that this call wrote with `limit` is alive.
    pub(super) fn alive_until(&self, limit: Duration) -> Instant {
        self.began + limit.saturating_sub(EARLY)
    }
}

/// Awaits `work` and measures when it began and ended.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (T, Span) {
    let began = Instant::now();
    let done = work.await;
    let ended = Instant::now();
    (done, Span { began, ended })
}

/// Waits until `moment`; never returns earlier.
pub(super) async fn wait_until(moment: Instant) {
    while Instant::now() < moment {
        tokio::time::sleep_until(moment.into()).await;
    }
}

/// The machine was too slow for the attempt to prove anything.
#[derive(Debug)]
pub(super) struct TooSlow;

/// Makes an attempt with a short unit of time, and repeats it with longer ones while the machine is
/// too slow.
pub(super) async fn with_longer_units<R>(attempt: impl Fn(Duration) -> R)
where
    R: Future<Output = Result<(), TooSlow>>,
{
    for unit in UNITS {
        if attempt(unit).await.is_ok() {
            return;
        }
    }
    let longest = UNITS[UNITS.len() - 1];
    panic!("the store or the machine is too slow for this case: calls take over {longest:?}");
}

/// Loads the session, which must be visible if the load ends before `until`.
pub(super) async fn visible(
    store: &CheckedStore,
    id: &SessionId,
    until: Instant,
    what: &str,
) -> Result<Record, TooSlow> {
    let (found, read) = timed(store.must_load(id)).await;
    if read.ended >= until {
        return Err(TooSlow);
    }
    let left = until - read.ended;
    Ok(found.unwrap_or_else(|| panic!("{what}: it is gone {left:?} too early")))
}

/// Checks that the session is invisible from `from` on.
pub(super) async fn invisible(store: &CheckedStore, id: &SessionId, from: Instant, what: &str) {
    wait_until(from).await;
    let (found, read) = timed(store.must_load(id)).await;
    let late = read.began - from;
    assert!(
        found.is_none(),
        "{what}: it is still visible {late:?} after its deadline: {found:?}"
    );
}

/// Checks the time left at the call `read` of a `limit` that counts from the call `written`.
pub(super) fn check_ttl(ttl: Ttl, limit: Duration, written: Span, read: Span, what: &str) {
    let Ttl::Left(left) = ttl else {
        panic!("{what}: expected at most {limit:?} left, got no deadline");
    };
    let least = limit.saturating_sub(read.ended - written.began + EARLY);
    let most = (limit + GRAIN)
        .saturating_sub(read.began.saturating_duration_since(written.ended))
        .min(limit);
    assert!(
        (least..=most).contains(&left),
        "{what}: expected {least:?} to {most:?} left, got {left:?}"
    );
}

/// Checks the age at the call `read` of a session that began with the call `began`.
pub(super) fn check_age(age: Duration, began: Span, read: Span, what: &str) {
    let least = read.began.saturating_duration_since(began.ended + GRAIN);
    let most = read.ended - began.began + GRAIN;
    assert!(
        (least..=most).contains(&age),
        "{what}: expected an age of {least:?} to {most:?}, got {age:?}"
    );
}
