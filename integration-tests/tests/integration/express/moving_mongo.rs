//! Both layouts in one MongoDB database under their default names, beside a running connect-mongo.

use std::sync::Arc;

use integration_tests::servers::{Client, ExpressApp};
use serde_json::json;
use session_core::SessionDirectory;
use session_mongo::MongoStore;
use session_mongo::express::{ExpressStore, MovingStore};
use session_mongo::mongodb;
use session_mongo::mongodb::bson::{Document, doc};
use session_web::SessionLayer;
use session_web::express::Express;

use super::rust_app;
use super::setup::{SECRET, Store, namespace};

#[tokio::test]
async fn sessions_move_between_default_names_and_connect_mongo_goes_on() {
    if Store::Mongo.is_skipped() {
        return;
    }
    // A database of its own, for the names in it are everybody's.
    let database = namespace();
    let url = Store::Mongo
        .url()
        .replace("/app?", &format!("/{database}?"));
    let config = json!({
        "store": "mongo", "url": url, "secret": SECRET,
        "resave": false, "saveUninitialized": false,
    });
    let express = ExpressStore::builder(Express::new(SECRET));
    let express = express.connect(&url).await.expect("set up");
    let native = MongoStore::connect(&url).await.expect("set up");
    let app = ExpressApp::start(&config);
    let moving = MovingStore::new(Arc::new(native.clone()), express);
    let layer = SessionLayer::express_compatible(moving).expect("good options");
    let port = rust_app::serve(layer.build().expect("good options")).await;

    let theirs = Client::new(app.port);
    theirs.post("/login", &json!({ "user": "ann" })).await;
    let ours = theirs.at(port);
    assert_eq!(ours.get("/session").await.json()["data"]["user"], "ann");
    assert_eq!(ours.post("/set", &json!({ "n": 1 })).await.status, 200);
    let moved = ours.get("/session").await.json();
    assert_eq!(moved["data"], json!({ "user": "ann", "n": 1 }));
    assert_eq!(native.count().await.expect("up"), 1);

    // More than one: a unique index on a field that they all lack lets in the first.
    let others: Vec<_> = (0..5).map(|_| Client::new(app.port)).collect();
    for other in &others {
        let signed_in = other.post("/login", &json!({ "user": "bob" })).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    }
    assert_eq!(native.clear().await.expect("up"), 1);
    for other in &others {
        assert_eq!(other.get("/session").await.json()["data"]["user"], "bob");
    }

    // Pointed at our collection, connect-mongo can write there, and `clear` leaves what it wrote.
    let mut astray = config.clone();
    astray["collectionName"] = "session_store".into();
    let app = ExpressApp::start(&astray);
    let astray: Vec<_> = (0..3).map(|_| Client::new(app.port)).collect();
    for client in &astray {
        let signed_in = client.post("/login", &json!({ "user": "eve" })).await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text());
    }
    assert_eq!(native.clear().await.expect("up"), 0);
    for client in &astray {
        assert_eq!(client.get("/session").await.json()["data"]["user"], "eve");
    }
    let error = MongoStore::connect(&url)
        .await
        .expect_err("another program's");
    assert!(error.to_string().contains("expires_1"), "{error}");

    let client = mongodb::Client::with_uri_str(&url)
        .await
        .expect("a good URL");
    let documents = client.database(&database);
    let documents = documents.collection::<Document>("sessions");
    assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 5);
    client.database(&database).drop().await.expect("dropped");
}
