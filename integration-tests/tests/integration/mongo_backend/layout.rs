//! What is in the database: documents, byte for byte, and indexes.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use integration_tests::servers::{self, Kind};
use session_core::{
    Anchor, Credential, Description, Draft, Ended, ErrorKind, Lifetime, Owner, Saved,
    SessionDirectory, SessionId, SessionStore, SessionToken, Stamp, Timeout,
};
use session_mongo::mongodb::bson::{DateTime, Document, RawDocumentBuf, doc};
use session_mongo::mongodb::options::Collation;

use super::{HOUR, database, drop_collection, must_create, name, store};

/// A document as a create leaves it, with the dates of the first of January 2026.
const GOLDEN: [&[u8]; 14] = [
    b"\xd7\0\0\0",
    b"\x02_id\0\x11\0\0\0abcdefghijklmnop\0",
    b"\x05stamp\0\x10\0\0\0\0\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
    b"\x10v\0\x04\0\0\0",
    b"\x05data\0\x07\0\0\0\0{\"a\":1}",
    b"\x05credential\0\x07\0\0\0\0\x01secret",
    b"\x02owner\0\x04\0\0\0ann\0",
    b"\x05description\0\x05\0\0\0\0phone",
    b"\x12idle\0\x80\xee\x36\0\0\0\0\0",
    b"\x0aabsolute\0",
    b"\x09born\0\x00\xa8\xda\x76\x9b\x01\0\0",
    b"\x09deadline\0\x80\x96\x11\x77\x9b\x01\0\0",
    b"\x09due\0\x80\x96\x11\x77\x9b\x01\0\0",
    b"\0",
];
const BORN: DateTime = DateTime::from_millis(1_767_225_600_000);
const DEADLINE: DateTime = DateTime::from_millis(1_767_229_200_000);

fn golden_id() -> SessionId {
    SessionId::from_stored("abcdefghijklmnop").expect("valid")
}

