//! What a team sees that moves from Express to Rust a route at a time.

use std::time::Duration;

use serde_json::{Value, json};
use session_web::express::Express;

use super::setup::{Pair, SECRET, Store, seconds_left};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn a_user_who_signs_in_on_one_is_signed_in_on_the_other(store: Store) {
    let Pair { express, rust, .. } = &Pair::start(store).await;
    let theirs = express
        .post("/login", &json!({ "user": "napoléon" }))
        .await
        .json();
    let ours = rust.get("/session").await;
    assert_eq!(ours.json()["data"], json!({ "user": "napoléon" }));
    assert_eq!(ours.json()["id"], theirs["id"]);
    assert_eq!(ours.set_cookies(), [""; 0], "the cookie is what it was");

    express.forget("connect.sid");
    let ours = rust.post("/login", &json!({ "user": "joséphine" })).await;
    let cookie = ours.set_cookies()[0].to_owned();
    assert!(cookie.starts_with("connect.sid=s%3A"), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let theirs = express.get("/session").await;
    assert_eq!(theirs.json()["data"]["user"], "joséphine");
    assert_eq!(theirs.json()["id"], ours.json()["id"]);
    assert_eq!(theirs.set_cookies(), [""; 0], "nor do they send another");
}

pub(crate) async fn what_one_adds_the_other_reads_and_keeps(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    express
        .post("/set", &json!({ "a": 1, "b": { "c": [1, 2, 3] } }))
        .await;
    rust.post("/set", &json!({ "d": "from Rust" })).await;
    express.post("/set", &json!({ "e": "from Express" })).await;
    rust.post("/unset", &json!(["a"])).await;
    let (data, _) = pair.both_see().await;
    assert_eq!(
        data,
        json!({ "b": { "c": [1, 2, 3] }, "d": "from Rust", "e": "from Express" })
    );
    express.post("/unset", &json!(["b"])).await;
    rust.post("/set", &json!({ "d": null })).await;
    let (data, _) = pair.both_see().await;
    assert_eq!(data, json!({ "d": null, "e": "from Express" }));
}

pub(crate) async fn values_of_every_kind_survive(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    // A text in a column of type `jsonb` has no NUL.
    let nul = if store == Store::PostgresJsonb {
        ""
    } else {
        "\u{0}"
    };
    let odd = json!({
        "ünï": format!("🍪 \"quotes\" \\ {nul} \u{2028}"),
        "deep": { "a": [{ "b": { "c": [[], {}, null, true, -0.5, 1e-7] } }] },
        "empty": "", "zero": 0, "safe": 9_007_199_254_740_991_i64, "float": 0.1,
    });
    rust.post("/set", &odd).await;
    assert_eq!(pair.both_see().await.0, odd);
    express.post("/set", &json!({ "theirs": odd })).await;
    assert_eq!(pair.both_see().await.0["theirs"], odd);

    // Beyond what JavaScript counts to: whole, as long as only Rust writes the session.
    rust.post("/set", &json!({ "big": 9_007_199_254_740_993_i64 }))
        .await;
    express.get("/session").await;
    rust.post("/set", &json!({ "after": 1 })).await;
    let text = rust.get("/session").await.text();
    // A native JSON column of MySQL keeps it too; a document keeps what it was given.
    assert!(text.contains("\"big\":9007199254740993"), "{text}");

    express.post("/set-date", &json!({ "key": "at" })).await;
    let ours = rust.get("/session").await.json();
    assert_eq!(ours["data"]["at"], "1970-01-01T00:00:00.000Z");
    rust.post("/set", &json!({ "after": 2 })).await;
    let theirs = express.get("/session").await.json();
    assert_eq!(theirs["data"]["at"], "1970-01-01T00:00:00.000Z");
}

pub(crate) async fn a_session_of_200_kb_is_shared(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    let big = "ü".repeat(100_000);
    express.post("/set", &json!({ "theirs": big })).await;
    rust.post("/set", &json!({ "ours": "x".repeat(1_000) }))
        .await;
    let (data, _) = pair.both_see().await;
    assert_eq!(data["theirs"], big);
    assert_eq!(data["ours"].as_str().map(str::len), Some(1_000));
    rust.post("/set", &json!({ "ours": big })).await;
    assert_eq!(pair.both_see().await.0["ours"], big);
}

pub(crate) async fn a_logout_on_either_holds_on_both(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    for (here, there) in [(rust, express), (express, rust)] {
        here.post("/login", &json!({ "user": "u" })).await;
        let cookie = here.cookie("connect.sid").expect("signed in");
        // A slow request of this library is under way, which read the session before.
        let slow = rust.clone();
        let late = json!({ "late": true });
        let slow = async { slow.post("/set?wait=3000", &late).await };
        let logout = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            there.post("/destroy", &json!({})).await
        };
        let (slow, logout) = tokio::join!(slow, logout);
        assert_eq!(logout.status, 200);
        assert_eq!(slow.status, 409, "{}", slow.text());
        for one in [rust, express] {
            one.set_cookie("connect.sid", &cookie);
            assert_eq!(one.get("/session").await.json()["data"], json!({}));
        }
        express.forget("connect.sid");
    }
}

