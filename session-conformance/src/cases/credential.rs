//! Credentials are opaque bytes, stored unchanged beside data and owner.

use std::sync::Arc;

use session_core::{Credential, Draft, Saved};

use crate::Fixture;
use crate::concurrent::{in_parallel, together};
use crate::samples::{credential, draft, hours, id, noise, owner, secs};

/// No credential; the shortest; a fresh session's; a renewed session's with its trail; the longest.
const SIZES: [usize; 5] = [0, 1, 57, 133, Credential::MAX_BYTES];

/// Bytes that text columns, padded columns, patterns or documents would change.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\0\0\0\0",
    b"a\0",
    b"\0a",
    b"a\0b",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"a\xff",
    b"\xffa",
    b" ",
    b"a ",
    b" a",
    b"a\t\r\n",
    b"$",
    b"$a.b",
    b"${a}",
    b"$ne",
    b"{",
    b"}",
    b"{\"a\":1}",
    b"'",
    b"''",
    b"\"",
    b"\\",
    b"\\0",
    b"\\x00",
    b"`",
    b"' OR '1'='1",
    b"%s%00",
    b"*?[a]",
    b"null",
    b"0",
    b"00",
    b"0x61",
    b"a:b|c,d;e",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\x1f\x8b\x08\x00",
    b"\x80\x81\x82",
    "é🦀".as_bytes(),
];

/// Odd credentials: the bytes above, every single byte, and some bytes repeated to the full length.
fn odd() -> Vec<Option<Credential>> {
    let single = (0..=u8::MAX).map(|byte| vec![byte]);
    let full = [0, 0xff, b' ', b'$', b'{', b'"', b'\'', b'\\', b'a'];
    let full = full.map(|byte| vec![byte; Credential::MAX_BYTES]);
    let odd = ODD.iter().map(|bytes| bytes.to_vec());
    odd.chain(single)
        .chain(full)
        .map(|bytes| credential(&bytes))
        .collect()
}

pub(super) async fn credentials_of_every_size_are_kept(fixture: Fixture) {
    let store = fixture.store();
    for size in SIZES {
        // Different bytes for both drafts.
        let [first, second] =
            [noise(size), noise(size + 1).slice(1..)].map(|bytes| credential(&bytes));
        let first = draft("first").with_credential(first);
        let second = draft("second").with_credential(second);
        let what = format!("a credential of {size} bytes");
        store.must_round_trip(&first, &second, &what).await;
    }
}

pub(super) async fn credentials_of_every_byte_are_kept(fixture: Fixture) {
    let (store, odd) = (fixture.store(), odd());
    together(odd.len(), async |n| {
        let first = draft("first").with_credential(odd[n].clone());
        let second = draft("second").with_credential(odd[(n + 1) % odd.len()].clone());
        let what = format!("the odd credential {n}");
        store.must_round_trip(&first, &second, &what).await;
    })
    .await;
}

pub(super) async fn every_save_replaces_the_credential(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let mut last = draft("0").with_credential(credential(b"the first"));
    store.must_create(&id, &last).await;
    for (n, size) in [57, 133, 0, 192, 1, 0, 0, 57].into_iter().enumerate() {
        let next = draft("the same").with_credential(credential(&noise(size)));
        store.must_replace(&id, &next, last.stamp).await;
        let what = format!("after save {n}, with a credential of {size} bytes");
        store.must_be(&id, &next, &what).await;
        last = next;
    }
}

pub(super) async fn touch_leaves_the_credential_alone(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    for size in SIZES {
        let (id, secret) = (id(), credential(&noise(size)));
        let draft = draft("in use").with_credential(secret);
        store.must_create(&id, &draft).await;
        for idle in [secs(7_200), secs(5), secs(9_000)] {
            let ttl = other.must_touch(&id, idle).await;
            assert!(ttl.is_some(), "touch of a live session finds it");
            store.must_be(&id, &draft, "touched").await;
        }
    }
}

pub(super) async fn a_write_that_fails_leaves_the_credential_alone(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("first").with_credential(credential(b"the right one"));
    store.must_create(&id, &first).await;
    let other = draft("other").with_credential(credential(b"another"));
    let created = store.create(&id, &other).await.expect("create failed");
    assert_eq!(created, Saved::Conflict, "create of an id that is taken");
    store.must_be(&id, &first, "after such a create").await;
    let saved = store.must_save(&id, &other, other.stamp).await;
    assert_eq!(saved, Saved::Conflict, "a save of another version");
    store.must_be(&id, &first, "after a conflict").await;
    // A repeated create finds that it is already stored.
    store.must_create(&id, &first).await;
    store.must_be(&id, &first, "created again").await;
}

/// The content of a field must not shift its boundary to the next.
pub(super) async fn a_credential_is_kept_apart_from_data_and_owner(fixture: Fixture) {
    let store = fixture.store();
    let pieces: [(&[u8], &str, &[u8]); 10] = [
        (b"ab", "c", b"d"),
        (b"a", "bc", b"d"),
        (b"a", "b", b"cd"),
        (b"", "abc", b"d"),
        (b"abcd", "e", b""),
        (b"a\0", "b", b"\0c"),
        (b"a", "\0b\0", b"c"),
        (b"\xff\0", "\u{ff}", b"\xff"),
        (b"\"}", "{\"", b"\"}"),
        (b"'$", "$'", b"{$"),
    ];
    let sessions = pieces.map(|(secret, whose, data)| {
        let draft = Draft::new(data.to_vec(), hours(1));
        let draft = draft.with_owner(owner(whose));
        (id(), draft.with_credential(credential(secret)))
    });
    together(sessions.len(), async |n| {
        store.must_create(&sessions[n].0, &sessions[n].1).await;
    })
    .await;
    for (n, (id, draft)) in sessions.iter().enumerate() {
        store.must_be(id, draft, &format!("session {n}")).await;
    }
}

pub(super) async fn a_credential_is_kept_beside_data_of_every_size(fixture: Fixture) {
    let store = fixture.store();
    for size in SIZES {
        for bytes in [0, 1, 65_535, 65_536] {
            let new = |bytes| Draft::new(noise(bytes), hours(1));
            let first = new(bytes).with_credential(credential(&noise(size)));
            let second = new(bytes / 2).with_credential(credential(&noise(size)));
            let what = format!("{size} bytes of credential beside {bytes} of data");
            store.must_round_trip(&first, &second, &what).await;
        }
    }
}

pub(super) async fn concurrent_credentials_are_not_mixed_up(fixture: Fixture) {
    const MANY: usize = 300;
    let own = |n: usize, what: &str| {
        let mut bytes = noise(SIZES[n % SIZES.len()]).to_vec();
        let name = n.to_le_bytes();
        let len = bytes.len().min(name.len());
        bytes[..len].copy_from_slice(&name[..len]);
        draft(&format!("{what} {n}")).with_credential(credential(&bytes))
    };
    let sessions = (0..MANY).map(|n| (id(), own(n, "created"), own(n + 1, "saved")));
    let sessions: Arc<Vec<_>> = Arc::new(sessions.collect());
    let stores = [fixture.store(), fixture.instance().await];
    in_parallel(MANY, move |n| {
        let (store, sessions) = (stores[n % 2].clone(), sessions.clone());
        async move {
            let (id, first, second) = &sessions[n];
            store.must_create(id, first).await;
            store.must_be(id, first, "created with many others").await;
            store.must_replace(id, second, first.stamp).await;
            store.must_be(id, second, "saved with many others").await;
        }
    })
    .await;
}
