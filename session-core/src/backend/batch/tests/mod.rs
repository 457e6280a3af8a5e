//! Records what the batcher sends.

mod callers;
mod grouping;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{BatchLimits, BatchOperation, Batcher, Duplicates, Item, Size};
use crate::{Error, Result, SessionId, SessionToken};

const LIMITS: BatchLimits = BatchLimits {
    in_flight: 1,
    unbatched: 1,
    items: 128,
    bytes: 1_000,
    queued: 300,
    queued_bytes: usize::MAX,
};

/// What was sent, and a gate that each batch passes.
#[derive(Default)]
struct Log {
    batches: Mutex<Vec<Vec<u32>>>,
    gate: Option<Semaphore>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
}

struct Recorder<const SHARED: bool>(Arc<Log>);

#[derive(Clone, Debug)]
struct Op {
    id: SessionId,
    number: u32,
    bytes: usize,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    Permanent,
    Temporary,
    Own,
    Panic,
}

fn op(number: u32) -> Op {
    Op {
        id: SessionToken::generate().id(),
        number,
        bytes: 1,
        fault: Fault::None,
    }
}

impl Item for Op {
    fn id(&self) -> &SessionId {
        &self.id
    }
}

impl Size for Op {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// An answer from here on has as many bytes as it is beyond.
const LONG: u32 = 1_000_000;

impl Size for u32 {
    fn bytes(&self) -> usize {
        self.saturating_sub(LONG) as usize
    }
}

impl<const SHARED: bool> BatchOperation for Recorder<SHARED> {
    type Item = Op;
    type Answer = u32;
    const NAME: &'static str = "send";
    const DUPLICATES: Duplicates = match SHARED {
        true => Duplicates::Coalesce,
        false => Duplicates::Sequence,
    };

    async fn execute(&self, items: &[Op]) -> Result<Vec<Result<u32>>> {
        let log = &self.0;
        let now = log.in_flight.fetch_add(1, SeqCst) + 1;
        log.most.fetch_max(now, SeqCst);
        let numbers = items.iter().map(|item| item.number).collect();
        log.batches.lock().expect("whole").push(numbers);
        if let Some(gate) = &log.gate {
            gate.acquire().await.expect("open").forget();
        }
        tokio::task::yield_now().await;
        log.in_flight.fetch_sub(1, SeqCst);
        let has = |fault| items.iter().any(|item| item.fault == fault);
        assert!(!has(Fault::Panic), "a operation's mistake");
        if has(Fault::Temporary) {
            return Err(Error::unavailable("send", "for now"));
        }
        if has(Fault::Permanent) {
            return Err(Error::refused("send", "poison"));
        }
        let answer = |item: &Op| match item.fault {
            Fault::Own => Err(Error::outcome_unknown()),
            _ => Ok(item.number),
        };
        Ok(items.iter().map(answer).collect())
    }
}

impl Log {
    fn gated() -> Arc<Self> {
        Arc::new(Self {
            gate: Some(Semaphore::new(0)),
            ..Self::default()
        })
    }

    fn open(&self, batches: usize) {
        self.gate.as_ref().expect("gated").add_permits(batches);
    }

    fn sizes(&self) -> Vec<usize> {
        let batches = self.batches.lock().expect("whole");
        batches.iter().map(Vec::len).collect()
    }

    fn sent(&self) -> Vec<Vec<u32>> {
        self.batches.lock().expect("whole").clone()
    }
}

fn batcher<const SHARED: bool>(log: &Arc<Log>, limits: BatchLimits) -> Batcher<Recorder<SHARED>> {
    batcher_within(log, limits, Duration::from_secs(10))
}

fn batcher_within<const SHARED: bool>(
    log: &Arc<Log>,
    limits: BatchLimits,
    timeout: Duration,
) -> Batcher<Recorder<SHARED>> {
    Batcher::new(Recorder(Arc::clone(log)), limits, timeout, "Toy".into())
}

type Answers = JoinSet<(u32, Result<u32>)>;

/// Has every op wait behind the first, which is under way.
async fn queue<const SHARED: bool>(
    batcher: &Batcher<Recorder<SHARED>>,
    ops: impl IntoIterator<Item = Op>,
) -> Answers {
    let mut answers = JoinSet::new();
    for op in ops {
        let (waiting, in_flight) = batcher.load();
        let batcher = batcher.clone();
        let caller = batcher.clone();
        answers.spawn(async move { (op.number, caller.call(op).await) });
        until(|| batcher.load() != (waiting, in_flight)).await;
    }
    answers
}

/// Has one operation in flight, and three on one session and one on another queued behind it.
async fn queue_three_on_one_session<const SHARED: bool>(
    batcher: &Batcher<Recorder<SHARED>>,
    id: &SessionId,
) -> Answers {
    let same = (1..4).map(|n| Op {
        id: id.clone(),
        ..op(n)
    });
    queue(batcher, [op(0)].into_iter().chain(same).chain([op(4)])).await
}

/// Lets the others run until this is so.
async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not come to that");
}

/// Polls it once.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending()))
        .await
}

async fn answered(mut answers: Answers) -> BTreeMap<u32, Result<u32>> {
    let mut all = BTreeMap::new();
    while let Some(answer) = answers.join_next().await {
        let (number, answer) = answer.expect("no panic");
        all.insert(number, answer);
    }
    all
}
