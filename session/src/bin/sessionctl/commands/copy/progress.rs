//! How far it is, at which rate, and how long it will take.

use std::time::{Duration, Instant};

use session_store::{Result, SessionDirectory};

use crate::output;
use crate::span;

/// How often the line is written at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// A line on standard error, where that is a terminal.
pub(super) struct Progress {
    line: output::Progress,
    what: &'static str,
    began: Instant,
    shown: Option<Instant>,
    before: u64,
    total: u64,
}

/// How many sessions a store has, if it can be shown: on Redis, a count holds every id for a moment.
pub(super) async fn total(directory: &dyn SessionDirectory) -> Result<u64> {
    match output::Progress::is_possible() {
        true => directory.count().await,
        false => Ok(0),
    }
}

impl Progress {
    /// Of `total` sessions, of which an earlier run has done so many `before`.
    pub(super) fn new(what: &'static str, before: u64, total: u64) -> Self {
        Self {
            line: output::Progress::default(),
            what,
            began: Instant::now(),
            shown: None,
            before,
            total,
        }
    }

    pub(super) fn show(&mut self, done: u64) {
        if self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            let text = self.text(done, self.began.elapsed());
            self.line.show(&text);
        }
    }

    fn text(&self, done: u64, elapsed: Duration) -> String {
        let Self {
            what,
            before,
            total,
            ..
        } = *self;
        let rate = (done.saturating_sub(before)) as f64 / elapsed.as_secs_f64().max(0.001);
        let missing = total.saturating_sub(done) as f64;
        let left = Duration::try_from_secs_f64((missing / rate.max(0.001)).ceil());
        let left = left.map_or("long".to_owned(), span::show);
        // Sessions begin while they are counted.
        let percent = match total {
            0 => 100.0,
            total => (done as f64 / total as f64 * 100.0).min(100.0),
        };
        format!("{done} of {total} {what} ({percent:.0} %), {rate:.0} a second, {left} left")
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.line.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_this_run_and_the_rest_at_that_rate() {
        let progress = Progress::new("copied", 1_000, 10_000);
        let text = progress.text(4_000, Duration::from_secs(3));
        let expected = "4000 of 10000 copied (40 %), 1000 a second, 6s left";
        assert_eq!(text, expected);
        let none = Progress::new("copied", 0, 0).text(0, Duration::ZERO);
        assert!(none.starts_with("0 of 0 copied (100 %)"), "{none}");
    }
}
