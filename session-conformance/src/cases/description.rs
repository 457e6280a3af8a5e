//! Descriptions of sessions: opaque bytes, kept beside data and credential, and given by listings.

use std::sync::Arc;

use session_core::{Description, Draft, ErrorKind, Saved, SessionInfo};

use crate::Fixture;
use crate::concurrent::{in_parallel, together};
use crate::samples::{credential, description, draft, hours, id, noise, owner, secs};

/// No description; the shortest; a usual one; the longest that a session can have.
const SIZES: [usize; 4] = [0, 1, 60, Description::MAX_CONTENT_BYTES];

pub(super) async fn descriptions_of_every_size_are_kept(fixture: Fixture) {
    let store = fixture.store();
    for size in SIZES {
        // Different bytes for both drafts.
        let [first, second] =
            [noise(size), noise(size + 1).slice(1..)].map(|bytes| description(&bytes));
        let first = draft("first").with_description(first);
        let second = draft("second").with_description(second);
        let what = format!("a description of {size} bytes");
        store.must_round_trip(&first, &second, &what).await;
    }
}

/// A store has room for longer ones, which a wrapper around it may need for itself.
pub(super) async fn longer_descriptions_are_kept_whole_or_refused(fixture: Fixture) {
    let store = fixture.store();
    for size in [193, 210, 211, 254, Description::MAX_BYTES] {
        let id = id();
        let draft = draft("long").with_description(description(&noise(size)));
        match store.create(&id, &draft).await {
            Ok(Saved::Done(_)) => {
                let what = format!("a description of {size} bytes");
                store.must_be(&id, &draft, &what).await;
            }
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                store.must_lack(&id, "its description was refused").await;
            }
            other => panic!("a description of {size} bytes is kept or TooLarge, was {other:?}"),
        }
    }
}

pub(super) async fn descriptions_of_every_byte_are_kept(fixture: Fixture) {
    let store = fixture.store();
    let odd: [&[u8]; 12] = [
        b"\0\0",
        b"a\0b",
        b"\xff\xff",
        b"a ",
        b" a",
        b"$a.b",
        b"{\"a\":1}",
        b"' OR '1'='1",
        b"\\0",
        b"\xc3\x28",
        b"a:b|c,d;e",
        "é🦀".as_bytes(),
    ];
    let single = (0..=u8::MAX).map(|byte| vec![byte]);
    let odd: Vec<_> = odd
        .iter()
        .map(|bytes| bytes.to_vec())
        .chain(single)
        .collect();
    together(odd.len(), async |n| {
        let other = &odd[(n + 1) % odd.len()];
        let first = draft("first").with_description(description(&odd[n]));
        let second = draft("second").with_description(description(other));
        let what = format!("the odd description {n}");
        store.must_round_trip(&first, &second, &what).await;
    })
    .await;
}

pub(super) async fn every_save_replaces_the_description(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let mut last = draft("0").with_description(description(b"the first"));
    store.must_create(&id, &last).await;
    for (n, size) in [60, 192, 0, 192, 1, 0, 0, 60].into_iter().enumerate() {
        let next = draft("the same").with_description(description(&noise(size)));
        store.must_replace(&id, &next, last.stamp).await;
        let what = format!("after save {n}, with a description of {size} bytes");
        store.must_be(&id, &next, &what).await;
        last = next;
    }
}

pub(super) async fn touch_leaves_the_description_alone(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    for size in SIZES {
        let id = id();
        let draft = draft("in use").with_description(description(&noise(size)));
        store.must_create(&id, &draft).await;
        for idle in [secs(7_200), secs(5), secs(9_000)] {
            let ttl = other.must_touch(&id, idle).await;
            assert!(ttl.is_some(), "touch of a live session finds it");
            store.must_be(&id, &draft, "touched").await;
        }
    }
}

