//! Renewal: new tokens for sessions in use, what the old ones open, and theft.

mod support;

use std::sync::Arc;
use std::time::Duration;

use session_core::{OnReuse, Session, SessionToken, Sessions};
use support::{Call, Faulty, Recorder};

const GRACE: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(240);
/// A handle counts the age of its session on by the real clock, which these tests do not move.
const SLACK: Duration = Duration::from_millis(500);

struct World {
    sessions: Sessions,
    store: Arc<Faulty>,
    recorder: Recorder,
}

fn world(on_reuse: OnReuse) -> World {
    let (store, recorder) = (Arc::new(Faulty::default()), Recorder::default());
    let sessions = Sessions::builder(store.clone())
        .renew_after(AFTER)
        .on_reuse(on_reuse)
        .observer(recorder.clone())
        .build()
        .expect("good rules");
    World {
        sessions,
        store,
        recorder,
    }
}

impl World {
    /// The token of a session of a user who has just signed in.
    async fn signed_in(&self) -> SessionToken {
        let session = self.sessions.start();
        session.insert("n", 1).expect("JSON");
        session.sign_in("u").await.expect("signed in");
        session.token().expect("stored")
    }

    async fn open(&self, token: &SessionToken) -> Session {
        self.sessions.open(Some(token)).await.expect("up")
    }

