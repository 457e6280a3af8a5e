//! Values in connect-mongo's documents: each comes back as it was, or is refused by its name.

use std::sync::Arc;

use integration_tests::servers::{self, Kind};
use serde_json::value::RawValue;
use session_core::{ErrorKind, Sessions};
use session_mongo::express::{Express, ExpressLayout, ExpressStore};
use session_mongo::mongodb::bson::{Bson, Document, doc};

use super::{database, drop_collection, name};

async fn open(name: &str) -> Sessions {
    let builder = ExpressStore::builder(Express::new("secret")).collection(name);
    let store = builder.stringify(false).build(database().await).await;
    let store = store.expect("set up");
    let lifetime = store.lifetime();
    let sessions = Sessions::builder(Arc::new(store)).lifetime(lifetime);
    sessions.build().expect("good rules")
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_names_come_back_as_they_were() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let sessions = open(&name).await;
    // The fractions of the golden ratio's multiples are spread evenly.
    let doubles = (1..300).map(|n| (f64::from(n) * 0.618_033_988_749_894_9).fract());
    let ends = [
        0.975_326_292_508_770_3,
        -0.0,
        f64::MIN,
        f64::MAX,
        f64::from_bits(1),
        1e21,
        1e300,
    ];
    let doubles: Vec<f64> = doubles.chain(ends).collect();
    let whole = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        i64::MAX - 1,
        i64::MAX,
        (1 << 53) + 1,
    ];
    let names = ["$a", "a.b", "", "$a.b", "ä", "__v"];
    let session = sessions.start();
    session.insert("doubles", &doubles).expect("JSON");
    session.insert("whole", whole).expect("JSON");
    for name in names {
        let within = serde_json::json!({ name: { name: 1 } });
        session.insert(&format!("in {name}"), within).expect("JSON");
    }
    for again in 0..2 {
        session.insert("again", again).expect("JSON");
        session.save().await.expect("saved");
        let read = sessions.open(session.token().as_ref()).await.expect("read");
        let found: Vec<f64> = read.get("doubles").expect("numbers").expect("there");
        let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&doubles));
        assert_eq!(read.get("whole").expect("numbers"), Some(whole));
        for name in names {
            let within: Option<serde_json::Value> = read.get(&format!("in {name}")).expect("JSON");
            assert_eq!(
                within,
                Some(serde_json::json!({ name: { name: 1 } })),
                "{name:?}"
            );
        }
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_document_has_no_room_for_is_refused_by_its_name_and_saved_nowhere() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let sessions = open(&name).await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for json in [
        "9223372036854775808",
        "18446744073709551615",
        "1e400",
        r#""\ud800""#,
        r#"{"a\u0000b":1}"#,
        r#"[{"deep":[18446744073709551615]}]"#,
        &deep,
    ] {
        let session = sessions.start();
        session.insert("fine", 1).expect("JSON");
        session.save().await.expect("saved");
        // As a raw value, so that nothing reads it before.
        let value = RawValue::from_string(json.to_owned());
        let Ok(value) = value else { continue };
        if session.insert("cart", value).is_err() {
            continue;
        }
        let error = session.save().await.expect_err(json);
        assert_eq!(error.kind(), ErrorKind::Value, "{json}: {error}");
        assert!(error.to_string().contains("\"cart\""), "{json}: {error}");
        let read = sessions.open(session.token().as_ref()).await.expect("read");
        assert_eq!(read.get("fine").expect("a number"), Some(1));
        assert!(!read.contains_key("cart"));
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_refused_by_its_name_over_an_older_document_too() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let sessions = open(&name).await;
    for json in [
        r#"{"in it":{"\ud800":1}}"#,
        r#"{"in it":{"a":1,"a":2}}"#,
        r#"{"in it":{"list":[{"\udfff":1}]}}"#,
        r#"{"in it":1,"in it":2}"#,
        r#"{"in it":18446744073709551615}"#,
    ] {
        let session = sessions.start();
        let before = serde_json::json!({ "in it": { "a": 0 } });
        session.insert("cart", &before).expect("JSON");
        session.save().await.expect("saved");
        let value = RawValue::from_string(json.to_owned()).expect("JSON");
        session.insert("cart", value).expect("JSON");
        let error = session.save().await.expect_err(json);
        assert_eq!(error.kind(), ErrorKind::Value, "{json}: {error}");
        assert!(error.to_string().contains("\"cart\""), "{json}: {error}");
        let read = sessions.open(session.token().as_ref()).await.expect("read");
        assert_eq!(read.get("cart").expect("JSON"), Some(before));
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_double_that_is_inserted_again_is_no_write() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let sessions = open(&name).await;
    let documents = database().await.collection::<Document>(&name);
    let session = sessions.start();
    session.insert("n", 3.0).expect("JSON");
    session.save().await.expect("saved");
    let read = sessions.open(session.token().as_ref()).await.expect("read");
    let raw: Option<Box<RawValue>> = read.get("n").expect("JSON");
    assert_eq!(raw.expect("there").get(), "3.0");
    let before = documents.find_one(doc! {}).await.expect("up");
    read.insert("n", 3.0).expect("JSON");
    assert!(!read.is_changed(), "so there is nothing to write");
    read.save().await.expect("nothing to save");
    assert_eq!(documents.find_one(doc! {}).await.expect("up"), before);
    read.insert("n", 3).expect("JSON");
    read.save().await.expect("saved");
    let after = documents.find_one(doc! {}).await.expect("up");
    let n = after.expect("there").get_document("session").cloned();
    assert_eq!(n.expect("a document").get("n"), Some(&Bson::Int32(3)));
    drop_collection(&name).await;
}