pub(super) async fn a_write_that_fails_leaves_the_description_alone(fixture: Fixture) {
    let (store, id) = (fixture.store(), id());
    let first = draft("first").with_description(description(b"the right one"));
    store.must_create(&id, &first).await;
    let other = draft("other").with_description(description(b"another"));
    let created = store.create(&id, &other).await.expect("create failed");
    assert_eq!(created, Saved::Conflict, "create of an id that is taken");
    store.must_be(&id, &first, "after such a create").await;
    let saved = store.must_save(&id, &other, other.stamp).await;
    assert_eq!(saved, Saved::Conflict, "a save of another version");
    store.must_be(&id, &first, "after a conflict").await;
}

/// Credential, description, owner, data.
type Pieces = (&'static [u8], &'static [u8], &'static str, &'static [u8]);

/// The content of a field must not shift its boundary to the next.
pub(super) async fn a_description_is_kept_apart_from_its_neighbours(fixture: Fixture) {
    let store = fixture.store();
    let pieces: [Pieces; 7] = [
        (b"ab", b"c", "d", b"e"),
        (b"a", b"bc", "d", b"e"),
        (b"a", b"b", "cd", b"e"),
        (b"", b"ab", "c", b"de"),
        (b"ab", b"", "c", b"de"),
        (b"a\0", b"\0b", "c\0", b"\0"),
        (b"\xff", b"\xff\"}", "{\"", b"\"}"),
    ];
    for (n, (secret, described, whose, data)) in pieces.into_iter().enumerate() {
        let with = |secret, described| {
            Draft::new(data.to_vec(), hours(1))
                .with_owner(owner(whose))
                .with_credential(credential(secret))
                .with_description(description(described))
        };
        let (first, second) = (with(secret, described), with(described, secret));
        store
            .must_round_trip(&first, &second, &format!("session {n}"))
            .await;
    }
    for bytes in [0, 1, 65_535, 65_536] {
        let new = |size| {
            let draft = Draft::new(noise(bytes), hours(1));
            draft.with_description(description(&noise(size)))
        };
        let what = format!("beside {bytes} bytes of data");
        store.must_round_trip(&new(192), &new(0), &what).await;
    }
}

/// What a listing says of each session, without its data.
fn listed<'i>(all: &'i [SessionInfo], id: &session_core::SessionId) -> &'i SessionInfo {
    let info = all.iter().find(|info| info.id == *id);
    info.unwrap_or_else(|| panic!("{id:?} is not listed"))
}

pub(super) async fn listings_give_the_description(fixture: Fixture) {
    let (store, other) = (fixture.store(), fixture.instance().await);
    let ann = owner("ann");
    let sessions = SIZES.map(|size| {
        let draft = draft(&format!("{size}")).with_owner(ann.clone());
        let draft = draft.with_credential(credential(&noise(57)));
        (id(), draft.with_description(description(&noise(size))))
    });
    for (id, draft) in &sessions {
        store.must_create(id, draft).await;
    }
    let (all, owned) = (other.must_list(100).await, other.must_own(&ann).await);
    for (id, draft) in &sessions {
        for info in [listed(&all, id), listed(&owned, id)] {
            let what = format!("listed: the description of {}", info.size);
            assert_eq!(
                Description::stored(info.description.as_ref()),
                Description::stored(draft.description.as_ref()),
                "{what}"
            );
            assert_eq!(info.size, draft.data.len(), "the size of the data");
            assert!(info.last_used().is_some(), "its idle limit ends it first");
        }
    }
    // A save replaces what is listed, and a touch does not.
    let (id, first) = &sessions[2];
    let next = draft("next").with_owner(ann.clone());
    let next = next.with_description(description(b"replaced"));
    store.must_replace(id, &next, first.stamp).await;
    store.must_touch(id, secs(7_200)).await;
    let owned = other.must_own(&ann).await;
    let shown = listed(&owned, id).description.clone();
    assert_eq!(shown, next.description, "listed after a save");
}

pub(super) async fn concurrent_descriptions_are_not_mixed_up(fixture: Fixture) {
    const MANY: usize = 300;
    let own = |n: usize, what: &str| {
        let mut bytes = noise(SIZES[n % SIZES.len()]).to_vec();
        let name = n.to_le_bytes();
        let len = bytes.len().min(name.len());
        bytes[..len].copy_from_slice(&name[..len]);
        draft(&format!("{what} {n}")).with_description(description(&bytes))
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
