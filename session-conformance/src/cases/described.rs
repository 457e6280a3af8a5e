//! Descriptions below the manager, as a web application uses them.

use session_core::{Description, ErrorKind, Sessions};

use crate::Fixture;
use crate::counting::Counting;
use crate::samples::ms;
use crate::timing::wait_until;
use crate::users::{RENEWED_AFTER, guest, opened, renewing, two_managers, user};

fn laptop() -> Description {
    let description = Description::new()
        .with_label("Laptop")
        .with_browser("Firefox");
    description.with_shortened_address([203, 0, 113, 7])
}

pub(super) async fn a_described_session_is_recognised(fixture: Fixture) {
    let [here, there] = two_managers(&fixture).await;
    let user = user(&fixture, 0);
    let session = here.start();
    session.describe(laptop()).expect("there is room");
    session.sign_in(&user).await.expect("sign-in failed");
    let listed = there.owned_by(&user).await.expect("owned_by failed");
    let [info] = &listed[..] else {
        panic!("one session is listed: {listed:?}");
    };
    assert_eq!(info.description, Some(laptop()), "listed");
    let used = info.last_used().expect("its idle limit ends it first");
    assert!(used < ms(60_000), "it was used a moment ago, not {used:?}");
    let token = session.token().expect("signed in");
    let again = opened(&there, &token).await;
    assert_eq!(again.description(), Some(laptop()), "opened");
    again.describe(None).expect("nothing needs no room");
    again.save().await.expect("save failed");
    let listed = here.owned_by(&user).await.expect("owned_by failed");
    assert_eq!(listed[0].description, None, "removed");
}

pub(super) async fn a_description_survives_renewals_and_new_tokens(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    let user = user(&fixture, 0);
    let session = opened(&managers[0], &guest(&managers[0]).await).await;
    session.describe(laptop()).expect("there is room");
    session.save().await.expect("save failed");
    session.sign_in(&user).await.expect("sign-in failed");
    let mut token = session.token().expect("signed in");
    wait_until(std::time::Instant::now() + RENEWED_AFTER + ms(50)).await;
    let kept = async |sessions: &Sessions, token: &_, what: &str| {
        let session = opened(sessions, token).await;
        assert_eq!(session.description(), Some(laptop()), "{what}");
        session
    };
    let session = kept(&managers[1], &token, "after a sign-in").await;
    assert!(session.renew_if_due().await.expect("renewal failed"));
    token = session.token().expect("renewed");
    let session = kept(&managers[0], &token, "after a renewal").await;
    session.touch().await.expect("the confirmation failed");
    session.cycle_id().await.expect("cycle_id failed");
    token = session.token().expect("a new token");
    let session = kept(&managers[1], &token, "after a new token").await;
    session.clear();
    session.reauthenticated().await.expect("it failed");
    token = session.token().expect("a new token");
    kept(
        &managers[0],
        &token,
        "after a clear and a re-authentication",
    )
    .await;
}

/// Two requests at the same time: one describes the session, one changes a key.
pub(super) async fn a_description_and_another_change_are_both_kept(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    let token = guest(&managers[0]).await;
    for describes_last in [false, true] {
        let describing = opened(&managers[0], &token).await;
        let changing = opened(&managers[1], &token).await;
        let description = laptop().with_label(format!("{describes_last}"));
        describing
            .describe(description.clone())
            .expect("there is room");
        changing.insert("last", describes_last).expect("JSON");
        let (first, second) = match describes_last {
            true => (&changing, &describing),
            false => (&describing, &changing),
        };
        first.save().await.expect("save failed");
        second
            .save()
            .await
            .expect("the save after a conflict failed");
        let found = opened(&managers[1], &token).await;
        assert_eq!(found.description(), Some(description), "the description");
        let last = found.get("last").expect("JSON");
        assert_eq!(last, Some(describes_last), "the other change");
    }
}

pub(super) async fn too_long_a_description_is_refused(fixture: Fixture) {
    let sessions = renewing(&fixture.store());
    let session = opened(&sessions, &guest(&sessions).await).await;
    session.describe(laptop()).expect("there is room");
    let long = laptop().with_label("x".repeat(200));
    let refused = session.describe(long).expect_err("it is too long");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(refused.to_string().contains("limit of 192"), "{refused}");
    session.save().await.expect("save failed");
    let token = session.token().expect("stored");
    let found = opened(&sessions, &token).await.description();
    assert_eq!(found, Some(laptop()), "the one before it");
}

pub(super) async fn a_description_costs_no_call_of_its_own(fixture: Fixture) {
    let store = Counting::new(fixture.store().shared());
    let sessions = Sessions::new(store.clone());
    let visitor = sessions.start();
    visitor.describe(laptop()).expect("there is room");
    visitor.save().await.expect("save failed");
    assert_eq!(store.take_count(), 0, "an empty session, described");
    visitor.insert("n", 1).expect("JSON");
    visitor.save().await.expect("save failed");
    assert_eq!(store.take_count(), 1, "a session begins, described");
    let token = visitor.token().expect("stored");
    let session = opened(&sessions, &token).await;
    session.describe(laptop()).expect("there is room");
    session.save().await.expect("save failed");
    session.touch().await.expect("touch failed");
    assert_eq!(store.take_count(), 1, "described as it is already");
    session
        .describe(laptop().with_label("Work"))
        .expect("there is room");
    session.save().await.expect("save failed");
    assert_eq!(store.take_count(), 1, "described anew");
}
