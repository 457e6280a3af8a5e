//! Listings, owners, and ends from elsewhere.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use session_core::{Owner, Sessions};
use support::{Faulty, Recorder};

fn sessions() -> (Sessions, Recorder) {
    let recorder = Recorder::default();
    let sessions = Sessions::builder(Arc::new(Faulty::default()))
        .observer(recorder.clone())
        .build()
        .expect("good rules");
    (sessions, recorder)
}

#[tokio::test]
async fn log_out_everywhere_else() {
    let (sessions, recorder) = sessions();
    let owner = Owner::new("u").expect("valid");
    let mut devices = Vec::new();
    for device in ["phone", "laptop", "tablet"] {
        let session = sessions.start();
        session.insert("device", device).expect("a string");
        session.sign_in(&owner).await.expect("saved");
        devices.push(session);
    }
    assert_eq!(sessions.owned_by(&owner).await.expect("listed").len(), 3);
    let here = devices[0].id();
    let ended = sessions.destroy_owned_by(&owner, here.as_ref()).await;
    assert_eq!(ended.ok(), Some(2));
    assert_eq!(recorder.names()[3..], ["revoked", "revoked"]);
    assert!(devices[1].update("x", |_: Option<u32>| 1).await.is_err());
    devices[0]
        .update("x", |_: Option<u32>| 1)
        .await
        .expect("this one lives");
    assert_eq!(
        sessions.destroy(&here.expect("stored")).await.ok(),
        Some(true)
    );
}

#[tokio::test]
async fn only_the_newest_sessions_of_an_owner_are_kept() {
    let (sessions, recorder) = sessions();
    let owner = Owner::new("u").expect("valid");
    let mut devices = Vec::new();
    for device in ["phone", "laptop", "tablet", "television"] {
        let session = sessions.start();
        session.insert("device", device).expect("a string");
        session.sign_in(&owner).await.expect("saved");
        devices.push(session);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The one that signed in first signs in again, which makes it the newest.
    devices[0].reauthenticated().await.expect("saved");
    assert_eq!(sessions.keep_newest(&owner, 2).await.ok(), Some(2));
    assert_eq!(recorder.names()[5..], ["over the limit", "over the limit"]);
    for (n, lives) in [true, false, false, true].into_iter().enumerate() {
        let token = devices[n].token().expect("it was stored");
        let found = sessions.find(&token).await.expect("up");
        assert_eq!(found.is_some(), lives, "device {n}");
    }
    assert_eq!(sessions.keep_newest(&owner, 2).await.ok(), Some(0));
}

#[tokio::test]
async fn all_sessions_are_listed() {
    use futures_util::TryStreamExt;
    let (sessions, _) = sessions();
    for n in 0..1_234 {
        let session = sessions.start();
        session.insert("n", n).expect("a number");
        session.save().await.expect("saved");
    }
    let listed: Vec<_> = sessions
        .list()
        .expect("a directory")
        .try_collect()
        .await
        .expect("listed");
    assert_eq!(listed.len(), 1_234);
    assert_eq!(sessions.count().await.ok(), Some(1_234));
}

#[tokio::test]
async fn an_owner_of_more_sessions_than_a_page_has_is_logged_out_everywhere() {
    let (sessions, recorder) = sessions();
    let owner = Owner::new("u").expect("valid");
    let mut last = None;
    for n in 0..1_234 {
        let session = sessions.start();
        session.insert("n", n).expect("a number");
        session.sign_in(&owner).await.expect("saved");
        last = session.id();
    }
    assert_eq!(sessions.owned_by(&owner).await.expect("up").len(), 1_234);
    let here = last.expect("stored");
    let ended = sessions.destroy_owned_by(&owner, Some(&here)).await;
    assert_eq!(ended.ok(), Some(1_233));
    let left = sessions.owned_by(&owner).await.expect("up");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, here);
    assert_eq!(recorder.names()[1_234..], ["revoked"; 1_233]);
}

#[tokio::test]
async fn the_newest_of_more_sessions_than_a_page_has_are_kept() {
    let (sessions, _) = sessions();
    let owner = Owner::new("u").expect("valid");
    let mut ids = Vec::new();
    for n in 0..1_100 {
        let session = sessions.start();
        session.insert("n", n).expect("a number");
        session.sign_in(&owner).await.expect("saved");
        ids.push(session.id().expect("stored"));
        if n > 1_090 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(sessions.keep_newest(&owner, 3).await.ok(), Some(1_097));
    let mut left: Vec<_> = sessions.owned_by(&owner).await.expect("up");
    left.sort_by_key(|session| std::cmp::Reverse(session.age));
    let left: Vec<_> = left.into_iter().map(|session| session.id).collect();
    assert_eq!(left, ids[1_097..]);
}

/// Applications have a user's id in one of these forms.
#[tokio::test]
async fn an_owner_is_named_by_text_or_number() {
    let (sessions, _) = sessions();
    for n in 0..6 {
        let (session, name) = (sessions.start(), String::from("17"));
        let signed_in = match n {
            0 => session.sign_in(&*name).await,
            1 => session.sign_in(&name).await,
            2 => session.sign_in(name).await,
            3 => session.sign_in(17_u64).await,
            4 => session.sign_in(17).await,
            _ => session.sign_in(Owner::from(17_i64)).await,
        };
        signed_in.expect("saved");
    }
    let name = String::from("17");
    assert_eq!(sessions.owned_by(&name).await.expect("up").len(), 6);
    assert_eq!(sessions.keep_newest(17, 5).await.ok(), Some(1));
    let listed = sessions.list_owned_by(&*name).expect("a directory");
    drop(name);
    assert_eq!(listed.try_collect::<Vec<_>>().await.expect("up").len(), 5);
    assert_eq!(sessions.destroy_owned_by("17", None).await.ok(), Some(5));
    assert!(sessions.owned_by("").await.is_err());
}
