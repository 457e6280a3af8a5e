//! Data of many sizes, with every byte.

use session_core::{Bytes, Draft, Error, ErrorKind};

use crate::Fixture;
use crate::checked::CheckedStore;
use crate::samples::{draft, hours, id, ids, noise};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Creates and saves a session with this data, and compares the loaded data each time. A store that
/// declares a smaller limit must refuse the data.
async fn round_trip(fixture: &Fixture, data: Bytes) {
    let store = fixture.store();
    let size = data.len();
    if store
        .capabilities()
        .max_data
        .is_some_and(|limit| size > limit)
    {
        return refuse(&store, data).await;
    }
    let id = id();
    let new = || Draft::new(data.clone(), hours(1));
    let (first, second, third) = (new(), draft("small between"), new());
    store.must_create(&id, &first).await;
    store.must_be(&id, &first, "created").await;
    store.must_replace(&id, &second, first.stamp).await;
    store.must_replace(&id, &third, second.stamp).await;
    store.must_be(&id, &third, "saved").await;
}

/// Checks that create and save refuse this data and change nothing.
async fn refuse(store: &CheckedStore, data: Bytes) {
    let [id, new] = ids();
    let first = draft("small");
    store.must_create(&id, &first).await;
    let large = Draft::new(data, hours(1));
    too_large(store.create(&new, &large).await, "create");
    let saved = store.save(&id, &large, &first.stamp.into()).await;
    too_large(saved, "save");
    store.must_lack(&new, "its create was TooLarge").await;
    store.must_be(&id, &first, "after a save too large").await;
}

fn too_large<T: std::fmt::Debug>(answer: Result<T, Error>, operation: &str) {
    assert!(
        matches!(&answer, Err(error) if error.kind() == ErrorKind::TooLarge),
        "{operation} of more than the store takes must be TooLarge, was {answer:?}"
    );
}

pub(super) async fn data_of_0_bytes_is_kept(fixture: Fixture) {
    round_trip(&fixture, Bytes::new()).await;
}

pub(super) async fn data_of_1_byte_is_kept(fixture: Fixture) {
    for byte in [0, b'"', 0x7f, 0x80, 0xff] {
        round_trip(&fixture, Bytes::from(vec![byte])).await;
    }
}

pub(super) async fn data_of_64_kib_less_1_is_kept(fixture: Fixture) {
    round_trip(&fixture, noise(64 * KIB - 1)).await;
}

pub(super) async fn data_of_64_kib_is_kept(fixture: Fixture) {
    round_trip(&fixture, noise(64 * KIB)).await;
}

pub(super) async fn data_of_64_kib_and_1_is_kept(fixture: Fixture) {
    round_trip(&fixture, noise(64 * KIB + 1)).await;
}

pub(super) async fn data_of_1_mib_is_kept(fixture: Fixture) {
    round_trip(&fixture, noise(MIB)).await;
}

pub(super) async fn data_of_the_declared_limit_is_kept(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let limit = store.capabilities().max_data.expect("needed by this case");
    let draft = Draft::new(noise(limit), hours(1));
    store.must_create(&id, &draft).await;
    store.must_be(&id, &draft, "created").await;
    store.must_end(&id).await;
}

pub(super) async fn data_over_the_declared_limit_is_refused(fixture: Fixture) {
    let store = fixture.store();
    let limit = store.capabilities().max_data.expect("needed by this case");
    refuse(&store, noise(limit + 1)).await;
}

pub(super) async fn data_of_every_byte_is_kept(fixture: Fixture) {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let back: Vec<u8> = (0..=u8::MAX).rev().collect();
    round_trip(&fixture, Bytes::from([every, back].concat())).await;
    for text in [
        "\0",
        "\0\0\0\0",
        "\r\n",
        "null",
        "{\"a\":1}",
        "'; DROP TABLE x; --",
        "\u{feff}",
    ] {
        round_trip(&fixture, Bytes::copy_from_slice(text.as_bytes())).await;
    }
    for not_text in [
        &b"\xc3\x28"[..],
        b"\xf0\x9f\x92",
        b"\xed\xa0\x80",
        b"\x1f\x8b\x08\x00",
    ] {
        round_trip(&fixture, Bytes::copy_from_slice(not_text)).await;
    }
}

pub(super) async fn data_may_grow_and_shrink(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let mut last = draft("");
    store.must_create(&id, &last).await;
    for size in [10, 70 * KIB, 3, 200 * KIB, 0, 17 * KIB] {
        let next = Draft::new(noise(size), hours(1));
        store.must_replace(&id, &next, last.stamp).await;
        store.must_be(&id, &next, "saved").await;
        last = next;
    }
}