    /// The end of a request that has only read, as the web layer does it. Gives the token that the
    /// client is told.
    async fn read(&self, token: &SessionToken) -> Option<SessionToken> {
        let session = self.open(token).await;
        if !session.renew_if_due().await.expect("up") {
            session.touch().await.expect("up");
        }
        session.token().filter(|told| told != token)
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_costs_two_writes_in_all_and_nothing_else_costs_more_than_without() {
    let world = world(OnReuse::End);
    let first = world.signed_in().await;
    world.store.take_calls();
    assert_eq!(world.read(&first).await, None, "it is not due");
    assert_eq!(world.store.take_calls(), [Call::Load]);

    tokio::time::advance(AFTER + SLACK).await;
    let second = world.read(&first).await.expect("it is due");
    assert_eq!(world.store.take_calls(), [Call::Load, Call::Save]);
    assert_eq!(world.read(&first).await, Some(second.clone()), "told again");
    assert_eq!(world.store.take_calls(), [Call::Load], "without a write");

    assert_eq!(world.read(&second).await, None);
    assert_eq!(
        world.store.take_calls(),
        [Call::Load, Call::Save],
        "confirmed"
    );
    for token in [&first, &second] {
        assert_eq!(world.read(token).await, None);
        assert_eq!(world.store.take_calls(), [Call::Load]);
    }
    let late = world.open(&first).await;
    assert_eq!(late.token(), None, "its client has the newer one");
    assert_eq!(world.recorder.names(), ["created", "renewed"]);
}

#[tokio::test(start_paused = true)]
async fn a_save_renews_and_confirms_by_the_same_write() {
    let world = world(OnReuse::End);
    let mut token = world.signed_in().await;
    for n in 0..3 {
        tokio::time::advance(AFTER + SLACK).await;
        let session = world.open(&token).await;
        session.insert("n", n).expect("JSON");
        world.store.take_calls();
        session.save().await.expect("saved");
        assert_eq!(world.store.take_calls(), [Call::Save]);
        let renewed = session.token().expect("stored");
        assert_ne!(renewed, token);
        // What the handler saves after that changes no token.
        session.insert("more", n).expect("JSON");
        session.save().await.expect("saved");
        assert_eq!(session.token().as_ref(), Some(&renewed));

        let confirming = world.open(&renewed).await;
        confirming.insert("seen", n).expect("JSON");
        confirming.save().await.expect("saved");
        assert_eq!(confirming.token().as_ref(), Some(&renewed));
        token = renewed;
    }
    assert_eq!(world.recorder.names()[1..], ["renewed"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_whose_answer_was_lost_is_fetched_with_the_old_one_however_late() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let lost = world.read(&old).await.expect("it is due");
    tokio::time::advance(25 * GRACE).await;
    assert_eq!(world.read(&old).await, Some(lost.clone()));
    world.store.take_calls();
    let session = world.open(&old).await;
    session.insert("n", 2).expect("JSON");
    session.save().await.expect("the old token writes too");
    assert_eq!(session.token(), Some(lost));
    assert_eq!(world.store.take_calls(), [Call::Load, Call::Save]);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_told_whose_renewal_has_an_unknown_outcome() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let session = world.open(&old).await;
    world.store.hang_after_next();
    let renewal = tokio::time::timeout(GRACE / 60, session.renew_if_due());
    renewal.await.expect_err("its answer does not come");
    assert_eq!(session.token().as_ref(), Some(&old), "as it was");
    let new = world.read(&old).await.expect("it had happened");
    assert_eq!(world.read(&new).await, None, "and is the one that opens");
}

#[tokio::test(start_paused = true)]
async fn a_replaced_token_that_is_used_after_its_grace_ends_the_session_and_tells() {
    for on_reuse in [OnReuse::End, OnReuse::Refuse] {
        let world = world(on_reuse);
        let old = world.signed_in().await;
        tokio::time::advance(AFTER + SLACK).await;
        let new = world.read(&old).await.expect("it is due");
        world.read(&new).await;
        tokio::time::advance(GRACE - SLACK).await;
        assert!(world.open(&old).await.contains_key("n"), "within the grace");
        tokio::time::advance(2 * SLACK).await;

        world.store.take_calls();
        let thief = world.open(&old).await;
        assert!(thief.is_empty() && thief.is_gone() && thief.token().is_none());
        let lives = world.sessions.find(&new).await.expect("up").is_some();
        let told = &world.recorder.names()[2..];
        if on_reuse == OnReuse::End {
            let calls = world.store.take_calls();
            assert_eq!(calls[..2], [Call::Load, Call::Destroy]);
            assert!(!lives);
            assert_eq!(told, ["reused", "ended by reuse", "unknown"]);
        } else {
            assert!(lives);
            assert_eq!(told, ["reused"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reuse_is_refused_as_a_failure_if_the_session_could_not_be_ended() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    world.read(&new).await;
    tokio::time::advance(GRACE + SLACK).await;
    world.store.fail_next_destroy();
    world
        .sessions
        .open(Some(&old))
        .await
        .expect_err("not as if nothing were");
    assert!(!world.recorder.names().contains(&"reused"));
    assert!(world.open(&old).await.is_gone());
    assert!(world.recorder.names().contains(&"reused"));
}

#[tokio::test(start_paused = true)]
async fn reuse_is_told_also_if_the_answer_about_the_end_is_lost() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    world.read(&new).await;
    tokio::time::advance(GRACE + SLACK).await;
    world.store.lose_answer_of_next_destroy();
    assert!(world.open(&old).await.is_gone());
    assert_eq!(world.recorder.names()[2..], ["reused", "ended by reuse"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_signed_in_anew_while_reuse_was_judged_is_spared() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    world.read(&new).await;
    tokio::time::advance(GRACE + SLACK).await;
    // The thief's request has loaded the session; before it ends that, its owner signs in again.
    let user = world.open(&new).await;
    world.store.delay_next_destroy(Duration::from_secs(2));
    let (thief, signed_in) = tokio::join!(world.sessions.open(Some(&old)), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        user.reauthenticated().await
    });
    signed_in.expect("signed in");
    assert!(thief.expect("refused").is_gone());
    let token = user.token().expect("stored");
    assert!(world.sessions.find(&token).await.expect("up").is_some());
    assert!(!world.recorder.names().contains(&"reused"));
}

#[tokio::test(start_paused = true)]
async fn reuse_is_not_told_of_a_session_that_lives_on_after_a_lost_attempt_to_end_it() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    world.read(&new).await;
    tokio::time::advance(GRACE + SLACK).await;
    let user = world.open(&new).await;
    world.store.fail_one_destroy();
    // The first attempt gets lost, and before the second the owner signs in again.
    let (thief, signed_in) = tokio::join!(world.sessions.open(Some(&old)), user.reauthenticated());
    signed_in.expect("signed in");
    assert!(thief.expect("refused").is_gone());
    let token = user.token().expect("stored");
    assert!(world.sessions.find(&token).await.expect("up").is_some());
    assert!(!world.recorder.names().contains(&"reused"));
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_and_a_sign_out_have_no_grace() {
    for act in ["sign out", "sign in", "cycle"] {
        let world = world(OnReuse::End);
        let first = world.signed_in().await;
        tokio::time::advance(AFTER + SLACK).await;
        let second = world.read(&first).await.expect("it is due");
        let session = world.open(&second).await;
        match act {
            "sign out" => session.destroy().await,
            "sign in" => session.sign_in("u").await,
            _ => session.cycle_id().await,
        }
        .expect("up");
        for dead in [&first, &second] {
            assert!(
                world.sessions.find(dead).await.expect("up").is_none(),
                "{act}"
            );
        }
        let names = world.recorder.names();
        assert!(!names.contains(&"reused"), "{act}: {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_sign_in_the_next_renewal_is_on_time_however_old_the_guest_was() {
    let world = world(OnReuse::End);
    let session = world.sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("saved");
    tokio::time::advance(4 * AFTER).await;
    let session = world.open(&session.token().expect("stored")).await;
    assert!(session.age() >= 4 * AFTER);
    session.sign_in("u").await.expect("signed in");
    let token = session.token().expect("stored");
    tokio::time::advance(AFTER - SLACK).await;
    assert_eq!(world.read(&token).await, None);
    tokio::time::advance(2 * SLACK).await;
    assert!(world.read(&token).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_guests_token_is_not_renewed_so_a_planted_one_is_never_an_alarm() {
    let world = world(OnReuse::End);
    let planter = world.sessions.start();
    planter.insert("n", 1).expect("JSON");
    planter.save().await.expect("saved");
    let planted = planter.token().expect("stored");
    for _ in 0..5 {
        tokio::time::advance(AFTER + SLACK).await;
        assert_eq!(world.read(&planted).await, None);
    }
    let victim = world.open(&planted).await;
    victim.sign_in("u").await.expect("signed in");
    for wait in [Duration::ZERO, 2 * GRACE, 2 * AFTER] {
        tokio::time::advance(wait).await;
        assert!(world.sessions.find(&planted).await.expect("up").is_none());
    }
    let token = victim.token().expect("stored");
    assert!(world.sessions.find(&token).await.expect("up").is_some());
    assert!(!world.recorder.names().contains(&"reused"));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_store_has_lost_again_is_refused_and_no_alarm() {
    let world = world(OnReuse::End);
    let old = world.signed_in().await;
    let before = world.store.snapshot(&old.id()).await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    world.store.roll_back(&old.id(), before).await;
    assert!(world.sessions.find(&new).await.expect("up").is_none());
    assert_eq!(world.recorder.names().last(), Some(&"newer than stored"));
    assert!(world.sessions.find(&old).await.expect("up").is_some());
}

#[tokio::test(start_paused = true)]
async fn judging_does_not_hang_on_whether_this_process_renews() {
    let world = world(OnReuse::End);
    let plain = Sessions::new(world.store.clone());
    let old = world.signed_in().await;
    tokio::time::advance(AFTER + SLACK).await;
    let new = world.read(&old).await.expect("it is due");
    let late = plain.open(Some(&old)).await.expect("up");
    assert_eq!(
        late.token(),
        Some(new.clone()),
        "told by a process that does not renew"
    );
    plain
        .open(Some(&new))
        .await
        .expect("up")
        .touch()
        .await
        .expect("confirmed");
    tokio::time::advance(GRACE + SLACK).await;
    assert!(plain.open(Some(&old)).await.expect("up").is_gone());
}

#[tokio::test(start_paused = true)]
async fn of_many_requests_at_once_one_renews_and_none_loses_anything() {
    for _ in 0..20 {
        let world = world(OnReuse::End);
        let old = world.signed_in().await;
        tokio::time::advance(AFTER + SLACK).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (sessions, token) = (world.sessions.clone(), old.clone());
            tasks.spawn(async move {
                let session = sessions.open(Some(&token)).await.expect("up");
                tokio::task::yield_now().await;
                session.insert(&format!("key {n}"), n).expect("JSON");
                session.save().await.expect("nothing is lost");
                session.token()
            });
        }
        let told = tasks.join_all().await;
        let new = world.read(&old).await.expect("renewed");
        // All are told of the one successor; those that were too early keep what they have.
        for token in told {
            assert!(token == Some(new.clone()) || token == Some(old.clone()));
        }
        let session = world.open(&new).await;
        assert_eq!(session.keys().len(), 8 + 1, "{:?}", session.keys());
        let names = world.recorder.names();
        assert_eq!(names.iter().filter(|name| **name == "renewed").count(), 1);
    }
}

#[tokio::test]
async fn without_renewal_nothing_of_it_happens() {
    let sessions = Sessions::new(Arc::new(Faulty::default()));
    let session = sessions.start();
    session.sign_in("u").await.expect("signed in");
    assert!(!session.renew_if_due().await.expect("up"));
    assert!(!session.is_renewal_near());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_near_for_a_grace_before_it_is_due() {
    let world = world(OnReuse::End);
    let token = world.signed_in().await;
    tokio::time::advance(AFTER - GRACE - SLACK).await;
    assert!(!world.open(&token).await.is_renewal_near());
    tokio::time::advance(2 * SLACK).await;
    assert!(world.open(&token).await.is_renewal_near());
}
