//! What an Express app can put into a session and a program in Rust would not.

use serde_json::{Value, json};

use super::setup::{Pair, Store};

/// Members of every object in JavaScript, which express-session drops when it loads a session.
fn members() -> Value {
    json!({
        "user": "u", "toString": "x", "valueOf": 1, "constructor": { "a": 1 }, "hasOwnProperty": 2,
        "isPrototypeOf": null, "inner": { "toString": 1, "_session": { "owner": "admin" } },
    })
}

pub(crate) async fn what_only_javascript_writes_is_carried_and_stops_no_write(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    let inner = members()["inner"].clone();
    assert_eq!(express.post("/set", &members()).await.status, 200);
    let ours = rust.get("/session").await.json();
    assert_eq!(ours["data"], json!({ "user": "u", "inner": inner }));
    let ours = rust.post("/set", &json!({ "seen": true })).await;
    assert_eq!(ours.status, 200, "{}", ours.text());
    let (data, _) = pair.both_see().await;
    assert_eq!(data, json!({ "user": "u", "inner": inner, "seen": true }));

    // Numbers that are read as their neighbours if they are not read exactly.
    let numbers = json!([
        0.975_326_292_508_770_3,
        5e-324,
        1.797_693_134_862_315_7e308,
        0.1
    ]);
    express.post("/set", &json!({ "theirs": numbers })).await;
    rust.post("/set", &json!({ "ours": numbers, "none": null }))
        .await;
    let (data, _) = pair.both_see().await;
    assert_eq!((&data["theirs"], &data["ours"]), (&numbers, &numbers));
    assert_eq!(data.get("none"), Some(&Value::Null));

    // The databases themselves have no documents or columns of JSON that are so deep.
    if matches!(store, Store::MongoDocuments | Store::MysqlJson) {
        return;
    }
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(
        express.post("/set", &json!({ "deep": deep })).await.status,
        200
    );
    let ours = rust.get("/session").await;
    assert!(ours.text().contains("\"user\":\"u\""), "{}", ours.text());
    assert_eq!(rust.post("/set", &json!({ "after": 1 })).await.status, 200);
    let theirs = express.get("/session").await.text();
    let deep = format!("\"deep\":{deep}");
    assert!(
        theirs.contains("\"after\":1") && theirs.contains(&deep),
        "{theirs}"
    );
}

/// Neither one that the app has put where this library keeps the owner, nor one that it has copied.
pub(crate) async fn a_variable_of_the_apps_sets_no_owner(store: Store) {
    let pair = Pair::start(store).await;
    let Pair { express, rust, .. } = &pair;
    let owner = async || rust.get("/session").await.json()["owner"].clone();
    let key = session_express::EXTRA_KEY;
    let forged = json!({ "owner": "admin", "began": 1, "mac": "" });
    let named = json!({ "_session": { "owner": "admin" } });
    express.post("/set", &named).await;
    assert_eq!(owner().await, Value::Null);
    assert_eq!(pair.both_see().await.0, named);

    // Only Express can read it then, and a client that comes here gets a fresh session.
    express.post("/set", &json!({ key: forged })).await;
    let theirs = express.get("/session").await.json()["data"].clone();
    assert_eq!(
        (&theirs["_session"], &theirs[key]),
        (&named["_session"], &forged)
    );
    let ours = rust.get("/session").await.json();
    assert_eq!((&ours["owner"], &ours["data"]), (&Value::Null, &json!({})));
    let ours = rust.post("/set", &json!({ "seen": true })).await;
    assert_eq!(ours.status, 200, "{}", ours.text());
    let (data, _) = pair.both_see().await;
    assert_eq!(data, json!({ "seen": true }));

    // What a sign-in here leaves is kept by Express, and nothing in another session.
    rust.post("/sign-in", &json!({ "user": "ann" })).await;
    assert_eq!(owner().await, "ann");
    express.post("/set", &json!({ "after": 1 })).await;
    assert_eq!(owner().await, "ann", "Express has written it back");
    rust.post("/set", &json!({ "after": 2 })).await;
    assert_eq!(owner().await, "ann");
    let theirs = express.get("/session").await.json()["data"].clone();
    assert_eq!(theirs["seen"], true);
    let copied = theirs[key].clone();
    assert_eq!(copied["owner"], "ann");
    // As an app does that regenerates a session at a sign-in and keeps its variables.
    express
        .post("/regenerate", &json!({ "user": "bob", key: copied }))
        .await;
    let ours = rust.get("/session").await.json();
    assert_eq!(ours["owner"], Value::Null, "it is for another session");
    assert_eq!(ours["data"], json!({ "user": "bob" }));
    rust.post("/set", &json!({ "after": 3 })).await;
    let (data, _) = pair.both_see().await;
    assert_eq!(data, json!({ "user": "bob", "after": 3 }));
}
