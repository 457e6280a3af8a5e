//! What the traits of tower-sessions ask for, called directly.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::json;
use session_core::{
    Capabilities, Draft, ErrorKind, Record as Stored, Saved, SessionId, StoreWrapper, Version,
};
use session_memory::{MemoryStore, SessionDirectory};
use session_tower_sessions::TowerSessionsStore;
use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::{ExpiredDeletion, SessionStore};

fn adapter() -> (TowerSessionsStore, MemoryStore) {
    let store = MemoryStore::new();
    (over(store.clone()), store)
}

fn over(store: impl session_core::SessionStore) -> TowerSessionsStore {
    TowerSessionsStore::new(store).expect("a native store")
}

fn record(value: u32) -> Record {
    Record {
        id: Id::default(),
        data: [("n".to_owned(), json!(value))].into(),
        expiry_date: OffsetDateTime::now_utc() + Duration::HOUR,
    }
}

/// The only session of the store, as that has it.
async fn only(store: &MemoryStore) -> (SessionId, Stored) {
    let page = store.list(None, 10).await.expect("up");
    let [session] = &page.sessions[..] else {
        panic!("one session: {page:?}");
    };
    let id = session.id.clone();
    let loaded = session_core::SessionStore::load(store, &id).await;
    (id, loaded.expect("up").expect("live"))
}

#[tokio::test]
async fn what_is_created_is_loaded_saved_and_deleted() {
    let (adapter, _) = adapter();
    let mut one = record(1);
    adapter.create(&mut one).await.expect("created");
    let loaded = adapter.load(&one.id).await.expect("up").expect("there");
    assert_eq!((loaded.id, &loaded.data), (one.id, &one.data));
    assert!((loaded.expiry_date - one.expiry_date).abs() < Duration::SECOND);

    one.data.insert("name".to_owned(), json!("Napoleon"));
    adapter.save(&one).await.expect("saved");
    let loaded = adapter.load(&one.id).await.expect("up").expect("there");
    assert_eq!(loaded.data, one.data);

    adapter.delete(&one.id).await.expect("deleted");
    assert_eq!(adapter.load(&one.id).await.expect("up"), None);
    adapter
        .delete(&one.id)
        .await
        .expect("there was none, which is as good");
}

#[tokio::test]
async fn a_create_with_an_id_that_is_taken_gets_another_and_overwrites_nothing() {
    let (adapter, _) = adapter();
    let (mut one, mut two) = (record(1), record(2));
    adapter.create(&mut one).await.expect("created");
    two.id = one.id;
    adapter.create(&mut two).await.expect("created");
    assert_ne!(one.id, two.id);
    for record in [one, two] {
        let loaded = adapter.load(&record.id).await.expect("up");
        assert_eq!(loaded.expect("there").data, record.data);
    }
}

#[tokio::test]
async fn a_save_brings_no_session_back_that_has_ended() {
    let (adapter, store) = adapter();
    let mut ended = record(1);
    adapter.create(&mut ended).await.expect("created");
    adapter.delete(&ended.id).await.expect("deleted");
    let error = adapter.save(&ended).await.expect_err("it has ended");
    assert!(error.to_string().contains("ended"), "{error}");
    assert_eq!(store.count().await.expect("up"), 0);

    let mut expired = record(2);
    adapter.create(&mut expired).await.expect("created");
    store.advance(std::time::Duration::from_secs(3_601));
    adapter.save(&expired).await.expect_err("it has expired");
    assert_eq!(adapter.load(&expired.id).await.expect("up"), None);
    adapter.delete_expired().await.expect("up");
}

/// A limit of tower-sessions, which the README tells of: no store can do otherwise.
#[tokio::test]
async fn a_new_id_in_flight_brings_a_session_back_that_has_ended() {
    let (adapter, store) = adapter();
    let mut record = record(1);
    adapter.create(&mut record).await.expect("created");
    let in_flight = tower_sessions::Session::new(Some(record.id), Arc::new(adapter.clone()), None);
    in_flight.load().await.expect("loaded");
    adapter.delete(&record.id).await.expect("deleted");
    in_flight.cycle_id().await.expect("no error");
    in_flight.save().await.expect("a new session");
    let (id, _) = only(&store).await;
    assert_ne!(in_flight.id(), Some(record.id));
    assert_eq!(
        in_flight.get("n").await.expect("a number"),
        Some(1),
        "{id:?}"
    );
}

#[tokio::test]
async fn a_date_in_the_past_is_an_end() {
    let (adapter, store) = adapter();
    let mut record = record(1);
    let (past, later) = (
        OffsetDateTime::now_utc() - Duration::SECOND,
        record.expiry_date,
    );
    record.expiry_date = past;
    adapter.create(&mut record).await.expect("nothing to do");
    assert_eq!(store.count().await.expect("up"), 0);
    record.expiry_date = later;
    adapter.create(&mut record).await.expect("created");
    record.expiry_date = past;
    adapter.save(&record).await.expect("ended");
    assert_eq!(store.count().await.expect("up"), 0);
}

