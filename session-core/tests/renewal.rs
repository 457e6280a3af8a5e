//! Renewal: new tokens for sessions in use, and what the old ones open.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Error, Sessions};
use session_memory::MemoryStore;

const AFTER: Duration = Duration::from_millis(200);
const GRACE: Duration = Duration::from_millis(150);

fn sessions() -> Sessions {
    let store = Arc::new(MemoryStore::new());
    let builder = Sessions::builder(store).renew_after(AFTER, GRACE);
    builder.build().expect("good settings")
}

#[tokio::test]
async fn a_token_is_renewed_when_it_is_due_and_the_old_one_reads_for_the_grace() {
    let sessions = sessions();
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("up");
    let old = session.token().expect("stored");
    assert!(!session.renew_if_due().await.expect("up"), "it is not due");
    tokio::time::sleep(AFTER).await;
    let session = sessions.open(Some(&old)).await.expect("up");
    assert!(session.renew_if_due().await.expect("up"), "it is due");
    let new = session.token().expect("stored");
    assert_ne!(new, old);
    assert!(!session.renew_if_due().await.expect("up"), "it is new");

    // A request that was sent with the old token reads and writes the same session.
    let late = sessions.open(Some(&old)).await.expect("up");
    assert_eq!(late.get("n").expect("a number"), Some(1));
    assert_eq!(
        late.token(),
        None,
        "the client has the new one from another request"
    );
    assert_eq!(late.id(), Some(new.id()));
    late.insert("late", true).expect("JSON");
    late.save().await.expect("up");
    assert!(
        !late.renew_if_due().await.expect("up"),
        "an old token renews nothing"
    );
    let session = sessions.open(Some(&new)).await.expect("up");
    assert!(session.contains_key("late"));

    tokio::time::sleep(GRACE).await;
    let late = sessions.open(Some(&old)).await.expect("up");
    assert!(late.is_new(), "the grace is over");
    assert!(!sessions.open(Some(&new)).await.expect("up").is_new());
}

#[tokio::test]
async fn a_sign_in_and_a_sign_out_have_no_grace() {
    for sign_out in [false, true] {
        let sessions = sessions();
        let session = sessions.start();
        session.insert("n", 1).expect("JSON");
        session.save().await.expect("up");
        let first = session.token().expect("stored");
        tokio::time::sleep(AFTER).await;
        session.renew_if_due().await.expect("up");
        let second = session.token().expect("stored");
        if sign_out {
            session.destroy().await.expect("up");
        } else {
            session.cycle_id().await.expect("up");
        }
        for dead in [&first, &second] {
            let opened = sessions.open(Some(dead)).await.expect("up");
            assert!(opened.is_new(), "within the grace, sign-out {sign_out}");
        }
    }
}

#[tokio::test]
async fn a_sign_in_with_an_old_token_gets_a_new_one() {
    let sessions = sessions();
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("up");
    let old = session.token().expect("stored");
    tokio::time::sleep(AFTER).await;
    session.renew_if_due().await.expect("up");
    let late = sessions.open(Some(&old)).await.expect("up");
    late.cycle_id().await.expect("up");
    let token = late.token().expect("its own");
    let opened = sessions.open(Some(&token)).await.expect("up");
    assert_eq!(opened.get("n").expect("a number"), Some(1));
    for dead in [old, session.token().expect("it does not know")] {
        assert!(sessions.open(Some(&dead)).await.expect("up").is_new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_at_once_one_renews_and_none_loses_anything() {
    for _ in 0..20 {
        let sessions = sessions();
        let session = sessions.start();
        session.insert("n", 1).expect("JSON");
        session.save().await.expect("up");
        let old = session.token().expect("stored");
        tokio::time::sleep(AFTER).await;
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..8 {
            let (sessions, token) = (sessions.clone(), old.clone());
            tasks.spawn(async move {
                let session = sessions.open(Some(&token)).await.expect("up");
                session.insert(&format!("key {n}"), n).expect("JSON");
                session.save().await.expect("nothing is lost");
                let renewed = session.renew_if_due().await.expect("up");
                (renewed, session.token())
            });
        }
        let done = tasks.join_all().await;
        let renewed: Vec<_> = done.iter().filter(|(renewed, _)| *renewed).collect();
        assert_eq!(renewed.len(), 1, "one renews");
        let new = renewed[0].1.clone().expect("a new token");
        let session = sessions.open(Some(&new)).await.expect("up");
        assert_eq!(session.keys().len(), 8 + 2, "{:?}", session.keys());
        for (_, token) in &done {
            // Whoever has an old one tells the client nothing.
            assert!(token.is_none() || *token == Some(new.clone()) || *token == Some(old.clone()));
        }
    }
}

#[tokio::test]
async fn a_session_that_ended_is_gone_all_the_same() {
    let sessions = sessions();
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("up");
    let slow = sessions.open(session.token().as_ref()).await.expect("up");
    session.destroy().await.expect("up");
    slow.insert("late", true).expect("JSON");
    assert!(matches!(slow.save().await, Err(Error::Gone)));
}

#[tokio::test]
async fn without_renewal_nothing_of_it_happens() {
    let sessions = Sessions::new(Arc::new(MemoryStore::new()));
    let session = sessions.start();
    session.insert("n", 1).expect("JSON");
    session.save().await.expect("up");
    assert!(!session.renew_if_due().await.expect("up"));
}
