use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Answer, BatchLimits, Batcher, Carrier, Item, SameId};
use crate::{Error, ErrorKind, Result, SessionId, SessionToken};

const LIMITS: BatchLimits = BatchLimits {
    lanes: 1,
    alone: 1,
    items: 128,
    bytes: 1_000,
    waiting: 300,
};

/// What was sent, and a gate that each batch passes.
#[derive(Default)]
struct Log {
    batches: Mutex<Vec<Vec<u32>>>,
    gate: Option<Semaphore>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

struct Truck<const SHARED: bool>(Arc<Log>);

#[derive(Clone, Debug)]
struct Parcel {
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

fn parcel(number: u32) -> Parcel {
    Parcel {
        id: SessionToken::generate().id(),
        number,
        bytes: 1,
        fault: Fault::None,
    }
}

impl Item for Parcel {
    fn id(&self) -> &SessionId {
        &self.id
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// An answer from here on has as many bytes as it is beyond.
const LONG: u32 = 1_000_000;

impl Answer for u32 {
    fn bytes(&self) -> usize {
        self.saturating_sub(LONG) as usize
    }
}

impl<const SHARED: bool> Carrier for Truck<SHARED> {
    type Item = Parcel;
    type Answer = u32;
    const OPERATION: &'static str = "carry";
    const SAME_ID: SameId = match SHARED {
        true => SameId::Shared,
        false => SameId::InOrder,
    };

    async fn carry(&self, items: &[Parcel]) -> Result<Vec<Result<u32>>> {
        let log = &self.0;
        let now = log.under_way.fetch_add(1, SeqCst) + 1;
        log.most.fetch_max(now, SeqCst);
        let numbers = items.iter().map(|item| item.number).collect();
        log.batches.lock().expect("whole").push(numbers);
        if let Some(gate) = &log.gate {
            gate.acquire().await.expect("open").forget();
        }
        tokio::task::yield_now().await;
        log.under_way.fetch_sub(1, SeqCst);
        let has = |fault| items.iter().any(|item| item.fault == fault);
        assert!(!has(Fault::Panic), "a carrier's mistake");
        if has(Fault::Temporary) {
            return Err(Error::unavailable("carry", "for now"));
        }
        if has(Fault::Permanent) {
            return Err(Error::store("carry", "poison"));
        }
        let answer = |item: &Parcel| match item.fault {
            Fault::Own => Err(Error::OutcomeUnknown),
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

fn batcher<const SHARED: bool>(log: &Arc<Log>, limits: BatchLimits) -> Batcher<Truck<SHARED>> {
    Batcher::new(Truck(Arc::clone(log)), limits, Duration::from_secs(10))
}

type Answers = JoinSet<(u32, Result<u32>)>;

/// Has every parcel wait behind the first, which is under way.
async fn queue<const SHARED: bool>(
    batcher: &Batcher<Truck<SHARED>>,
    parcels: impl IntoIterator<Item = Parcel>,
) -> Answers {
    let mut answers = JoinSet::new();
    for parcel in parcels {
        let (waiting, under_way) = batcher.load();
        let batcher = batcher.clone();
        let caller = batcher.clone();
        answers.spawn(async move { (parcel.number, caller.call(parcel).await) });
        until(|| batcher.load() != (waiting, under_way)).await;
    }
    answers
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

async fn settled(mut answers: Answers) -> BTreeMap<u32, Result<u32>> {
    let mut all = BTreeMap::new();
    while let Some(answer) = answers.join_next().await {
        let (number, answer) = answer.expect("no panic");
        all.insert(number, answer);
    }
    all
}

#[tokio::test]
async fn one_caller_after_the_other_never_waits_for_company() {
    let log = Arc::<Log>::default();
    let batcher = batcher::<false>(&log, LIMITS);
    for n in 0..10 {
        assert_eq!(batcher.call(parcel(n)).await.ok(), Some(n));
    }
    assert_eq!(log.sizes(), [1; 10]);
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn what_waits_goes_together_in_the_order_it_came() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let answers = queue(&batcher, (0..200).map(parcel)).await;
    log.open(100);
    for (number, answer) in settled(answers).await {
        assert_eq!(answer.ok(), Some(number), "everybody gets their own answer");
    }
    let sent = log.sent();
    assert_eq!(log.sizes(), [1, 128, 71]);
    assert!(sent.concat().is_sorted());
    assert_eq!(batcher.load(), (0, 0));
}

/// The callers of a batch come back together, and go together again: the first of them does not
/// leave the others a round trip behind.
#[tokio::test]
async fn those_who_come_back_together_go_together() {
    let log = Arc::<Log>::default();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut callers = JoinSet::new();
    for caller in 0..10 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            for n in 0..20 {
                let number = caller * 100 + n;
                assert_eq!(batcher.call(parcel(number)).await.ok(), Some(number));
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("every answer was right");
    }
    let batches = log.sizes().len();
    assert!(
        batches <= 25,
        "200 calls took {batches} batches of up to 10"
    );
}

#[tokio::test]
async fn few_callers_go_alone_and_many_in_few_lanes() {
    let limits = BatchLimits {
        lanes: 2,
        alone: 8,
        ..LIMITS
    };
    let log = Log::gated();
    let few = batcher::<false>(&log, limits);
    let answers = queue(&few, (0..8).map(parcel)).await;
    assert_eq!(few.load(), (0, 8));
    log.open(100);
    settled(answers).await;
    assert_eq!(log.most.load(SeqCst), 8);

    let log = Log::gated();
    let many = batcher::<false>(&log, limits);
    let answers = queue(&many, (0..108).map(parcel)).await;
    assert_eq!(many.load(), (100, 8));
    log.open(7);
    until(|| many.load().1 == 101).await;
    log.open(100);
    settled(answers).await;
    assert_eq!(
        log.sizes()[8..],
        [100],
        "one lane was under way, one came free"
    );
}

/// A batch that few callers happened to make is no reason to wait for others.
#[tokio::test]
async fn only_many_callers_are_waited_for() {
    let limits = BatchLimits {
        lanes: 2,
        alone: 8,
        ..LIMITS
    };
    for (together, at_once) in [(4, true), (5, false)] {
        let log = Log::gated();
        let batcher = batcher::<false>(&log, limits);
        let answers = queue(&batcher, (0..8 + together).map(parcel)).await;
        log.open(100);
        settled(answers).await;
        assert_eq!(log.sizes()[8..], [together as usize]);
        let mut next = Box::pin(batcher.call(parcel(99)));
        assert!(is_pending(&mut next).await);
        assert_eq!(log.sizes().len() == 10, at_once, "after {together}");
        next.await.expect("an answer");
    }
}

#[tokio::test]
async fn a_poison_item_fails_alone() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let parcels = (0..101).map(|n| Parcel {
        fault: match n {
            40 => Fault::Permanent,
            70 => Fault::Own,
            _ => Fault::None,
        },
        ..parcel(n)
    });
    let answers = queue(&batcher, parcels).await;
    log.open(1_000);
    for (number, answer) in settled(answers).await {
        match number {
            40 => assert_eq!(answer.expect_err("poison").kind(), ErrorKind::Store),
            70 => assert_eq!(answer.expect_err("own").kind(), ErrorKind::OutcomeUnknown),
            _ => assert_eq!(answer.ok(), Some(number)),
        }
    }
    assert!(log.sizes().len() < 20, "halved, not sent one by one");
    let singles: Vec<_> = log
        .sent()
        .into_iter()
        .skip(1)
        .filter(|b| b.len() == 1)
        .collect();
    assert!(singles.contains(&vec![40]));
}

#[tokio::test]
async fn what_passes_is_everybodys_and_not_sent_again() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let parcels = (0..11).map(|n| Parcel {
        fault: if n == 4 {
            Fault::Temporary
        } else {
            Fault::None
        },
        ..parcel(n)
    });
    let answers = queue(&batcher, parcels).await;
    log.open(100);
    for (number, answer) in settled(answers).await {
        assert_eq!(answer.is_ok(), number == 0, "{number}");
    }
    assert_eq!(log.sizes(), [1, 10]);
}

#[tokio::test]
async fn writes_of_one_session_are_done_one_after_the_other() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let id = SessionToken::generate().id();
    let same = (1..4).map(|n| Parcel {
        id: id.clone(),
        ..parcel(n)
    });
    let answers = queue(
        &batcher,
        [parcel(0)].into_iter().chain(same).chain([parcel(4)]),
    )
    .await;
    log.open(100);
    settled(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 4], vec![2], vec![3]]);
}

#[tokio::test]
async fn reads_of_one_session_are_one() {
    let log = Log::gated();
    let batcher = batcher::<true>(&log, LIMITS);
    let id = SessionToken::generate().id();
    let same = (1..4).map(|n| Parcel {
        id: id.clone(),
        ..parcel(n)
    });
    let answers = queue(
        &batcher,
        [parcel(0)].into_iter().chain(same).chain([parcel(4)]),
    )
    .await;
    log.open(100);
    let answers = settled(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 4]]);
    for (number, expected) in [(1, 1), (2, 1), (3, 1), (4, 4)] {
        assert_eq!(answers[&number].as_ref().ok(), Some(&expected));
    }
    // One that comes while another is under way must not get what that one read before.
    let first = queue(
        &batcher,
        [Parcel {
            id: id.clone(),
            ..parcel(5)
        }],
    )
    .await;
    let second = queue(&batcher, [Parcel { id, ..parcel(6) }]).await;
    settled(first).await;
    assert_eq!(settled(second).await[&6].as_ref().ok(), Some(&6));
}

#[tokio::test]
async fn batches_are_limited_by_bytes_and_one_may_be_larger() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let parcels = [1, 400, 600, 1, 5_000, 1].into_iter().zip(0..);
    let parcels = parcels.map(|(bytes, n)| Parcel { bytes, ..parcel(n) });
    let answers = queue(&batcher, parcels).await;
    log.open(100);
    settled(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 2], vec![3], vec![4], vec![5]]);
}