pub(crate) async fn a_new_id_on_either_kills_the_old_one_on_both(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    for (here, there) in [(rust, express), (express, rust)] {
        here.post("/set", &json!({ "cart": 1 })).await;
        let old = here.cookie("connect.sid").expect("a session");
        there.post("/regenerate", &json!({ "user": "u" })).await;
        let new = here.cookie("connect.sid").expect("a session");
        assert_ne!(old, new);
        assert_eq!(pair.both_see().await.0, json!({ "user": "u" }));
        for one in [rust, express] {
            one.set_cookie("connect.sid", &old);
            assert_eq!(one.get("/session").await.json()["data"], json!({}));
        }
        express.forget("connect.sid");
    }
    // Signing in here keeps what was in the session.
    express.post("/set", &json!({ "cart": 1 })).await;
    rust.post("/login", &json!({ "user": "u" })).await;
    assert_eq!(pair.both_see().await.0, json!({ "cart": 1, "user": "u" }));
}

pub(crate) async fn a_lifetime_set_by_one_counts_for_the_other(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    express.post("/set", &json!({ "n": 1 })).await;
    let ttl = store.ttl().as_millis() as u64;
    assert_eq!(rust.get("/session").await.json()["idle"], json!(ttl));

    let both = async |ms: u64| {
        let ours = rust.get("/session").await.json();
        let theirs = express.get("/session").await.json();
        (
            ours["idle"].as_u64(),
            theirs["cookie"]["originalMaxAge"].as_u64(),
            ms,
        )
    };

    // Remembered here, for three.
    let remembered = rust.post("/maxage", &json!({ "ms": 10_800_000 })).await;
    let cookie = remembered.set_cookies()[0].to_owned();
    assert!(cookie.contains("Max-Age=10800"), "{cookie}");
    let (ours, theirs, ms) = both(10_800_000).await;
    assert_eq!((ours, theirs), (Some(ms), Some(ms)));
    let left = rust.get("/session").await.json()["ttl"].as_u64();
    assert!(
        left > Some(10_700_000) && left <= Some(10_801_000),
        "{left:?}"
    );
    let cookie = express.get("/session").await.json()["cookie"].clone();
    assert!(cookie["maxAge"].as_f64() > Some(10_700_000.0), "{cookie}");

    // And a session in Express' own lifetime.
    let theirs = Pair::start_with(
        store,
        json!({ "cookie": { "maxAge": 3_600_000 }, "rolling": true }),
        Express::new(SECRET).max_age(HOUR).rolling(true),
    );
    let pair = theirs.await;
    let Pair { express, rust, .. } = &pair;
    express.post("/set", &json!({ "n": 1 })).await;
    let ours = rust.get("/session").await;
    // Express takes it anew from two readings of the clock, with each request.
    let about_an_hour = |millis: &Value| {
        let millis = millis.as_u64();
        millis > Some(3_599_000) && millis <= Some(3_600_000)
    };
    assert!(about_an_hour(&ours.json()["idle"]), "{}", ours.text());
    let cookies = ours.set_cookies();
    // Rounded up, and a row's end to the nearest second.
    assert!(
        cookies.len() == 1 && cookies[0].contains("Max-Age=360"),
        "rolling: {cookies:?}"
    );
    express.forget("connect.sid");
    rust.post("/set", &json!({ "n": 1 })).await;
    let cookie = express.get("/session").await.json()["cookie"].clone();
    assert!(about_an_hour(&cookie["originalMaxAge"]), "{cookie}");
    assert_eq!(
        (&cookie["httpOnly"], &cookie["path"]),
        (&json!(true), &json!("/"))
    );
}

