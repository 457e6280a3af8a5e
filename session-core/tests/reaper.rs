//! A reaper that is stopped in order.

mod support;

use std::time::Duration;

use session_core::{Lifetime, Reaper};
use support::{Call, sessions};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_batch_under_way_and_reports_what_it_removes() {
    let (sessions, store, recorder) = sessions();
    let session = sessions.start();
    session.insert("a", 1).expect("a number");
    let idle = Lifetime::idle(MINUTE);
    session.set_lifetime(idle).expect("allowed");
    session.save().await.expect("saved");
    sleep(MINUTE).await;
    store.take_calls();

    store.delay_next(MINUTE / 4);
    let reaper = Reaper::spawn_with(sessions, MINUTE, 10).expect("a directory");
    sleep(MINUTE / 8).await;
    assert_eq!(recorder.take(), ["created"], "the batch is under way");
    let began = Instant::now();
    reaper.stop().await;
    assert_eq!(began.elapsed(), MINUTE / 8);
    assert_eq!(recorder.take(), ["expired"]);
    sleep(10 * MINUTE).await;
    assert_eq!(store.take_calls(), [Call::Reap], "nothing more is sent");
}

#[tokio::test(start_paused = true)]
async fn between_two_passes_it_stops_at_once() {
    let (sessions, store, _) = sessions();
    let reaper = Reaper::spawn_with(sessions, MINUTE, 10).expect("a directory");
    sleep(MINUTE / 4).await;
    let began = Instant::now();
    reaper.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(store.take_calls(), [Call::Reap]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_nobody_waits_for_stops_it_all_the_same() {
    let (sessions, store, _) = sessions();
    store.delay_next(MINUTE / 4);
    let reaper = Reaper::spawn_with(sessions, MINUTE, 10).expect("a directory");
    sleep(MINUTE / 8).await;
    let stopped = tokio::time::timeout(Duration::from_secs(1), reaper.stop());
    assert!(stopped.await.is_err(), "the batch takes longer");
    sleep(10 * MINUTE).await;
    assert_eq!(store.take_calls(), [Call::Reap]);
}