fn golden_draft() -> Draft {
    let credential = Credential::from_stored(b"\x01secret").expect("it fits");
    let mut draft = Draft::new(r#"{"a":1}"#, Lifetime::idle(HOUR))
        .with_owner(Owner::new("ann").ok())
        .with_credential(credential)
        .with_description(Description::from_stored(b"phone").expect("it fits"));
    draft.stamp = Stamp::from_bytes(std::array::from_fn(|n| n as u8));
    draft
}

async fn stored(collection: &str, id: &SessionId) -> Document {
    let documents = database().await.collection::<Document>(collection);
    let found = documents.find_one(doc! { "_id": id.as_str() }).await;
    found.expect("up").expect("it is stored")
}

/// The bytes of a document that lives for an hour, as if it were born with the golden one.
fn bytes_as_of_2026(mut document: Document) -> Vec<u8> {
    let date = |field| *document.get_datetime(field).expect("a date");
    let (born, deadline, due) = (date("born"), date("deadline"), date("due"));
    assert!(born.timestamp_millis() > BORN.timestamp_millis());
    let left = deadline.saturating_duration_since(born);
    assert!((HOUR..HOUR * 2).contains(&left), "{left:?}");
    assert!(due <= deadline, "{due} {deadline}");
    // A field keeps its place.
    document.insert("born", BORN);
    document.insert("deadline", DEADLINE);
    document.insert("due", DEADLINE);
    document.to_vec().expect("bytes")
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_and_saves_write_the_golden_document() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let (id, draft) = (golden_id(), golden_draft());
    must_create(&store, &id, &draft).await;
    let first = stored(&name, &id).await;
    assert_eq!(first.get("deadline"), first.get("due"));
    assert_eq!(bytes_as_of_2026(first), GOLDEN.concat(), "a create");

    for anchor in [Anchor::Keep, Anchor::Restart] {
        let other = Draft::new("long", Lifetime::new(2 * HOUR, 3 * HOUR))
            .with_owner(Owner::new("bob").ok())
            .with_description(Description::from_stored(b"tablet").expect("it fits"));
        let saved = store.save(&id, &other, &draft.stamp.into()).await;
        assert_eq!(saved.expect("up"), Saved::done(&other));
        let credential = stored(&name, &id).await.remove("credential");
        let credential = credential.expect("there");
        assert_eq!(credential.to_string(), "Binary(0x0, )", "none is empty");
        let draft = golden_draft().with_anchor(anchor);
        let saved = store.save(&id, &draft, &other.stamp.into()).await;
        assert_eq!(saved.expect("up"), Saved::done(&draft));
        let bytes = bytes_as_of_2026(stored(&name, &id).await);
        assert_eq!(bytes, GOLDEN.concat(), "a save: {anchor:?}");
    }
    let bare = Draft::new("", Lifetime::idle(HOUR));
    let saved = store.save(&id, &bare, &draft.stamp.into()).await;
    assert_eq!(saved.expect("up"), Saved::done(&bare));
    let document = stored(&name, &id).await;
    let absent = ["owner", "description"].map(|field| document.contains_key(field));
    assert_eq!(absent, [false; 2], "none takes no bytes");
    drop_collection(&name).await;
}

/// Creates and saves of many are other commands than those of one.
#[tokio::test(flavor = "multi_thread")]
async fn batches_write_what_single_operations_do() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let ids: Vec<_> = (0..100).map(|_| SessionToken::generate().id()).collect();
    let draft = golden_draft();
    let before = Draft::new("before", Lifetime::default());
    let creates = ids.iter().enumerate().map(|(n, id)| {
        let draft = if n % 2 == 0 { &draft } else { &before };
        store.create(id, draft)
    });
    for created in join_all(creates).await {
        assert!(created.expect("up").is_done());
    }
    let saves = ids.iter().enumerate().map(|(n, id)| {
        let expected = [draft.stamp, before.stamp][n % 2];
        let (store, draft) = (&store, &draft);
        async move { store.save(id, draft, &expected.into()).await }
    });
    for saved in join_all(saves).await {
        assert_eq!(saved.expect("up"), Saved::done(&draft));
    }
    let golden = Document::from_reader(&GOLDEN.concat()[..]).expect("a document");
    for id in &ids {
        let document = stored(&name, id).await;
        let bytes = bytes_as_of_2026(document);
        let mut document = Document::from_reader(&bytes[..]).expect("a document");
        document.insert("_id", golden_id().as_str());
        // `Document` compares fields by name: an owner that is new comes last.
        assert_eq!(document, golden);
    }
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_index_but_for_ids_owners_and_deadlines() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let (id, mut draft) = (golden_id(), golden_draft());
    draft.owner = None;
    must_create(&store, &id, &draft).await;
    let database = database().await;
    let documents = database.collection::<Document>(&name);
    let indexes = documents.list_indexes().await.expect("up");
    let indexes: Vec<_> = indexes.try_collect().await.expect("up");
    let keys: Vec<_> = indexes.into_iter().map(|index| index.keys).collect();
    let expected = [
        doc! { "_id": 1 },
        doc! { "owner": 1, "_id": 1 },
        doc! { "due": 1 },
    ];
    assert_eq!(keys, expected);
    let validate = database.run_command(doc! { "validate": &name }).await;
    let validated = validate.expect("valid");
    let entries = validated.get_document("keysPerIndex").expect("counted");
    assert_eq!(
        entries,
        &doc! { "_id_": 1, "owner_id": 0, "due_ttl": 1 },
        "without an owner it is in no index of owners"
    );
    drop_collection(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_says_whose_session_it_was_and_how_old() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let (id, draft) = (golden_id(), golden_draft());
    must_create(&store, &id, &draft).await;
    let other = Stamp::generate().into();
    let ended = store.destroy(&id, Some(&other)).await;
    assert_eq!(ended.expect("up"), None, "another version");
    let wait = std::time::Duration::from_millis(50);
    tokio::time::sleep(wait).await;
    let ended = store.destroy(&id, Some(&draft.stamp.into())).await;
    let Some(Ended {
        id: of, owner, age, ..
    }) = ended.expect("up")
    else {
        panic!("it was there");
    };
    assert_eq!((of, owner), (id.clone(), draft.owner));
    assert!(age > Some(wait * 9 / 10) && age < Some(HOUR), "{age:?}");
    assert_eq!(store.destroy(&id, None).await.expect("up"), None);
    drop_collection(&name).await;
}

/// One that another version of this library has written, and ones that somebody has spoilt.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_is_corrupt_and_can_be_ended() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let name = name();
    let store = store(&name).await;
    let ann = Owner::new("ann").expect("valid");
    let documents = database().await.collection::<Document>(&name);
    for spoilt in [
        doc! { "$set": { "v": 5 } },
        doc! { "$set": { "deadline": "soon" } },
        doc! { "$unset": { "deadline": "" } },
        doc! { "$set": { "data": "text" } },
        doc! { "$set": { "credential": vec![1, 2] } },
        doc! { "$set": { "description": "text" } },
    ] {
        for with_its_owner in [false, true] {
            let (id, draft) = (SessionToken::generate().id(), golden_draft());
            must_create(&store, &id, &draft).await;
            let its = doc! { "_id": id.as_str() };
            documents.update_one(its, spoilt.clone()).await.expect("up");
            let error = store.load(&id).await.expect_err("corrupt");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{spoilt}");
            let created = store.create(&id, &golden_draft_again()).await;
            assert_eq!(created.expect("up"), Saved::Conflict, "{spoilt}");
            let _ = store.touch(&id, Timeout::After(HOUR)).await;
            let ended = match with_its_owner {
                false => store.destroy(&id, None).await.expect("up"),
                true => store
                    .destroy_owned_by(&ann, None, 10)
                    .await
                    .expect("up")
                    .pop(),
            };
            let ended = ended.expect("it was there");
            assert_eq!((&ended.id, &ended.owner), (&id, &draft.owner), "{spoilt}");
            assert_eq!(store.load(&id).await.expect("up"), None, "{spoilt}");
        }
    }
    drop_collection(&name).await;
}