pub(crate) async fn neither_shortens_the_others_sessions(store: Store) {
    let pair = Pair::start(store).await;
    let Pair {
        express,
        rust,
        namespace,
        ..
    } = &pair;
    let ttl = store.ttl().as_secs() as i64;
    rust.post("/set", &json!({ "n": 1 })).await;
    let id = rust.get("/session").await.json()["id"].clone();
    let id = id.as_str().expect("a session");
    // Some for the time that this takes; the other side's own would be days off, or a day.
    let whole = (ttl - 60)..=(ttl + 2);
    let left = async || seconds_left(store, namespace, id).await;
    assert!(
        whole.contains(&left().await),
        "as we write it: {}",
        left().await
    );
    express.get("/session").await;
    assert!(
        whole.contains(&left().await),
        "as they touch it: {}",
        left().await
    );
    express.post("/set", &json!({ "n": 2 })).await;
    assert!(
        whole.contains(&left().await),
        "as they write it: {}",
        left().await
    );
    rust.post("/set", &json!({ "n": 3 })).await;
    assert!(
        whole.contains(&left().await),
        "as we write over it: {}",
        left().await
    );
}

/// Express' touch leaves `cookie.expires` in the record as it was, and its next explicit save takes
/// that for the session's end. Ours does not.
pub(crate) async fn a_session_in_use_here_is_not_ended_by_a_save_there(store: Store) {
    // Kruptein's records take so much computing that time must be left for it.
    let seconds = if store == Store::MongoKruptein { 16 } else { 6 };
    let limit = Duration::from_secs(seconds);
    let pair = Pair::start_with(
        store,
        json!({ "cookie": { "maxAge": seconds * 1_000 }, "touchAfter": 0 }),
        Express::new(SECRET).max_age(limit),
    );
    let pair = pair.await;
    let Pair { express, rust, .. } = &pair;
    rust.post("/set", &json!({ "user": "u" })).await;
    for _ in 0..4 {
        tokio::time::sleep(limit * 3 / 10).await;
        assert_eq!(rust.get("/session").await.json()["data"]["user"], "u");
    }
    let saved = express.post("/save", &json!({})).await;
    assert_eq!(saved.json()["data"]["user"], "u");
    assert_eq!(rust.get("/session").await.json()["data"]["user"], "u");
    assert_eq!(express.get("/session").await.json()["data"]["user"], "u");
    // Unused, it ends for both.
    tokio::time::sleep(limit + Duration::from_millis(1_600)).await;
    assert_eq!(rust.get("/session").await.json()["data"], json!({}));
    assert_eq!(express.get("/session").await.json()["data"], json!({}));
}

pub(crate) async fn secrets_and_ids_of_other_kinds_are_shared(store: Store) {
    let before = Pair::start_with(
        store,
        json!({ "genid": "uuid", "name": "sid", "secret": "old" }),
        Express::new("new").with_previous("old").name("sid"),
    );
    let before = before.await;
    let id = before.express.post("/set", &json!({ "n": 1 })).await.json()["id"].clone();
    assert_eq!(id.as_str().map(str::len), Some(36), "{id}");
    // Ours verifies by the older secret, and keeps the app's own kind of id.
    let ours = before.rust.post("/set", &json!({ "m": 1 })).await.json();
    assert_eq!(
        (&ours["data"], &ours["id"]),
        (&json!({ "n": 1, "m": 1 }), &id)
    );
    assert_eq!(before.both_see().await.0, json!({ "n": 1, "m": 1 }));

    let after = Pair::start_with(
        store,
        json!({ "secret": ["new", "old"] }),
        Express::new("new").with_previous("old"),
    );
    let after = after.await;
    after.rust.post("/set", &json!({ "n": 2 })).await;
    assert_eq!(after.both_see().await.0, json!({ "n": 2 }));
    let signed = after.rust.cookie("connect.sid").expect("a session");
    after
        .rust
        .set_cookie("connect.sid", &signed.replace("s%3A", "s%3Ax"));
    assert_eq!(after.rust.get("/session").await.json()["data"], json!({}));
}
