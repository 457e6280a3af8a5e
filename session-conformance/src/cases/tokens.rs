//! Tokens on the store: signing in, renewal, and old tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{EndReason, ErrorKind, Event, Lifetime, Observer, SessionToken, Sessions};

use crate::Fixture;
use crate::random::rounds;
use crate::samples::{ms, owner};
use crate::users::{
    GRACE, RENEWED_AFTER, guest, load_page, must_open_nothing, opened, renewing, signed_in,
    two_managers, user,
};

/// How often each race is run, unless `CONFORMANCE_ROUNDS` is set.
const ROUNDS: usize = 20;

/// An observer that records ends and reuses.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<&'static str>>);

impl Recorder {
    fn push(&self, what: &'static str) {
        self.0.lock().expect("whole").push(what);
    }

    fn all(&self) -> Vec<&'static str> {
        self.0.lock().expect("whole").clone()
    }
}

impl Observer for Recorder {
    fn destroyed(&self, _: Event<'_>, reason: EndReason) {
        self.push(match reason {
            EndReason::Reused => "ended by reuse",
            _ => "ended",
        });
    }

    fn reused(&self, _: Event<'_>) {
        self.push("reused");
    }
}

pub(super) async fn two_sign_ins_with_one_session_are_both_signed_in(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    for round in 0..rounds(ROUNDS) {
        let (token, user) = (guest(&managers[0]).await, user(&fixture, round));
        let one = opened(&managers[0], &token).await;
        let two = opened(&managers[1], &token).await;
        let (first, second) = (one.clone(), two.clone());
        let (a, b) = (user.clone(), user.clone());
        let (a, b) = tokio::join!(
            tokio::spawn(async move { first.sign_in(a).await }),
            tokio::spawn(async move { second.sign_in(b).await }),
        );
        a.expect("no panic").expect("sign-in failed");
        b.expect("no panic").expect("sign-in failed");
        for session in [&one, &two] {
            let token = session.token().expect("signed in");
            let again = opened(&managers[0], &token).await;
            assert_eq!(again.owner(), Some(user.clone()), "round {round}");
            assert_eq!(again.get("cart").ok(), Some(Some(1)), "what it had read");
        }
        must_open_nothing(&managers[1], &[token], "signed in").await;
    }
}

pub(super) async fn another_users_sign_in_gets_nothing_of_the_owners(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    let [former, next] = [0, 1].map(|n| user(&fixture, n));
    let old = signed_in(&managers[0], &former).await;
    let [one, two] = [
        opened(&managers[0], &old).await,
        opened(&managers[1], &old).await,
    ];
    for session in [&one, &two] {
        session.insert("changed", 1).expect("JSON");
        session.sign_in(&next).await.expect("sign-in failed");
        let token = session.token().expect("signed in");
        let again = opened(&managers[1], &token).await;
        assert_eq!(again.owner(), Some(next.clone()));
        assert_eq!(
            again.keys(),
            ["changed"],
            "nothing that was the former owner's"
        );
    }
    must_open_nothing(&managers[1], &[old], "another user has signed in").await;
}

pub(super) async fn a_guests_save_beside_a_sign_in_is_kept_or_gone(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    for round in 0..rounds(ROUNDS) {
        let token = guest(&managers[0]).await;
        let signing_in = opened(&managers[0], &token).await;
        let other = opened(&managers[1], &token).await;
        signing_in.insert("secret", "of the user").expect("JSON");
        let (one, two, user) = (signing_in.clone(), other.clone(), user(&fixture, round));
        let (signed_in, saved) = tokio::join!(
            tokio::spawn(async move { one.sign_in(user).await }),
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let update = two.update("n", |n: Option<u32>| {
                    seen.push(two.contains_key("secret"));
                    n.unwrap_or(0) + 1
                });
                let updated = update.await;
                assert!(
                    seen.iter().all(|seen| !seen),
                    "a guest's closure saw the user's data"
                );
                updated
            }),
        );
        signed_in.expect("no panic").expect("sign-in failed");
        let again = opened(&managers[0], &signing_in.token().expect("signed in")).await;
        let kept = again.get::<u32>("n").expect("a number");
        match saved.expect("no panic") {
            Ok(n) => assert_eq!(kept, Some(n), "round {round}: an acknowledged change"),
            Err(error) if error.kind() == ErrorKind::Gone && !error.is_doubtful() => {
                assert_eq!(kept, None, "round {round}")
            }
            Err(error) => panic!("round {round}: {error:?}"),
        }
        assert!(
            !other.contains_key("secret"),
            "a guest's view has the user's data"
        );
    }
}