fn golden_draft_again() -> Draft {
    let mut draft = golden_draft();
    draft.stamp = Stamp::generate();
    draft
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_folds_letters_is_refused() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let collation = Collation::builder().locale("en").build();
    let created = database.create_collection(&name).collation(collation);
    created.await.expect("created");
    let builder = session_mongo::MongoStore::builder().collection(&name);
    let error = builder.build(database).await.expect_err("A would be a");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("collation"), "{error}");
    drop_collection(&name).await;
}

/// A claim makes an expired session one reaper's, and what is reaped is not found by reading all.
#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_are_reaped_once_with_owner_and_age_and_the_corrupt_ones_too() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let (database, name) = (database().await, name());
    let builder = session_mongo::MongoStore::builder().collection(&name);
    let store = builder.expiry_grace(HOUR).build(database.clone()).await;
    let store = store.expect("set up");
    let brief = Lifetime::idle(std::time::Duration::from_millis(30));
    let mut ids = Vec::new();
    for _ in 0..60 {
        let (id, mut draft) = (SessionToken::generate().id(), golden_draft_again());
        draft.lifetime = brief;
        must_create(&store, &id, &draft).await;
        ids.push(id);
    }
    let kept = golden_id();
    must_create(&store, &kept, &golden_draft()).await;
    let documents = database.collection::<RawDocumentBuf>(&name);
    let its = doc! { "_id": ids[7].as_str() };
    let spoilt = documents.update_one(its, doc! { "$set": { "data": 5, "born": "then" } });
    spoilt.await.expect("up");
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    let (one, other) = tokio::join!(store.reap(100), store.reap(100));
    let mut told: Vec<_> = one
        .expect("up")
        .into_iter()
        .chain(other.expect("up"))
        .collect();
    told.sort_by(|one, other| one.id.cmp(&other.id));
    ids.sort();
    let told_ids: Vec<_> = told.iter().map(|end| end.id.clone()).collect();
    assert_eq!(told_ids, ids);
    assert!(told.iter().all(|end| end.owner == golden_draft().owner));
    assert_eq!(told.iter().filter(|end| end.age.is_none()).count(), 1);
    store.confirm_reaped(&told).await.expect("up");
    assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 1);
    assert!(store.load(&kept).await.expect("up").is_some());
    drop_collection(&name).await;
}
