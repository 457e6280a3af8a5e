//! Signing in here, with a session that Express reads too.

use serde_json::json;

use super::setup::{Pair, Store};

pub(crate) async fn another_users_sign_in_here_drops_what_is_the_owners_on_both(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    express.post("/set", &json!({ "cart": ["tea"] })).await;
    rust.post("/sign-in", &json!({ "user": "ann" })).await;
    express.post("/set", &json!({ "address": "Ann's" })).await;
    let ours = rust.get("/session").await.json();
    let all = json!({ "cart": ["tea"], "address": "Ann's" });
    assert_eq!((&ours["owner"], &ours["data"]), (&json!("ann"), &all));

    rust.post("/sign-in", &json!({ "user": "ben" })).await;
    let ours = rust.get("/session").await.json();
    assert_eq!((&ours["owner"], &ours["data"]), (&json!("ben"), &json!({})));
    let theirs = express.get("/session").await.json();
    for key in ["cart", "address"] {
        assert!(theirs["data"].get(key).is_none(), "{theirs}");
    }
    express.post("/set", &json!({ "theme": "dark" })).await;
    let ours = rust.get("/session").await.json();
    let all = json!({ "theme": "dark" });
    assert_eq!((&ours["owner"], &ours["data"]), (&json!("ben"), &all));
}

/// Express' records don't say when Express has signed a user in.
pub(crate) async fn only_a_sign_in_here_is_a_recent_authentication(store: Store) {
    let Pair { express, rust, .. } = &Pair::start(store).await;
    let recent = async || rust.get("/recent").await.status;
    express.post("/login", &json!({ "user": "ann" })).await;
    assert_eq!(recent().await, 401, "a session that Express began");
    rust.post("/set", &json!({ "seen": true })).await;
    assert_eq!(recent().await, 401, "the same, saved here");
    rust.post("/sign-in", &json!({ "user": "ann" })).await;
    assert_eq!(recent().await, 200);
    express.post("/set", &json!({ "after": 1 })).await;
    assert_eq!(recent().await, 200, "Express has written it back");
    // As passport does: the session gets another id there, and keeps the variables.
    express.post("/login", &json!({ "user": "ann" })).await;
    assert_eq!(recent().await, 401, "a sign-in at Express");
}