pub(super) async fn a_sign_in_on_a_session_that_expires_works(fixture: Fixture) {
    let sessions = renewing(&fixture.store());
    let user = user(&fixture, 0);
    for wait in [0_u64, 9, 10, 11, 14] {
        let session = sessions.start();
        session.insert("cart", 1).expect("JSON");
        session
            .set_lifetime(Lifetime::fixed(ms(12)))
            .expect("allowed");
        session.save().await.expect("save failed");
        session
            .set_lifetime(Lifetime::fixed(Duration::from_secs(600)))
            .expect("allowed");
        session.insert("changed", 1).expect("JSON");
        tokio::time::sleep(ms(wait)).await;
        session.sign_in(&user).await.expect("sign-in failed");
        let again = opened(&sessions, &session.token().expect("signed in")).await;
        assert_eq!(again.owner().as_ref(), Some(&user), "after {wait} ms");
        assert_eq!(again.get("changed").ok(), Some(Some(1)));
    }
}

pub(super) async fn a_renewal_is_on_time_after_a_sign_in(fixture: Fixture) {
    let sessions = renewing(&fixture.store());
    let session = opened(&sessions, &guest(&sessions).await).await;
    tokio::time::sleep(3 * RENEWED_AFTER).await;
    session
        .sign_in(owner("late"))
        .await
        .expect("sign-in failed");
    let token = session.token().expect("signed in");
    assert_eq!(
        load_page(&sessions, &token).await,
        Some(token.clone()),
        "not yet"
    );
    tokio::time::sleep(RENEWED_AFTER + ms(20)).await;
    assert_ne!(load_page(&sessions, &token).await, Some(token), "it is due");
}

pub(super) async fn many_requests_at_a_renewal_get_one_token_and_lose_nothing(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    let user = user(&fixture, 0);
    for round in 0..rounds(ROUNDS).div_ceil(4) {
        let token = signed_in(&managers[0], &user).await;
        tokio::time::sleep(RENEWED_AFTER + ms(5)).await;
        let (all, sent) = (managers.clone(), token.clone());
        let received = crate::concurrent::in_parallel(12, move |n| {
            let (sessions, token) = (all[n % 2].clone(), sent.clone());
            async move {
                let session = opened(&sessions, &token).await;
                session.insert(&format!("key {n}"), n).expect("JSON");
                session.save().await.expect("nothing is lost by a renewal");
                session.token()
            }
        })
        .await;
        let new = load_page(&managers[0], &token).await.expect("renewed");
        assert_ne!(new, token, "it was due");
        for received in received {
            let is_right = received == Some(new.clone()) || received == Some(token.clone());
            assert!(
                is_right,
                "round {round}: a response set a token that is not stored"
            );
        }
        let session = opened(&managers[1], &new).await;
        assert_eq!(
            session.keys().len(),
            12 + 1,
            "round {round}: {:?}",
            session.keys()
        );
    }
}

pub(super) async fn a_renewed_token_is_fetched_again_until_it_is_used(fixture: Fixture) {
    let [one, two] = two_managers(&fixture).await;
    let old = signed_in(&one, &user(&fixture, 0)).await;
    tokio::time::sleep(RENEWED_AFTER + ms(20)).await;
    let new = load_page(&one, &old).await.expect("renewed");
    assert_ne!(new, old, "it was due");
    tokio::time::sleep(GRACE + ms(20)).await;
    assert_eq!(load_page(&two, &old).await, Some(new.clone()), "sent again");
    assert_eq!(load_page(&two, &new).await, Some(new.clone()), "confirmed");
    assert_eq!(load_page(&one, &old).await, None, "late, within the grace");
    assert!(one.find(&old).await.expect("find failed").is_some());
}

