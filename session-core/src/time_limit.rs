//! One time limit for several store operations.

use std::cell::Cell;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

/// A time that no operation takes: 30 years.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

tokio::task_local! {
    /// When the operations of this call must end, once the first of them has begun.
    static DEADLINE: Cell<Option<Instant>>;
}

/// Runs the work of a call, whose store operations all end within the time limit of the first. The
/// operations of a call that makes this one count too.
///
/// The work is given pinned, because it would be moved otherwise.
pub(crate) async fn within_one_limit<T>(work: Pin<&mut impl Future<Output = T>>) -> T {
    match DEADLINE.try_with(|_| ()) {
        Ok(()) => work.await,
        Err(_) => DEADLINE.scope(Cell::new(None), work).await,
    }
}

/// When an operation that begins `now` and may take up to `limit` must end.
pub(crate) fn deadline(now: Instant, limit: Duration) -> Instant {
    let own = now.checked_add(limit).unwrap_or_else(|| now + NEVER);
    let of_call = DEADLINE.try_with(|deadline| {
        let earliest = deadline.get().map_or(own, |earlier| earlier.min(own));
        deadline.set(Some(earliest));
        earliest
    });
    of_call.unwrap_or(own)
}

/// Sleeps for `pause`, but not longer than until the operations of this call must end.
pub(crate) async fn pause(pause: Duration) {
    let until = Instant::now() + pause;
    let deadline = DEADLINE.try_with(Cell::get).ok().flatten();
    let until = deadline.map_or(until, |deadline| deadline.min(until));
    tokio::time::sleep_until(until).await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    async fn operation(took: Duration) -> Duration {
        let now = Instant::now();
        let left = deadline(now, LIMIT) - now;
        tokio::time::sleep(took).await;
        left
    }

    #[tokio::test(start_paused = true)]
    async fn the_operations_of_one_call_share_the_limit_of_the_first() {
        let second = Duration::from_secs(1);
        let call = pin!(async {
            tokio::time::sleep(second * 9).await;
            assert_eq!(operation(second).await, LIMIT, "it counts from the first");
            let inner = within_one_limit(pin!(operation(second))).await;
            assert_eq!(inner, second, "also in a call within it");
            pause(second).await;
            operation(second).await
        });
        let began = Instant::now();
        assert_eq!(within_one_limit(call).await, Duration::ZERO);
        assert_eq!(began.elapsed(), second * 12, "no pause after the limit");
        assert_eq!(operation(second).await, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_may_be_longer_than_time_can_be() {
        let now = Instant::now();
        assert!(deadline(now, Duration::MAX) > now + Duration::from_secs(1_000_000));
    }
}
