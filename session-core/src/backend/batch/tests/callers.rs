//! Callers that are refused, go away or panic.

use super::*;
use crate::ErrorKind;

#[tokio::test]
async fn operations_over_the_limit_of_the_queue_are_refused() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let answers = queue(&batcher, (0..301).map(op)).await;
    let refused = batcher.call(op(301)).await.expect_err("too many");
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    log.open(100);
    assert!(answered(answers).await.values().all(Result::is_ok));
}

/// A caller goes away at every point: as the leader of a batch, while it waits, and when it has
/// been made a leader and does not know yet.
#[tokio::test]
async fn a_caller_that_goes_away_harms_no_other() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut leader = Box::pin(batcher.call(op(0)));
    assert!(is_pending(&mut leader).await);
    let mut waiting: Vec<_> = (1..6).map(|n| Box::pin(batcher.call(op(n)))).collect();
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
async fn callers_that_give_up_together_leave_room_for_others() {
    let log = Log::gated();
    let limit = Duration::from_millis(50);
    let batcher = batcher_within::<false>(&log, LIMITS, limit);
    let mut callers = JoinSet::new();
    for n in 0..5 {
        let batcher = batcher.clone();
        callers.spawn(async move { tokio::time::timeout(limit, batcher.call(op(n))).await });
    }
    while let Some(call) = callers.join_next().await {
        call.expect("no panic").expect_err("no answer");
    }
    log.open(100);
    batcher.call(op(9)).await.expect("an answer");
    assert_eq!(
        log.sent(),
        [vec![0], vec![9]],
        "operations that were given up while queued are not sent"
    );
}

#[tokio::test]
async fn a_batch_goes_on_without_its_leader() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut calls: Vec<_> = (0..4).map(|n| Box::pin(batcher.call(op(n)))).collect();
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
    let batcher = batcher_within::<false>(&log, LIMITS, limit);
    let mut call = Box::pin(batcher.call(op(0)));
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

#[tokio::test(start_paused = true)]
async fn a_batch_has_no_more_time_because_its_callers_left() {
    let log = Log::gated();
    let limit = Duration::from_secs(4);
    let batcher = batcher_within::<false>(&log, LIMITS, limit);
    let call = tokio::time::timeout(limit / 4 * 3, batcher.call(op(0)));
    call.await.expect_err("given up");
    assert_eq!(batcher.load(), (0, 1), "it goes on");
    tokio::time::sleep(limit / 2).await;
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn an_operation_that_panics_takes_only_its_batch_along() {
    // The first goes by itself, the others together.
    for (mistake, unharmed) in [(0, 3), (2, 1)] {
        let log = Log::gated();
        let batcher = batcher::<false>(&log, LIMITS);
        let ops = (0..4).map(|n| Op {
            fault: match n == mistake {
                true => Fault::Panic,
                false => Fault::None,
            },
            ..op(n)
        });
        let mut answers = queue(&batcher, ops).await;
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
        queue(&batcher, (0..200).map(op)).await.detach_all();
    });
    drop(runtime);
    assert_eq!(batcher.load(), (0, 0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("another");
    log.open(1);
    assert_eq!(runtime.block_on(batcher.call(op(7))).ok(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_caller_gets_its_answer_under_load_and_cancellation() {
    let log = Arc::<Log>::default();
    let limits = BatchLimits {
        in_flight: 3,
        unbatched: 8,
        queued: 10_000,
        ..LIMITS
    };
    let batcher = batcher::<false>(&log, limits);
    let mut callers = JoinSet::new();
    for caller in 0..64_u32 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            for n in 0..500 {
                let number = caller * 1_000 + n;
                let call = batcher.call(op(number));
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
