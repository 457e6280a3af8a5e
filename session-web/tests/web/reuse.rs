//! Old tokens that are used again: an answer that was lost, and a thief.

use http::StatusCode;
use session_core::{OnReuse, SessionDirectory};

use crate::browser::Browser;
use crate::probe::Probe;
use crate::site::{GRACE, Heard, RENEW_AFTER, Site, new_cookie, renewing, who_by};

#[tokio::test]
async fn a_lost_answer_is_sent_again_and_a_thief_is_told() {
    for on_reuse in [OnReuse::End, OnReuse::Refuse] {
        let (store, heard) = (Probe::default(), Heard::default());
        let sessions = renewing(&store).on_reuse(on_reuse).observer(heard.clone());
        let app = Site::default().router(sessions.build().expect("good rules"));
        let browser = Browser::new();
        browser.get(&app, "/sign-in/ann").await;
        let old = browser.cookies();
        tokio::time::sleep(RENEW_AFTER).await;

        // Its answer, and that of the next request, are lost.
        let new = new_cookie(&Browser::holding(&old).get(&app, "/who").await);
        tokio::time::sleep(GRACE).await;
        store.taken();
        let again = Browser::holding(&old).get(&app, "/who").await;
        assert_eq!((again.text.as_str(), store.taken()), ("ann", (1, 0, 0)));
        assert_eq!(new_cookie(&again), new, "the same one, without a write");
        new_cookie(&browser.get(&app, "/who").await);
        assert_eq!(browser.cookies(), new);

        assert_eq!(browser.get(&app, "/who").await.text, "ann");
        tokio::time::sleep(GRACE).await;
        assert_eq!(heard.take(), [""; 0]);
        let thief = Browser::holding(&old).get(&app, "/who").await;
        assert_eq!(
            (thief.status, thief.text.as_str()),
            (StatusCode::OK, "nobody")
        );
        assert_eq!(thief.set_cookies(), [""; 0], "neither a new one nor an end");
        let ended = on_reuse == OnReuse::End;
        let mut expected = vec![r#"Some(Owner("ann")) reused"#];
        if ended {
            expected.push(r#"Some(Owner("ann")) ended: Reused"#);
        }
        assert_eq!(heard.take(), expected);
        let left = store.store().count().await.expect("it is up");
        assert_eq!(left, u64::from(!ended), "{on_reuse:?}");
        let who = if ended { "nobody" } else { "ann" };
        assert_eq!(who_by(&app, &new).await, who, "{on_reuse:?}");
    }
}

#[tokio::test]
async fn a_thief_can_store_nothing_and_a_sign_in_makes_another_session() {
    let store = Probe::default();
    let sessions = renewing(&store).on_reuse(OnReuse::Refuse);
    let app = Site::default().router(sessions.build().expect("good rules"));
    let browser = Browser::new();
    browser.get(&app, "/sign-in/ann").await;
    let old = browser.cookies();
    tokio::time::sleep(RENEW_AFTER).await;
    browser.get(&app, "/who").await;
    browser.get(&app, "/who").await;
    tokio::time::sleep(GRACE).await;
    let page = Browser::holding(&old).get(&app, "/set/key").await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!(page.set_cookies(), [""; 0]);
    let own = new_cookie(&Browser::holding(&old).get(&app, "/sign-in/bob").await);
    assert_eq!(who_by(&app, &own).await, "bob");
    assert_eq!(browser.get(&app, "/who").await.text, "ann");
    assert_eq!(browser.get(&app, "/keys").await.text, "secret");
}