/// Then it is not the round trips that take the time.
#[tokio::test]
async fn while_batches_have_too_many_bytes_there_may_be_more_of_them() {
    let log = Log::gated();
    let limits = BatchLimits { alone: 3, ..LIMITS };
    let batcher = batcher::<false>(&log, limits);
    let large = |n| Parcel {
        bytes: 400,
        ..parcel(n)
    };
    let answers = queue(&batcher, (0..10).map(large)).await;
    log.open(3);
    until(|| log.sizes() == [1, 1, 1, 2]).await;
    let more = queue(&batcher, (10..13).map(large)).await;
    until(|| log.sizes() == [1, 1, 1, 2, 2, 2]).await;
    assert_eq!(log.under_way.load(SeqCst), 3);
    log.open(100);
    assert_eq!(settled(answers).await.len() + settled(more).await.len(), 13);
    assert_eq!(
        log.most.load(SeqCst),
        3,
        "no more than when callers are few"
    );
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn answers_are_expected_to_be_as_long_as_late_ones() {
    let log = Log::gated();
    let batcher = batcher::<true>(&log, LIMITS);
    let answers = queue(&batcher, (LONG + 400..LONG + 500).map(parcel)).await;
    log.open(100);
    settled(answers).await;
    // A quarter of the first one's length is expected, and in the end all of it.
    let sizes = log.sizes();
    assert_eq!(sizes[..3], [1, 9, 5], "{sizes:?}");
    assert!(sizes[10..].iter().all(|size| *size <= 2), "{sizes:?}");
}

#[tokio::test]
async fn more_than_may_wait_are_refused_and_cost_nobody_anything() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let answers = queue(&batcher, (0..301).map(parcel)).await;
    let refused = batcher.call(parcel(301)).await.expect_err("too many");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    log.open(100);
    assert!(settled(answers).await.values().all(Result::is_ok));
}