/// A store whose loads take a moment, in which another writer may come first.
#[derive(Debug, Default)]
struct Slow(MemoryStore);

impl StoreWrapper for Slow {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    async fn load(this: &Self, id: &SessionId) -> session_core::Result<Option<Stored>> {
        let loaded = session_core::SessionStore::load(&this.0, id).await;
        tokio::task::yield_now().await;
        loaded
    }
}

#[tokio::test]
async fn of_saves_at_the_same_time_each_succeeds() {
    let adapter = over(Slow::default());
    let mut one = record(0);
    adapter.create(&mut one).await.expect("created");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=8 {
        let (adapter, id) = (adapter.clone(), one.id);
        tasks.spawn(async move { adapter.save(&Record { id, ..record(n) }).await });
    }
    for saved in tasks.join_all().await {
        saved.expect("saved");
    }
    let loaded = adapter.load(&one.id).await.expect("up").expect("there");
    assert!(loaded.data["n"].as_u64().expect("a number") > 0);
}

#[tokio::test]
async fn a_leaked_store_has_no_usable_id() {
    let (adapter, store) = adapter();
    let mut record = record(1);
    adapter.create(&mut record).await.expect("created");
    let (id, stored) = only(&store).await;
    let credential = stored.credential.clone().expect("a hash");
    let all = [id.as_str().as_bytes(), &stored.data, credential.as_bytes()].concat();
    for secret in [
        record.id.to_string().into_bytes(),
        record.id.0.to_le_bytes().to_vec(),
        record.id.0.to_be_bytes().to_vec(),
        record.id.0.to_string().into_bytes(),
    ] {
        assert!(!all.windows(secret.len()).any(|part| part == secret));
    }
    assert_eq!(
        stored.data.as_ref(),
        br#"{"n":1}"#,
        "JSON, which other programs can read"
    );

    // The name of the record alone opens nothing: its whole hash is compared.
    let session_core::Record {
        version, lifetime, ..
    } = stored;
    let planted = Draft::new(r#"{"n":2}"#, lifetime);
    let saved = session_core::SessionStore::save(&store, &id, &planted, &version).await;
    assert!(saved.expect("up").is_done());
    assert_eq!(adapter.load(&record.id).await.expect("up"), None);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_costs_its_client_the_session_and_no_more() {
    let (adapter, store) = adapter();
    let mut record = record(1);
    adapter.create(&mut record).await.expect("created");
    let (id, stored) = only(&store).await;
    let broken = Draft::new("[1]", stored.lifetime).with_credential(stored.credential);
    let saved = session_core::SessionStore::save(&store, &id, &broken, &stored.version).await;
    assert!(saved.expect("up").is_done());
    assert_eq!(adapter.load(&record.id).await.expect("no error"), None);
    adapter.delete(&record.id).await.expect("deleted");
    assert_eq!(store.count().await.expect("up"), 0);
}

/// A store whose answers to writes are lost: it says that it does not know.
#[derive(Clone, Debug, Default)]
struct Doubtful {
    inner: MemoryStore,
    /// Whether it writes what it does not know of.
    writes: Arc<AtomicBool>,
}

impl StoreWrapper for Doubtful {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn save(
        this: &Self,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> session_core::Result<Saved> {
        if this.writes.load(SeqCst) {
            let saved = session_core::SessionStore::save(&this.inner, id, draft, expected).await?;
            assert!(saved.is_done());
        }
        Ok(Saved::Unknown)
    }
}

#[tokio::test]
async fn a_save_without_an_answer_is_told_as_what_it_was() {
    let store = Doubtful::default();
    let adapter = over(store.clone());
    let mut one = record(1);
    adapter.create(&mut one).await.expect("created");
    let error = adapter
        .save(&Record {
            id: one.id,
            ..record(2)
        })
        .await;
    let error = error.expect_err("it was not written, and that is not known");
    assert!(error.to_string().contains("unknown"), "{error}");
    store.writes.store(true, SeqCst);
    let saved = adapter
        .save(&Record {
            id: one.id,
            ..record(3)
        })
        .await;
    saved.expect("its stamp is there");
    let loaded = adapter.load(&one.id).await.expect("up").expect("there");
    assert_eq!(loaded.data["n"], 3);
}

/// A store in a layout of another framework.
#[derive(Debug, Default)]
struct Plain(MemoryStore);

impl StoreWrapper for Plain {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    fn capabilities(_: &Self) -> Capabilities {
        Capabilities::new().with_plain_ids(true)
    }
}

#[test]
fn a_store_in_an_express_layout_is_refused() {
    let refused = TowerSessionsStore::new(Plain::default());
    let error = refused.expect_err("its ids are secrets");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}
