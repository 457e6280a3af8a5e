//! The compressed data that the inner store gets, and the data that a load returns.

use session_compressed::CompressedStore;
use session_core::{
    Capabilities, Draft, ErrorKind, Lifetime, Saved, SessionId, SessionStore, SessionToken,
    StoreWrapper,
};
use session_memory::MemoryStore;
use session_sealed::{KeyRing, SealedStore, Secret};

const LIMIT: usize = 64 * 1024;

fn memory() -> MemoryStore {
    let store = MemoryStore::builder().max_data(LIMIT).build();
    store.expect("a good limit")
}

fn text(size: usize) -> String {
    "{\"cart\":[17,18,19]}".chars().cycle().take(size).collect()
}

async fn put(store: &impl SessionStore, data: impl Into<session_core::Bytes>) -> SessionId {
    let id = SessionToken::generate().id();
    let draft = Draft::new(data, Lifetime::default());
    let created = store.create(&id, &draft).await.expect("stored");
    assert!(created.is_done());
    id
}

async fn data(store: &impl SessionStore, id: &SessionId) -> session_core::Bytes {
    let record = store.load(id).await.expect("readable");
    record.expect("there").data
}

#[tokio::test]
async fn sessions_of_before_are_read_and_compressed_when_they_are_saved() {
    let memory = memory();
    let id = put(&memory, text(5_000)).await;
    let store = CompressedStore::builder(memory.clone()).build();
    let store = store.expect("good options");
    let found = store.load(&id).await.expect("up").expect("there");
    assert_eq!(found.data, text(5_000));
    let draft = Draft::new(text(6_000), Lifetime::default());
    let saved = store.save(&id, &draft, &found.version).await.expect("up");
    assert_eq!(saved, Saved::done(&draft));
    assert!(data(&memory, &id).await.len() < 200);
    assert_eq!(data(&store, &id).await, text(6_000));
}

#[tokio::test]
async fn the_limit_holds_before_compression_and_what_fits_fits_uncompressed_too() {
    let store = CompressedStore::builder(memory()).build();
    let store = store.expect("good options");
    let limit = store.capabilities().max_data.expect("a limit");
    assert_eq!(limit, LIMIT - 1);
    let id = SessionToken::generate().id();
    let over = Draft::new(text(limit + 1), Lifetime::default());
    let error = store.create(&id, &over).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // The first byte asks for one more, and nothing of it compresses.
    let mut noise = vec![0xF8];
    let mut state = 1_u32;
    noise.extend((1..limit).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    let id = put(&store, noise.clone()).await;
    assert_eq!(data(&store, &id).await, noise);
}

#[tokio::test]
async fn outside_of_the_seal_it_saves_and_inside_it_does_not() {
    let secret = || Secret::new("k".repeat(32)).expect("long enough");
    let (outer, inner) = (memory(), memory());
    let sealed = SealedStore::new(outer.clone(), &KeyRing::new(secret()));
    let store = CompressedStore::builder(sealed).build();
    let store = store.expect("good options");
    let id = put(&store, text(5_000)).await;
    assert_eq!(data(&store, &id).await, text(5_000));
    assert!(data(&outer, &id).await.len() < 300);
    let compressed = CompressedStore::builder(inner.clone()).build();
    let wrong = SealedStore::new(compressed.expect("good"), &KeyRing::new(secret()));
    let id = put(&wrong, text(5_000)).await;
    assert_eq!(data(&wrong, &id).await, text(5_000));
    assert!(data(&inner, &id).await.len() > 5_000);
}

#[tokio::test]
async fn a_record_that_does_not_decompress_is_corrupt() {
    let memory = memory();
    let id = put(&memory, vec![0xF8, 1, 2, 3]).await;
    let store = CompressedStore::builder(memory).build();
    let error = store.expect("good").load(&id).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// A store whose ids are tokens, as in Express' layouts.
#[derive(Debug)]
struct Plain(MemoryStore);

impl StoreWrapper for Plain {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    fn capabilities(this: &Self) -> Capabilities {
        let mut capabilities = this.0.capabilities();
        capabilities.plain_ids = true;
        capabilities
    }
}

#[test]
fn levels_that_zstd_lacks_and_layouts_of_others_are_refused() {
    for level in [0, 23] {
        let store = CompressedStore::builder(memory()).level(level).build();
        let error = store.expect_err("no such level");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains("from 1 to 22"), "{error}");
    }
    let store = CompressedStore::builder(Plain(memory())).build();
    let error = store.expect_err("Express reads JSON");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}