/// A caller goes away at every point: as the leader of a batch, while it waits, and when it has
/// been made a leader and does not know yet.
#[tokio::test]
async fn a_caller_that_goes_away_harms_nobody() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut leader = Box::pin(batcher.call(parcel(0)));
    assert!(is_pending(&mut leader).await);
    let mut waiting: Vec<_> = (1..6).map(|n| Box::pin(batcher.call(parcel(n)))).collect();
    for call in &mut waiting {
        assert!(is_pending(call).await);
    }
    drop(waiting.remove(2));
    drop(leader);
    log.open(1);
    // The batch that went on without its leader ends, and makes the first that waits a leader.
    until(|| batcher.load().1 == 0).await;
    drop(waiting.remove(0));
    log.open(100);
    for call in waiting {
        call.await.expect("an answer");
    }
    assert_eq!(
        log.sent(),
        [vec![0], vec![2, 4, 5]],
        "1 and 3 went before they were sent"
    );
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn nobody_waits_longer_than_the_limit() {
    let log = Log::gated();
    let limit = Duration::from_millis(50);
    let batcher = Batcher::new(Truck::<false>(Arc::clone(&log)), LIMITS, limit);
    let answers = queue(&batcher, (0..5).map(parcel)).await;
    for answer in settled(answers).await.into_values() {
        assert_eq!(answer.expect_err("too late").kind(), ErrorKind::Timeout);
    }
    log.open(100);
    batcher.call(parcel(9)).await.expect("it goes on");
    assert_eq!(
        log.sent(),
        [vec![0], vec![9]],
        "those who gave up are not sent"
    );
}

