//! Metrics, for the recorder of the crate [`metrics`](https://docs.rs/metrics): their names, and
//! buckets that suit them (Cargo feature `metrics`).
//!
//! Everything is counted by itself: a store's operations where all of them pass, and what becomes of
//! sessions and tokens in [`Sessions`](crate::Sessions). An application installs a recorder, before
//! or after it makes its stores. Labels hold names of operations, kinds of errors and the address of
//! a server, and nothing of a session. `docs/logging.md` has a table of them.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
//! use session_core::metrics::{BATCH_BUCKETS, SECONDS_BUCKETS, names};
//!
//! let seconds = Matcher::Full(names::OPERATION_SECONDS.to_owned());
//! let batches = Matcher::Full(names::BATCH_SIZE.to_owned());
//! let prometheus = PrometheusBuilder::new()
//!     .set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?
//!     .set_buckets_for_metric(batches, &BATCH_BUCKETS)?
//!     .install_recorder()?;
//! let text = prometheus.render();       // the answer to a scrape
//! # Ok(()) }
//! ```
//!
//! A recorder of a type without fields counts as none, because the crate `metrics` has no other way
//! to tell that none is installed.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use metrics::{Level, Metadata, Recorder, SharedString, Unit};

/// The names of all metrics.
pub mod names {
    /// Counter: operations of stores that have ended, by `outcome`, and by `error.type` if that is
    /// `error`.
    pub const OPERATIONS: &str = "session_store_operations_total";
    /// Histogram: how long they took, in seconds, with waiting, batching and repeats.
    pub const OPERATION_SECONDS: &str = "session_store_operation_seconds";
    /// Histogram: operations in a batch, for batches of more than one.
    pub const BATCH_SIZE: &str = "session_store_batch_operations";
    /// Gauge: operations that wait for a batch now.
    pub const QUEUED: &str = "session_store_queued_operations";
    /// Counter: commands that were sent again.
    pub const REPEATS: &str = "session_store_repeats_total";
    /// Counter: clients that were replaced, because they were silent or led to the wrong server.
    pub const REPLACED_CLIENTS: &str = "session_store_replaced_clients_total";
    /// Gauge: circuits that are open now, because the database does not answer.
    pub const OPEN_CIRCUITS: &str = "session_store_open_circuits";
    /// Counter: how often a circuit opened.
    pub const OPENINGS: &str = "session_store_circuit_openings_total";
    /// Counter: operations that failed at once because a circuit was open.
    pub const REJECTED: &str = "session_store_rejected_total";
    /// Counter: expired sessions that were removed and reported.
    pub const REAPED: &str = "session_store_reaped_total";
    /// Counter: sessions that were stored for the first time.
    pub const CREATED: &str = "session_created_total";
    /// Counter: new tokens of sessions that were there.
    pub const RENEWED: &str = "session_renewed_total";
    /// Counter: sessions that have ended, by `reason`.
    pub const ENDED: &str = "session_ended_total";
    /// Counter: writes that were planned anew, on a record that another request had changed.
    pub const REPLAYS: &str = "session_replays_total";
    /// Counter: old tokens that were used again: two parties hold a sign-in.
    pub const REUSES: &str = "session_token_reuses_total";
    /// Counter: tokens that open nothing, by `reason`.
    pub const REFUSED_TOKENS: &str = "session_tokens_refused_total";
    /// Counter: cookies that can't be read, by `reason`.
    pub const REJECTED_COOKIES: &str = "session_cookies_rejected_total";
    /// Counter: stored sessions that can't be read.
    pub const CORRUPT: &str = "session_corrupt_records_total";
    /// Counter: streams that were closed because their session had ended, by `reason`.
    pub const CLOSED_STREAMS: &str = "session_streams_closed_total";
}

/// Buckets for [`names::OPERATION_SECONDS`]: from 50 µs, which a load from memory takes under load,
/// to 10 s, over the time limit of a store.
pub const SECONDS_BUCKETS: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    2.5, 10.0,
];

/// Buckets for [`names::BATCH_SIZE`]: up to the most operations of a batch by default.
pub const BATCH_BUCKETS: [f64; 7] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

pub(crate) const METADATA: Metadata<'static> =
    Metadata::new("session_core", Level::INFO, Some("session_core"));

/// Hands the application's recorder to `act`, if there is one.
pub(crate) fn with_recorder(act: impl FnOnce(&dyn Recorder)) {
    /// The address of the recorder that was told what the metrics are: a test has one of its own.
    static DESCRIBED: AtomicUsize = AtomicUsize::new(0);
    metrics::with_recorder(|recorder| {
        if size_of_val(recorder) > 0 {
            let address = std::ptr::from_ref(recorder).addr();
            if DESCRIBED.swap(address, Relaxed) != address {
                describe(recorder);
            }
            act(recorder);
        }
    });
}

/// Counts one event, which is rare enough to be registered each time.
pub(crate) fn event(name: &'static str, reason: Option<&'static str>) {
    events(name, reason, 1);
}

/// Counts so many.
pub(crate) fn events(name: &'static str, reason: Option<&'static str>, count: u64) {
    with_recorder(|recorder| {
        let labels = reason.map(|reason| metrics::Label::from_static_parts("reason", reason));
        let labels: Vec<_> = labels.into_iter().collect();
        let key = metrics::Key::from_parts(name, labels);
        recorder.register_counter(&key, &METADATA).increment(count);
    });
}

fn describe(recorder: &dyn Recorder) {
    let counter = |name: &'static str, text: &'static str| {
        recorder.describe_counter(name.into(), Some(Unit::Count), SharedString::from(text));
    };
    let gauge = |name: &'static str, text: &'static str| {
        recorder.describe_gauge(name.into(), Some(Unit::Count), SharedString::from(text));
    };
    let histogram = |name: &'static str, unit, text: &'static str| {
        recorder.describe_histogram(name.into(), Some(unit), SharedString::from(text));
    };
    counter(names::OPERATIONS, "operations of session stores");
    histogram(
        names::OPERATION_SECONDS,
        Unit::Seconds,
        "how long they took",
    );
    histogram(names::BATCH_SIZE, Unit::Count, "operations in a batch");
    gauge(names::QUEUED, "operations that wait for a batch now");
    counter(names::REPEATS, "commands that were sent again");
    counter(names::REPLACED_CLIENTS, "clients that were replaced");
    gauge(names::OPEN_CIRCUITS, "circuits that are open now");
    counter(names::OPENINGS, "how often a circuit opened");
    counter(names::REJECTED, "operations not sent: a circuit was open");
    counter(names::REAPED, "expired sessions that were removed");
    counter(names::CREATED, "sessions stored for the first time");
    counter(names::RENEWED, "new tokens of sessions that were there");
    counter(names::ENDED, "sessions that have ended");
    counter(names::REPLAYS, "writes planned anew after a conflict");
    counter(names::REUSES, "old tokens that were used again");
    counter(names::REFUSED_TOKENS, "tokens that open nothing");
    counter(names::REJECTED_COOKIES, "cookies that can't be read");
    counter(names::CORRUPT, "stored sessions that can't be read");
    counter(names::CLOSED_STREAMS, "streams closed with their session");
}
