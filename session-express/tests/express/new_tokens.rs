//! A new token in Express' layout is a new id: the session moves, and a sign-out follows it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use session_core::{
    Draft, ErrorKind, Saved, SessionId, SessionStore, Sessions, TokenChange, Version,
};
use session_express::{ExpressLayout, ExpressStore};

use crate::fixture::{HOUR, ROUNDS, done, lives, new_plain_id, store};
use crate::slow::{Faults, Slow};
use crate::support::Memory;

fn setup() -> (Memory, ExpressStore<Memory>) {
    let memory = Memory::default();
    (memory.clone(), store(memory))
}

/// A new session, and its version.
async fn create(store: &impl ExpressLayout) -> (SessionId, Version) {
    let id = new_plain_id();
    let version = store.create(&id, &draft(store, "first")).await;
    (id, done(version))
}

fn draft(store: &impl ExpressLayout, name: &str) -> Draft {
    Draft::new(format!(r#"{{"name":"{name}"}}"#), store.lifetime())
}

/// A draft that gives the session a new token.
fn regenerate(store: &impl ExpressLayout) -> Draft {
    draft(store, "regenerated").with_token(TokenChange::New)
}

#[tokio::test]
async fn a_new_token_is_a_new_id_and_the_old_one_opens_nothing() {
    let (memory, store) = setup();
    let (old, version) = create(&store).await;
    let calls = memory.calls.load(SeqCst);
    let version = done(store.save(&old, &regenerate(&store), &version).await);
    assert_eq!(memory.calls.load(SeqCst) - calls, 1, "one round trip");
    let new = version.moved_to().expect("another id").clone();
    assert!(new.is_secret() && new != old);
    assert!(!lives(&store, &old).await);
    let read = store.load(&new).await.expect("read").expect("there");
    assert_eq!(read.data, r#"{"name":"regenerated"}"#);
    let next = done(store.save(&new, &draft(&store, "next"), &version).await);
    assert_eq!(memory.calls.load(SeqCst) - calls, 4, "its value is known");
    assert_eq!(next.moved_to(), None);
    let stale = store.save(&old, &draft(&store, "late"), &version).await;
    assert_eq!(stale.expect("answered"), Saved::Gone);
    assert_eq!(memory.text(old.as_str()), None);
}

#[tokio::test]
async fn a_new_token_for_another_version_or_for_nothing_moves_nothing() {
    let (memory, store) = setup();
    let (id, first) = create(&store).await;
    let second = done(store.save(&id, &draft(&store, "second"), &first).await);
    let calls = memory.calls.load(SeqCst);
    let moved = store.save(&id, &regenerate(&store), &first).await;
    assert_eq!(moved.expect("answered"), Saved::Conflict);
    let ended = store.destroy(&id, None).await.expect("answered");
    assert!(ended.is_some());
    assert_eq!(memory.calls.load(SeqCst) - calls, 3, "no id to follow");
    let moved = store.save(&id, &regenerate(&store), &second).await;
    assert_eq!(moved.expect("answered"), Saved::Gone);
}

#[tokio::test]
async fn a_repeated_move_whose_answer_was_lost_is_done_under_the_same_id() {
    let (memory, store) = setup();
    let (id, version) = create(&store).await;
    let draft = regenerate(&store);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    assert_eq!(memory.text(id.as_str()), None, "it was done");
    let again = done(store.save(&id, &draft, &version).await);
    let to = again.moved_to().expect("another id");
    assert!(memory.text(to.as_str()).is_some());
    // Once more, as if that answer had been lost too.
    let once_more = done(store.save(&id, &draft, &version).await);
    assert_eq!(once_more, again);
    // Another draft has nothing to move.
    let other = store.save(&id, &regenerate(&store), &version).await;
    assert_eq!(other.expect("answered"), Saved::Gone);
}

#[tokio::test]
async fn a_move_that_did_not_happen_happens_when_it_is_repeated() {
    let (memory, store) = setup();
    let (id, version) = create(&store).await;
    let draft = regenerate(&store);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    // As if the request had been lost and not its answer.
    memory.drain();
    let stored = std::str::from_utf8(version.stored()).expect("JSON");
    memory.put(id.as_str(), stored, HOUR);
    let moved = done(store.save(&id, &draft, &version).await);
    assert!(lives(&store, moved.moved_to().expect("another id")).await);
    assert!(!lives(&store, &id).await);
}

#[tokio::test]
async fn an_unanswered_move_whose_session_was_written_since_is_unknown() {
    let (memory, store) = setup();
    let (id, version) = create(&store).await;
    let draft = regenerate(&store);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    let moved = done(store.save(&id, &draft, &version).await);
    let to = moved.moved_to().expect("another id").as_str();
    memory.put(to, r#"{"cookie":{},"by":"Express"}"#, HOUR);
    let again = store.save(&id, &draft, &version).await;
    assert_eq!(again.expect("answered"), Saved::Unknown);
    // Express has overwritten the old id.
    memory.put(id.as_str(), r#"{"cookie":{},"by":"Express"}"#, HOUR);
    let again = store.save(&id, &draft, &version).await;
    assert_eq!(again.expect("answered"), Saved::Unknown);
}

#[tokio::test]
async fn a_sign_out_after_an_unanswered_move_ends_the_session_under_both_ids() {
    let (memory, store) = setup();
    let (id, version) = create(&store).await;
    let draft = regenerate(&store);
    memory.cut.store(true, SeqCst);
    let lost = store.save(&id, &draft, &version).await;
    lost.expect_err("the answer was lost");
    let ended = store.destroy(&id, None).await.expect("answered");
    assert_eq!(ended.expect("it lived").id, id);
    let left = memory.len();
    assert_eq!(left, 0, "under neither id");
    let again = store.save(&id, &draft, &version).await;
    // The move may have been made before the session ended.
    assert_eq!(again.expect("answered"), Saved::Unknown);
}

#[tokio::test]
async fn a_sign_out_by_an_old_id_follows_the_session_over_its_moves() {
    let (memory, store) = setup();
    let (first, version) = create(&store).await;
    let version = done(store.save(&first, &regenerate(&store), &version).await);
    let second = version.moved_to().expect("another id").clone();
    let version = done(store.save(&second, &regenerate(&store), &version).await);
    assert!(version.moved_to().is_some());
    let ended = store.destroy(&first, None).await.expect("answered");
    assert_eq!(ended.expect("it lived").id, first);
    assert_eq!(memory.len(), 0);
}

#[tokio::test]
async fn a_sign_out_beside_a_new_token_is_final() {
    for two_steps in [false, true] {
        for seed in 0..ROUNDS {
            let faults = Faults {
                lost_answers: 0,
                two_steps,
            };
            let memory = Memory::default();
            let store = store(Slow::new(memory.clone(), seed, faults));
            let (id, version) = create(&store).await;
            let draft = regenerate(&store);
            let saving = store.save(&id, &draft, &version);
            let destroying = store.destroy(&id, None);
            // Both orders are tried.
            let (moved, ended) = match seed % 2 {
                0 => tokio::join!(saving, destroying),
                _ => {
                    let (ended, moved) = tokio::join!(destroying, saving);
                    (moved, ended)
                }
            };
            ended.expect("answered");
            let saved = moved.expect("answered");
            let left = memory.len();
            assert_eq!(left, 0, "round {seed}, {two_steps}: {saved:?}");
        }
    }
}

#[tokio::test]
async fn a_sign_out_beside_a_new_token_is_final_when_answers_are_lost() {
    for seed in 0..ROUNDS {
        let faults = Faults {
            lost_answers: 300,
            two_steps: false,
        };
        let memory = Memory::default();
        let quick = store(memory.clone());
        let (id, version) = create(&quick).await;
        let store = store(Slow::new(memory.clone(), seed, faults));
        let draft = regenerate(&store);
        let regenerating = async {
            for _ in 0..3 {
                match store.save(&id, &draft, &version).await {
                    Err(error) if error.kind() == ErrorKind::Unavailable => {}
                    answered => return answered.map(drop),
                }
            }
            Ok(())
        };
        let signing_out = async { while store.destroy(&id, None).await.is_err() {} };
        let ((), regenerated) = tokio::join!(signing_out, regenerating);
        regenerated.expect("answered");
        let left = memory.len();
        assert_eq!(left, 0, "round {seed}");
    }
}

#[tokio::test]
async fn of_two_new_tokens_for_one_session_one_is_made() {
    for seed in 0..ROUNDS {
        let memory = Memory::default();
        let store = store(Slow::new(memory.clone(), seed, Faults::default()));
        let (id, version) = create(&store).await;
        let (one, other) = (regenerate(&store), regenerate(&store));
        let (one, other) = tokio::join!(
            store.save(&id, &one, &version),
            store.save(&id, &other, &version)
        );
        let outcomes = [one.expect("answered"), other.expect("answered")];
        let moved = outcomes.iter().filter(|outcome| outcome.is_done()).count();
        assert_eq!(moved, 1, "round {seed}: {outcomes:?}");
        assert!(outcomes.contains(&Saved::Gone), "round {seed}");
        assert_eq!(memory.len(), 1);
    }
}

#[tokio::test]
async fn a_draft_sent_twice_at_once_moves_the_session_once_and_succeeds_twice() {
    for seed in 0..ROUNDS {
        let memory = Memory::default();
        let store = store(Slow::new(memory.clone(), seed, Faults::default()));
        let (id, version) = create(&store).await;
        let draft = regenerate(&store);
        let (one, other) = tokio::join!(
            store.save(&id, &draft, &version),
            store.save(&id, &draft, &version)
        );
        assert_eq!(done(one), done(other), "round {seed}");
        assert_eq!(memory.len(), 1);
    }
}

#[tokio::test]
async fn the_manager_issues_the_new_token() {
    let (memory, store) = setup();
    let sessions = Sessions::builder(Arc::new(store.clone())).lifetime(store.lifetime());
    let sessions = sessions.build().expect("good rules");
    let session = sessions.start();
    session.insert("cart", "hat").expect("JSON");
    session.save().await.expect("saved");
    let old = session.token().expect("stored");
    session.sign_in("user-1").await.expect("signed in");
    let new = session.token().expect("stored");
    assert_ne!(new, old);
    assert_eq!(memory.text(old.expose()), None);
    assert!(memory.text(new.expose()).expect("there").contains("hat"));
    memory.cut.store(true, SeqCst);
    session.cycle_id().await.expect("cycled, the second time");
    let token = session.token().expect("stored");
    assert_ne!(token, new);
    assert_eq!(memory.len(), 1);
    let again = sessions.open(Some(&token)).await.expect("read");
    assert_eq!(again.get("cart").expect("text"), Some("hat".to_owned()));
    session.destroy().await.expect("destroyed");
    assert_eq!(memory.len(), 0);
}
