//! Measuring around calls, so that cases about time tell the truth on slow machines too.
//!
//! The store's clock is not ours, but a call's moment on it lies between the start and the end of
//! the call on ours, and both run equally fast. So a session written by a call that ended at `e`
//! and may live for `l` must be invisible to every call that starts at `e + l` or later: that is
//! exact, and no slowness can break it. A session written by a call that began at `b` must be
//! visible to every call that ends before `b + l`: a machine that is too slow for that proves
//! nothing, and the attempt is made again with longer limits.

use std::future::Future;
use std::time::{Duration, Instant};

use session_core::{Record, SessionId, Ttl};

use crate::checked::CheckedStore;

/// What counting in whole milliseconds, at both ends of a measurement, may take or add.
const GRAIN: Duration = Duration::from_millis(2);

/// The units that attempts are made with, from the shortest.
const UNITS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
    Duration::from_millis(6_400),
];

/// When a call began and ended, by our clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl Span {
    /// From this moment on, what this call gave `limit` to live has ended.
    pub(super) fn dead_from(&self, limit: Duration) -> Instant {
        self.ended + limit
    }

    /// Before this moment, what this call gave `limit` to live is alive.
    pub(super) fn alive_until(&self, limit: Duration) -> Instant {
        self.began + limit.saturating_sub(GRAIN)
    }
}

/// Awaits `work` and measures when it was under way.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (T, Span) {
    let began = Instant::now();
    let done = work.await;
    let ended = Instant::now();
    (done, Span { began, ended })
}

/// Returns at `moment` or as soon after it as the machine can, never before.
pub(super) async fn wait_until(moment: Instant) {
    while Instant::now() < moment {
        tokio::time::sleep_until(moment.into()).await;
    }
}

/// The machine was too slow for an attempt to prove anything.
#[derive(Debug)]
pub(super) struct TooSlow;

/// Makes an attempt with a short unit of time, and again with a longer one while the machine is
/// too slow for it.
pub(super) async fn with_patience<R>(attempt: impl Fn(Duration) -> R)
where
    R: Future<Output = Result<(), TooSlow>>,
{
    for unit in UNITS {
        if attempt(unit).await.is_ok() {
            return;
        }
    }
    let longest = UNITS[UNITS.len() - 1];
    panic!("the store or the machine is too slow to tell: calls take longer than {longest:?}");
}

/// The session, which must be visible if `until` has not come when it has been read.
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

/// Checks what is left of `limit` that counts from the call `written`, as `read` found it.
pub(super) fn check_ttl(ttl: Ttl, limit: Duration, written: Span, read: Span, what: &str) {
    let Ttl::Left(left) = ttl else {
        panic!("{what}: expected at most {limit:?} left, was told it never ends");
    };
    let least = limit.saturating_sub(read.ended - written.began + GRAIN);
    let most = (limit + GRAIN)
        .saturating_sub(read.began.saturating_duration_since(written.ended))
        .min(limit);
    assert!(
        (least..=most).contains(&left),
        "{what}: expected {least:?} to {most:?} left, was told {left:?}"
    );
}

/// Checks the age of what began with the call `began`, as `read` found it.
pub(super) fn check_age(age: Duration, began: Span, read: Span, what: &str) {
    let least = read.began.saturating_duration_since(began.ended + GRAIN);
    let most = read.ended - began.began + GRAIN;
    assert!(
        (least..=most).contains(&age),
        "{what}: expected an age of {least:?} to {most:?}, was told {age:?}"
    );
}
