//! Which task watches the streams, and whether it still comes.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::table::Lease;

/// The place of the one task that watches the streams of a manager.
///
/// A task may stand still, because nothing drives its runtime, or end with it. Then a stream in
/// another runtime gives the place to a task of its own. The task before finds that when it comes
/// back, and ends.
#[derive(Default)]
pub(super) struct CurrentTask(Option<Place>);

struct Place {
    /// Wakes the task. Each has another, so that waking never reaches the task before.
    wake: Arc<Notify>,
    /// When the task should come at the latest.
    expected: Instant,
}

impl CurrentTask {
    /// Takes the place if it is free, or its task has not come when it should have. Gives what wakes
    /// the new task.
    pub(super) fn take(&mut self, now: Instant, lease: Lease) -> Option<Arc<Notify>> {
        let is_late = |place: &Place| now > place.expected + lease.tolerance();
        if !self.0.as_ref().is_none_or(is_late) {
            return None;
        }
        let wake = Arc::new(Notify::new());
        self.0 = Some(Place {
            wake: Arc::clone(&wake),
            expected: now,
        });
        Some(wake)
    }

    /// Whether the place is that of the task which `wake` wakes.
    pub(super) fn is(&self, wake: &Arc<Notify>) -> bool {
        let place = self.0.as_ref();
        place.is_some_and(|place| Arc::ptr_eq(&place.wake, wake))
    }

    /// The task has come, and comes again at `expected` if it is not woken before.
    pub(super) fn expect_at(&mut self, expected: Instant) {
        if let Some(place) = &mut self.0 {
            place.expected = expected;
        }
    }

    /// Wakes the task, if there is one that would come after `at`.
    pub(super) fn wake_by(&mut self, at: Instant) {
        if let Some(place) = &mut self.0
            && at < place.expected
        {
            place.expected = at;
            place.wake.notify_one();
        }
    }

    pub(super) fn leave(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LEASE: Lease = Lease::DEFAULT;

    #[test]
    fn a_task_that_does_not_come_loses_its_place() {
        let (mut task, start) = (CurrentTask::default(), Instant::now());
        let first = task.take(start, LEASE).expect("it is free");
        task.expect_at(start + LEASE.interval());
        let late = start + LEASE.interval() + LEASE.tolerance();
        assert!(task.take(late, LEASE).is_none() && task.is(&first));
        let after = late + Duration::from_millis(1);
        let second = task.take(after, LEASE).expect("it has not come");
        assert!(task.is(&second) && !task.is(&first));
        task.leave();
        assert!(!task.is(&second) && task.take(after, LEASE).is_some());
    }

    #[test]
    fn a_task_that_was_woken_is_expected_at_once() {
        let (mut task, start) = (CurrentTask::default(), Instant::now());
        let first = task.take(start, LEASE).expect("it is free");
        task.expect_at(start + LEASE.interval());
        task.wake_by(start);
        task.wake_by(start + LEASE.tolerance());
        let late = start + LEASE.tolerance() + Duration::from_millis(1);
        assert!(task.take(late, LEASE).is_some() && !task.is(&first));
    }
}