pub(super) async fn a_reused_old_token_ends_the_session_and_is_reported(fixture: Fixture) {
    let recorder = Arc::new(Recorder::default());
    let store = fixture.store();
    let sessions = Sessions::builder(store.shared())
        .renew_after(RENEWED_AFTER)
        .grace(GRACE)
        .shared_observer(recorder.clone())
        .build()
        .expect("good settings");
    let old = signed_in(&sessions, &user(&fixture, 0)).await;
    tokio::time::sleep(RENEWED_AFTER + ms(20)).await;
    let new = load_page(&sessions, &old).await.expect("renewed");
    load_page(&sessions, &new).await;
    tokio::time::sleep(GRACE + ms(20)).await;
    assert!(
        recorder.all().is_empty(),
        "no reuse yet: {:?}",
        recorder.all()
    );
    let replayed = opened(&sessions, &old).await;
    assert!(replayed.is_empty() && replayed.token().is_none());
    assert_eq!(recorder.all(), ["reused", "ended by reuse"]);
    must_open_nothing(&sessions, &[old, new], "both parties are out").await;
}

pub(super) async fn earlier_and_made_up_tokens_open_nothing_and_end_nothing(fixture: Fixture) {
    let recorder = Arc::new(Recorder::default());
    let sessions = Sessions::builder(fixture.store().shared())
        .renew_after(RENEWED_AFTER)
        .grace(GRACE)
        .shared_observer(recorder.clone())
        .build()
        .expect("good settings");
    let planted = guest(&sessions).await;
    let session = opened(&sessions, &planted).await;
    session
        .sign_in(&user(&fixture, 0))
        .await
        .expect("sign-in failed");
    let other = guest(&sessions).await;
    let made_up = format!("{}{}", &planted.expose()[..16], &other.expose()[16..]);
    let made_up = SessionToken::parse(&made_up).expect("shaped");
    for wait in [Duration::ZERO, GRACE + ms(20)] {
        tokio::time::sleep(wait).await;
        must_open_nothing(&sessions, &[planted.clone(), made_up.clone()], "refused").await;
    }
    let token = session.token().expect("signed in");
    assert!(sessions.find(&token).await.expect("find failed").is_some());
    assert!(recorder.all().is_empty(), "{:?}", recorder.all());
}

pub(super) async fn a_handle_knows_when_its_session_ends_or_is_signed_in(fixture: Fixture) {
    let [one, two] = two_managers(&fixture).await;
    let token = guest(&one).await;
    let socket = opened(&one, &token).await;
    assert!(socket.is_live().await.expect("is_live failed"));
    let session = opened(&two, &token).await;
    session
        .sign_in(&user(&fixture, 0))
        .await
        .expect("sign-in failed");
    assert!(
        !socket.is_live().await.expect("is_live failed"),
        "a guest's socket"
    );
    let socket = opened(&one, &session.token().expect("signed in")).await;
    assert!(socket.is_live().await.expect("is_live failed"));
    session.destroy().await.expect("destroy failed");
    assert!(!socket.is_live().await.expect("is_live failed"));
}

pub(super) async fn an_id_opens_nothing(fixture: Fixture) {
    let sessions = Sessions::new(fixture.store().shared());
    let token = guest(&sessions).await;
    let session = opened(&sessions, &token).await;
    let id = session.id().expect("stored");
    assert!(
        !id.is_secret(),
        "the id of a session with a credential is public"
    );
    for presented in [
        SessionToken::plain(id.as_str()),
        SessionToken::foreign(id.as_str()),
    ] {
        let presented = presented.expect("an id has 1 to 255 bytes");
        let found = sessions.find(&presented).await.expect("find failed");
        assert!(found.is_none(), "the id of a session opens it");
    }
    assert!(sessions.find(&token).await.expect("find failed").is_some());
}