#[tokio::test]
async fn a_batch_goes_on_without_its_leader() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut calls: Vec<_> = (0..4).map(|n| Box::pin(batcher.call(parcel(n)))).collect();
    for call in &mut calls {
        assert!(is_pending(call).await);
    }
    log.open(1);
    calls.remove(0).await.expect("an answer");
    assert!(is_pending(&mut calls[0]).await);
    assert_eq!(log.sent(), [vec![0], vec![1, 2, 3]]);
    drop(calls.remove(0));
    log.open(1);
    for (call, number) in calls.into_iter().zip(2..) {
        assert_eq!(call.await.ok(), Some(number));
    }
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn a_batch_without_its_callers_ends_at_the_limit() {
    let log = Log::gated();
    let limit = Duration::from_millis(50);
    let batcher = Batcher::new(Truck::<false>(Arc::clone(&log)), LIMITS, limit);
    let mut call = Box::pin(batcher.call(parcel(0)));
    assert!(is_pending(&mut call).await);
    drop(call);
    assert_eq!(batcher.load(), (0, 1), "it goes on");
    let given_up = async {
        while batcher.load() != (0, 0) {
            tokio::time::sleep(limit).await;
        }
    };
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, given_up)
        .await
        .expect("an end");
}

#[tokio::test]
async fn a_carrier_that_panics_takes_only_its_batch_along() {
    // The first goes by itself, the others together.
    for (mistake, unharmed) in [(0, 3), (2, 1)] {
        let log = Log::gated();
        let batcher = batcher::<false>(&log, LIMITS);
        let parcels = (0..4).map(|n| Parcel {
            fault: match n == mistake {
                true => Fault::Panic,
                false => Fault::None,
            },
            ..parcel(n)
        });
        let mut answers = queue(&batcher, parcels).await;
        log.open(100);
        let mut fine = 0;
        while let Some(answer) = answers.join_next().await {
            fine += usize::from(answer.is_ok_and(|(_, answer)| answer.is_ok()));
        }
        assert_eq!(fine, unharmed);
        assert_eq!(batcher.load(), (0, 0));
    }
}

#[test]
fn a_runtime_that_shuts_down_leaves_nothing_behind() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        queue(&batcher, (0..200).map(parcel)).await.detach_all();
    });
    drop(runtime);
    assert_eq!(batcher.load(), (0, 0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("another");
    log.open(1);
    assert_eq!(runtime.block_on(batcher.call(parcel(7))).ok(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_gets_their_answer_under_load_and_cancellation() {
    let log = Arc::<Log>::default();
    let limits = BatchLimits {
        lanes: 3,
        alone: 8,
        waiting: 10_000,
        ..LIMITS
    };
    let batcher = batcher::<false>(&log, limits);
    let mut callers = JoinSet::new();
    for caller in 0..64_u32 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            for n in 0..500 {
                let number = caller * 1_000 + n;
                let call = batcher.call(parcel(number));
                if n % 7 == caller % 7 {
                    let mut call = Box::pin(call);
                    is_pending(&mut call).await;
                    continue;
                }
                assert_eq!(call.await.ok(), Some(number));
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("every answer was right");
    }
    until(|| batcher.load() == (0, 0)).await;
}
