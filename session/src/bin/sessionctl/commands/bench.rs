//! `bench`: how many operations a store makes a second.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use session_store::session_core::{Draft, Saved, Version};
use session_store::{Lifetime, SessionId, SessionStore, SessionToken, Timeout};

use crate::arguments::Bench;
use crate::exit::{Exit, Failure};
use crate::output::{Output, note};
use crate::url::SetUp;

/// How long sessions live that are left over because the program was killed.
const LIFETIME: Duration = Duration::from_secs(600);

/// A session of the measurement.
struct Sample {
    id: SessionId,
    version: Version,
}

/// What was measured of one operation.
struct Measured {
    operation: &'static str,
    per_second: f64,
    /// Sorted.
    times: Vec<Duration>,
}

pub(super) async fn run(arguments: &Bench, output: Output) -> Result<Exit, Failure> {
    let store = arguments.store.read()?.connect(SetUp::Never).await?;
    let store = &*store;
    note(&format!(
        "{} sessions of {} bytes, {} operations at once; they are removed afterwards.",
        arguments.sessions, arguments.size, arguments.concurrency
    ));
    let ids: Vec<SessionId> = (0..arguments.sessions)
        .map(|_| SessionToken::generate().id())
        .collect();
    let measured = measure_all(store, &ids, arguments).await;
    let removed = remove(store, &ids, arguments).await;
    let mut measured = measured?;
    measured.push(removed?);
    for one in &measured {
        output.print(&one.value(), one.text())?;
    }
    Ok(Exit::Done)
}

async fn measure_all(
    store: &dyn SessionStore,
    ids: &[SessionId],
    arguments: &Bench,
) -> Result<Vec<Measured>, Failure> {
    let draft = || {
        let value = "x".repeat(arguments.size as usize - 8);
        Draft::new(json!({ "v": value }).to_string(), Lifetime::idle(LIFETIME))
    };
    let create = |id: SessionId| async move {
        let saved = store.create(&id, &draft()).await?;
        sample(id, saved)
    };
    let (created, samples) = measure("create", ids.to_vec(), arguments, create).await?;
    let load = |sample: Sample| async move {
        let found = store.load(&sample.id).await?;
        found.map(|_| sample).ok_or_else(lost)
    };
    let (loaded, samples) = measure("load", samples, arguments, load).await?;
    let save = |Sample { id, version }: Sample| async move {
        let saved = store.save(&id, &draft(), &version).await?;
        sample(id, saved)
    };
    let (saved, samples) = measure("save", samples, arguments, save).await?;
    let touch = |sample: Sample| async move {
        let left = store.touch(&sample.id, Timeout::After(LIFETIME)).await?;
        left.map(|_| sample).ok_or_else(lost)
    };
    let (touched, _) = measure("touch", samples, arguments, touch).await?;
    Ok(vec![created, loaded, saved, touched])
}

async fn remove(
    store: &dyn SessionStore,
    ids: &[SessionId],
    arguments: &Bench,
) -> Result<Measured, Failure> {
    let destroy = |id: SessionId| async move { Ok(store.destroy(&id, None).await.map(drop)?) };
    let (removed, _) = measure("destroy", ids.to_vec(), arguments, destroy).await?;
    Ok(removed)
}

fn sample(id: SessionId, saved: Saved) -> Result<Sample, Failure> {
    match saved {
        Saved::Done(version) => Ok(Sample { id, version }),
        Saved::Conflict | Saved::Gone | Saved::Unknown => Err(lost()),
    }
}

fn lost() -> Failure {
    Failure::new(
        Exit::Failed,
        "a session of the measurement was changed or ended by another program",
    )
}

/// Runs an operation for each item, and gives what it has made of them.
async fn measure<I, O, F>(
    operation: &'static str,
    items: Vec<I>,
    arguments: &Bench,
    run: impl Fn(I) -> F,
) -> Result<(Measured, Vec<O>), Failure>
where
    F: Future<Output = Result<O, Failure>>,
{
    let (began, count) = (Instant::now(), items.len());
    let timed = |item| {
        let running = run(item);
        async {
            let began = Instant::now();
            Ok::<_, Failure>((running.await?, began.elapsed()))
        }
    };
    let done = stream::iter(items).map(timed);
    let done: Vec<(O, Duration)> = done
        .buffer_unordered(arguments.concurrency.into())
        .try_collect()
        .await?;
    let per_second = count as f64 / began.elapsed().as_secs_f64();
    let (items, mut times): (Vec<O>, Vec<Duration>) = done.into_iter().unzip();
    times.sort_unstable();
    let measured = Measured {
        operation,
        per_second,
        times,
    };
    Ok((measured, items))
}

impl Measured {
    fn percentile(&self, percent: usize) -> f64 {
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        let time = self.times.get(at).copied().unwrap_or_default();
        time.as_secs_f64() * 1_000.0
    }

    fn value(&self) -> Value {
        json!({
            "operation": self.operation,
            "per_second": self.per_second.round(),
            "median_ms": self.percentile(50),
            "p99_ms": self.percentile(99),
        })
    }

    fn text(&self) -> String {
        format!(
            "{:<8} {:>9.0} a second, median {:>7.2} ms, 99 % within {:>7.2} ms",
            self.operation,
            self.per_second,
            self.percentile(50),
            self.percentile(99)
        )
    }
}
