//! Which operations are sent together.

use super::*;
use crate::ErrorKind;

#[tokio::test]
async fn one_caller_after_another_is_never_held_up() {
    let log = Arc::<Log>::default();
    let batcher = batcher::<false>(&log, LIMITS);
    for n in 0..10 {
        assert_eq!(batcher.call(op(n)).await.ok(), Some(n));
    }
    assert_eq!(log.sizes(), [1; 10]);
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn what_is_queued_is_sent_together_in_the_order_it_came() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let answers = queue(&batcher, (0..200).map(op)).await;
    log.open(100);
    for (number, answer) in answered(answers).await {
        assert_eq!(answer.ok(), Some(number), "each caller gets its own answer");
    }
    let sent = log.sent();
    assert_eq!(log.sizes(), [1, 128, 71]);
    assert!(sent.concat().is_sorted());
    assert_eq!(batcher.load(), (0, 0));
}

/// The callers of a batch come back together, and go together again: the first of them does not
/// leave the others a round trip behind.
#[tokio::test]
async fn callers_that_come_back_together_are_sent_together() {
    let log = Arc::<Log>::default();
    let batcher = batcher::<false>(&log, LIMITS);
    let mut callers = JoinSet::new();
    for caller in 0..10 {
        let batcher = batcher.clone();
        callers.spawn(async move {
            for n in 0..20 {
                let number = caller * 100 + n;
                assert_eq!(batcher.call(op(number)).await.ok(), Some(number));
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
async fn few_operations_are_sent_one_by_one_and_many_in_few_batches() {
    let limits = BatchLimits {
        in_flight: 2,
        unbatched: 8,
        ..LIMITS
    };
    let log = Log::gated();
    let few = batcher::<false>(&log, limits);
    let answers = queue(&few, (0..8).map(op)).await;
    assert_eq!(few.load(), (0, 8));
    log.open(100);
    answered(answers).await;
    assert_eq!(log.most.load(SeqCst), 8);

    let log = Log::gated();
    let many = batcher::<false>(&log, limits);
    let answers = queue(&many, (0..108).map(op)).await;
    assert_eq!(many.load(), (100, 8));
    log.open(7);
    until(|| many.load().1 == 101).await;
    log.open(100);
    answered(answers).await;
    assert_eq!(
        log.sizes()[8..],
        [100],
        "one batch was in flight, room for one came free"
    );
}

/// A batch that few callers happened to make is no reason to wait for others.
#[tokio::test]
async fn only_many_callers_are_expected_back() {
    let limits = BatchLimits {
        in_flight: 2,
        unbatched: 8,
        ..LIMITS
    };
    for (together, at_once) in [(4, true), (5, false)] {
        let log = Log::gated();
        let batcher = batcher::<false>(&log, limits);
        let answers = queue(&batcher, (0..8 + together).map(op)).await;
        log.open(100);
        answered(answers).await;
        assert_eq!(log.sizes()[8..], [together as usize]);
        let mut next = Box::pin(batcher.call(op(99)));
        assert!(is_pending(&mut next).await);
        assert_eq!(log.sizes().len() == 10, at_once, "after {together}");
        next.await.expect("an answer");
    }
}

#[tokio::test]
async fn a_poison_item_fails_alone() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let ops = (0..101).map(|n| Op {
        fault: match n {
            40 => Fault::Permanent,
            70 => Fault::Own,
            _ => Fault::None,
        },
        ..op(n)
    });
    let answers = queue(&batcher, ops).await;
    log.open(1_000);
    for (number, answer) in answered(answers).await {
        match number {
            40 => assert_eq!(answer.expect_err("poison").kind(), ErrorKind::Refused),
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
async fn a_temporary_error_fails_the_whole_batch_and_is_not_sent_again() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let ops = (0..11).map(|n| Op {
        fault: if n == 4 {
            Fault::Temporary
        } else {
            Fault::None
        },
        ..op(n)
    });
    let answers = queue(&batcher, ops).await;
    log.open(100);
    for (number, answer) in answered(answers).await {
        assert_eq!(answer.is_ok(), number == 0, "{number}");
    }
    assert_eq!(log.sizes(), [1, 10]);
}

#[tokio::test]
async fn writes_of_one_session_are_executed_in_sequence() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let id = SessionToken::generate().id();
    let answers = queue_three_on_one_session(&batcher, &id).await;
    log.open(100);
    answered(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 4], vec![2], vec![3]]);
}

#[tokio::test]
async fn reads_of_one_session_are_coalesced() {
    let log = Log::gated();
    let batcher = batcher::<true>(&log, LIMITS);
    let id = SessionToken::generate().id();
    let answers = queue_three_on_one_session(&batcher, &id).await;
    log.open(100);
    let answers = answered(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 4]]);
    for (number, expected) in [(1, 1), (2, 1), (3, 1), (4, 4)] {
        assert_eq!(answers[&number].as_ref().ok(), Some(&expected));
    }
    // One that comes while another is under way must not get what that one read before.
    let first = queue(
        &batcher,
        [Op {
            id: id.clone(),
            ..op(5)
        }],
    )
    .await;
    let second = queue(&batcher, [Op { id, ..op(6) }]).await;
    answered(first).await;
    assert_eq!(answered(second).await[&6].as_ref().ok(), Some(&6));
}

#[tokio::test]
async fn batches_are_limited_by_bytes_and_one_may_be_larger() {
    let log = Log::gated();
    let batcher = batcher::<false>(&log, LIMITS);
    let ops = [1, 400, 600, 1, 5_000, 1].into_iter().zip(0..);
    let ops = ops.map(|(bytes, n)| Op { bytes, ..op(n) });
    let answers = queue(&batcher, ops).await;
    log.open(100);
    answered(answers).await;
    assert_eq!(log.sent(), [vec![0], vec![1, 2], vec![3], vec![4], vec![5]]);
}

/// Then it is not the round trips that take the time.
#[tokio::test]
async fn while_the_limit_of_bytes_holds_more_batches_may_be_in_flight() {
    let log = Log::gated();
    let limits = BatchLimits {
        unbatched: 3,
        ..LIMITS
    };
    let batcher = batcher::<false>(&log, limits);
    let large = |n| Op {
        bytes: 400,
        ..op(n)
    };
    let answers = queue(&batcher, (0..10).map(large)).await;
    log.open(3);
    until(|| log.sizes() == [1, 1, 1, 2]).await;
    let more = queue(&batcher, (10..13).map(large)).await;
    until(|| log.sizes() == [1, 1, 1, 2, 2, 2]).await;
    assert_eq!(log.in_flight.load(SeqCst), 3);
    log.open(100);
    assert_eq!(
        answered(answers).await.len() + answered(more).await.len(),
        13
    );
    assert_eq!(
        log.most.load(SeqCst),
        3,
        "no more than when callers are few"
    );
    assert_eq!(batcher.load(), (0, 0));
}

#[tokio::test]
async fn answers_are_assumed_to_be_as_large_as_recent_ones() {
    let log = Log::gated();
    let batcher = batcher::<true>(&log, LIMITS);
    let answers = queue(&batcher, (LONG + 400..LONG + 500).map(op)).await;
    log.open(100);
    answered(answers).await;
    // A quarter of the first one's length is expected, and in the end all of it.
    let sizes = log.sizes();
    assert_eq!(sizes[..3], [1, 9, 5], "{sizes:?}");
    assert!(sizes[10..].iter().all(|size| *size <= 2), "{sizes:?}");
}
