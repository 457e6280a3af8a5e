//! Data of every size and every byte.

use session_core::{Bytes, Draft, Error, Saved};

use super::Stage;
use super::fixture::{draft, hours, id, noise, related_ids};
use super::subject::Subject;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Creates a session of this data, saves it, renames it, and compares what comes back each time.
/// A store that declares less than its size must refuse it.
async fn round_trip(stage: &Stage, data: Bytes) {
    let store = stage.store();
    let size = data.len();
    if store
        .capabilities()
        .max_data
        .is_some_and(|limit| size > limit)
    {
        return refuse(&store, data).await;
    }
    let [from, to] = related_ids();
    let new = || Draft::new(data.clone(), hours(1));
    let (first, second, third, fourth) = (new(), draft("small between"), new(), new());
    store.must_create(&from, &first).await;
    check_same(&data, &store.must_find(&from).await.data, "created");
    store.must_replace(&from, &second, first.stamp).await;
    store.must_replace(&from, &third, second.stamp).await;
    check_same(&data, &store.must_find(&from).await.data, "saved");
    store.must_move(&from, &to, &fourth, third.stamp).await;
    check_same(&data, &store.must_find(&to).await.data, "renamed");
}

/// Compares without printing a mebibyte of data.
fn check_same(expected: &Bytes, found: &Bytes, how: &str) {
    if expected == found {
        return;
    }
    let same = expected
        .iter()
        .zip(found)
        .take_while(|(a, b)| a == b)
        .count();
    panic!(
        "{how} {} bytes, read {}: the first {same} are the same",
        expected.len(),
        found.len()
    );
}

/// Checks that no write takes this data, and that each leaves everything as it was.
async fn refuse(store: &Subject, data: Bytes) {
    let [id, to, new] = related_ids();
    let first = draft("small");
    store.must_create(&id, &first).await;
    let large = Draft::new(data, hours(1));
    too_large(store.create(&new, &large).await, "create");
    too_large(store.save(&id, &large, first.stamp).await, "save");
    too_large(store.rename(&id, &to, &large, first.stamp).await, "rename");
    store.must_lack(&new, "its create was TooLarge").await;
    store.must_lack(&to, "the rename to it was TooLarge").await;
    let found = store.must_find(&id).await;
    assert_eq!(
        (found.data, found.stamp),
        (first.data, first.stamp),
        "the session as it was"
    );
}

fn too_large<T: std::fmt::Debug>(answer: Result<T, Error>, operation: &str) {
    assert!(
        matches!(answer, Err(Error::TooLarge { .. })),
        "{operation} of more than the store takes must be TooLarge, was {answer:?}"
    );
}

pub(super) async fn data_of_0_bytes_is_kept(stage: Stage) {
    round_trip(&stage, Bytes::new()).await;
}

pub(super) async fn data_of_1_byte_is_kept(stage: Stage) {
    for byte in [0, b'"', 0x7f, 0x80, 0xff] {
        round_trip(&stage, Bytes::from(vec![byte])).await;
    }
}

pub(super) async fn data_of_64_kib_less_1_is_kept(stage: Stage) {
    round_trip(&stage, noise(64 * KIB - 1)).await;
}

pub(super) async fn data_of_64_kib_is_kept(stage: Stage) {
    round_trip(&stage, noise(64 * KIB)).await;
}

pub(super) async fn data_of_64_kib_and_1_is_kept(stage: Stage) {
    round_trip(&stage, noise(64 * KIB + 1)).await;
}

pub(super) async fn data_of_1_mib_is_kept(stage: Stage) {
    round_trip(&stage, noise(MIB)).await;
}

pub(super) async fn data_of_the_declared_limit_is_kept(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let limit = store.capabilities().max_data.expect("needed by this case");
    let draft = Draft::new(noise(limit), hours(1));
    store.must_create(&id, &draft).await;
    check_same(&draft.data, &store.must_find(&id).await.data, "created");
    assert!(store.must_destroy(&id).await, "destroy of a large session");
}

pub(super) async fn data_over_the_declared_limit_is_refused(stage: Stage) {
    let store = stage.store();
    let limit = store.capabilities().max_data.expect("needed by this case");
    refuse(&store, noise(limit + 1)).await;
}

pub(super) async fn data_of_every_byte_is_kept(stage: Stage) {
    let every: Vec<u8> = (0..=u8::MAX).collect();
    let back: Vec<u8> = (0..=u8::MAX).rev().collect();
    round_trip(&stage, Bytes::from([every, back].concat())).await;
    for text in [
        "\0",
        "\0\0\0\0",
        "\r\n",
        "null",
        "{\"a\":1}",
        "'; DROP TABLE x; --",
        "\u{feff}",
    ] {
        round_trip(&stage, Bytes::copy_from_slice(text.as_bytes())).await;
    }
    for not_text in [
        &b"\xc3\x28"[..],
        b"\xf0\x9f\x92",
        b"\xed\xa0\x80",
        b"\x1f\x8b\x08\x00",
    ] {
        round_trip(&stage, Bytes::copy_from_slice(not_text)).await;
    }
}

pub(super) async fn data_may_grow_and_shrink(stage: Stage) {
    let (store, id) = (stage.store(), id());
    let mut last = draft("");
    store.must_create(&id, &last).await;
    for size in [10, 70 * KIB, 3, 200 * KIB, 0, 17 * KIB] {
        let next = Draft::new(noise(size), hours(1));
        let saved = store.must_save(&id, &next, last.stamp).await;
        assert_eq!(saved, Saved::Done(next.stamp), "a save of {size} bytes");
        check_same(&next.data, &store.must_find(&id).await.data, "saved");
        last = next;
    }
}
