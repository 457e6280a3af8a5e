//! Ids, owners and namespaces are data, compared byte for byte (I11).

use std::collections::BTreeSet;

use session_core::{Draft, ErrorKind, Saved, SessionId};

use crate::Fixture;
use crate::checked::{CheckedStore, ids_of};
use crate::concurrent::together;
use crate::samples::{draft, ended_ids, id, id_of, owner};

/// Texts that a store may confuse with each other or interpret: they differ in case, trailing
/// space, accents or Unicode normalization, or are patterns, quotes, separators, control
/// characters, operators or paths of some database.
const ODD: &[&str] = &[
    "a",
    "A",
    "a ",
    " a",
    "a\t",
    "ab",
    "a\0",
    "a\0b",
    "\0",
    " ",
    "  ",
    "\n",
    "a\r\n",
    "\u{7f}",
    "á",
    "ä",
    "Ä",
    "a\u{301}",
    "\u{e9}",
    "e\u{301}",
    "ß",
    "ss",
    "ẞ",
    "ı",
    "i",
    "I",
    "İ",
    "ſ",
    "s",
    "\u{212a}",
    "k",
    "K",
    "ﬀ",
    "ff",
    "日本",
    "ﾆﾎﾝ",
    "ニホン",
    "🦀",
    "🦀🦀",
    "\u{200b}",
    "\u{feff}",
    "*",
    "a*",
    "?",
    "[a]",
    "[a-z]",
    "[^a]",
    "{a}",
    "{}",
    "{",
    "}",
    "}{",
    "{a}b",
    "a{b",
    "{a}{b}",
    "}}}}",
    "%",
    "a%",
    "_",
    "a_",
    "\\",
    "\\\\",
    "\\0",
    "\\n",
    "$",
    "$a",
    "$$NOW",
    "$where",
    "a.b",
    ".",
    "..",
    "a:b",
    ":",
    "a:",
    "/",
    "../a",
    "'",
    "''",
    "\"",
    "`",
    "``",
    "' OR '1'='1",
    "--",
    "; DROP TABLE sessions",
    "0",
    "00",
    "0x61",
    "1e0",
    "1",
    "-1",
    "null",
    "NULL",
    "true",
    "[]",
    "a,b",
    "a|b",
    "a;b",
    "a=b",
    "a&b",
    "#a",
];

/// The texts, and ids of the maximum length: with characters of one and of four bytes, and two that
/// differ in the last byte only.
fn odd_ids() -> Vec<SessionId> {
    let mut texts: Vec<String> = ODD.iter().map(|&text| text.to_owned()).collect();
    let longest = SessionId::MAX_BYTES;
    texts.push("x".repeat(longest));
    texts.push(format!("{}y", "x".repeat(longest - 1)));
    texts.push("x".repeat(longest - 1));
    texts.push(format!("{}abc", "🦀".repeat(63)));
    texts.push("*".repeat(longest));
    texts.push("\0".repeat(longest));
    texts.iter().map(|text| id_of(text)).collect()
}

/// The texts and names of the maximum length, as in `odd_ids`.
fn odd_owners() -> Vec<String> {
    let mut names: Vec<String> = ODD.iter().map(|&text| text.to_owned()).collect();
    names.push("x".repeat(1024));
    names.push(format!("{}y", "x".repeat(1023)));
    names.push("x".repeat(1023));
    names.push("🦀".repeat(256));
    names
}

fn data_for(id: &SessionId) -> Draft {
    draft(&format!("the data of {}", id.as_str()))
}

pub(super) async fn odd_ids_are_kept_apart(fixture: Fixture) {
    let (store, ids) = (fixture.store(), odd_ids());
    together(ids.len(), async |n| {
        store.must_create(&ids[n], &data_for(&ids[n])).await;
    })
    .await;
    together(ids.len(), async |n| {
        let found = store.must_find(&ids[n]).await;
        assert_eq!(
            found.data,
            data_for(&ids[n]).data,
            "the data of {:?}",
            ids[n]
        );
    })
    .await;
    for (n, id) in ids.iter().enumerate() {
        store.must_end(id).await;
        store.must_lack(id, "it was destroyed").await;
        if let Some(next) = ids.get(n + 1) {
            store.must_find(next).await;
        }
    }
}

pub(super) async fn odd_ids_work_in_every_operation(fixture: Fixture) {
    let store = fixture.store();
    let ids = odd_ids();
    together(ids.len(), async |n| {
        let id = &ids[n];
        let (first, second) = (
            data_for(id),
            draft("saved").with_owner(owner("of an odd id")),
        );
        store.must_create(id, &first).await;
        let again = store.create(id, &draft("again")).await;
        // A driver may fail to decode a server's answer that quotes the id. The store then repeats
        // the create and does not know whether the first was done.
        assert!(
            matches!(again, Ok(Saved::Conflict | Saved::Unknown)),
            "create of {id:?} again is not done, was {again:?}"
        );
        let ttl = store.must_touch(id, crate::samples::hours(2).idle).await;
        assert!(ttl.is_some(), "touch of {id:?} finds it");
        let saved = store.must_replace(id, &second, first.stamp).await;
        store.must_be(id, &second, &format!("{id:?}, saved")).await;
        let ended = store.must_destroy_version(id, first.stamp).await;
        assert_eq!(ended, None, "destroy of another version of {id:?}");
        let ended = store.must_destroy_version(id, saved).await;
        assert!(ended.is_some(), "destroy of the version of {id:?}");
        store.must_lack(id, "its version was destroyed").await;
    })
    .await;
}

pub(super) async fn odd_ids_are_listed_as_they_are(fixture: Fixture) {
    let (store, ids) = (fixture.store(), odd_ids());
    let ann = owner("ann");
    together(ids.len(), async |n| {
        let draft = data_for(&ids[n]).with_owner(ann.clone());
        store.must_create(&ids[n], &draft).await;
    })
    .await;
    let all: BTreeSet<SessionId> = ids.iter().cloned().collect();
    for limit in [7, 1000] {
        check_ids(&store.must_list_ids(limit).await, &all, "list");
    }
    for limit in [7, 1000] {
        let owned = ids_of(&store.must_own_by(&ann, limit).await);
        check_ids(&owned, &all, "owned_by");
    }
    assert_eq!(store.must_count().await, ids.len() as u64, "count");
    let kept = id_of("a");
    let ended = store.must_destroy_owned_by(&ann, Some(&kept)).await;
    assert_eq!(ended.len(), ids.len() - 1, "all ended but one");
    check_ids(
        &store.must_list_ids(1000).await,
        &[kept].into(),
        "what was excepted",
    );
}

/// Compares sets of ids and shows only the differences.
fn check_ids(found: &BTreeSet<SessionId>, expected: &BTreeSet<SessionId>, what: &str) {
    let lacking: Vec<_> = expected.difference(found).map(SessionId::as_str).collect();
    let too_many: Vec<_> = found.difference(expected).map(SessionId::as_str).collect();
    assert!(
        lacking.is_empty() && too_many.is_empty(),
        "{what}: lacks {lacking:?}, has {too_many:?} too many"
    );
}

pub(super) async fn odd_owners_are_kept_apart(fixture: Fixture) {
    let (store, names) = (fixture.store(), odd_owners());
    let ids: Vec<SessionId> = names.iter().map(|_| id()).collect();
    together(names.len(), async |n| {
        let draft = draft("owned").with_owner(owner(&names[n]));
        store.must_create(&ids[n], &draft).await;
    })
    .await;
    together(names.len(), async |n| {
        let (name, only) = (owner(&names[n]), BTreeSet::from([ids[n].clone()]));
        assert_eq!(
            store.must_find(&ids[n]).await.owner,
            Some(name.clone()),
            "as loaded"
        );
        assert_eq!(
            store.must_own_ids(&name).await,
            only,
            "the sessions of {name:?}"
        );
    })
    .await;
    for (n, name) in names.iter().enumerate() {
        let ended = store.must_destroy_owned_by(&owner(name), None).await;
        let only = std::slice::from_ref(&ids[n]);
        assert_eq!(ended_ids(&ended), only, "what ended with {name:?}");
        assert_eq!(ended[0].owner, Some(owner(name)), "the owner returned");
        if let Some(next) = ids.get(n + 1) {
            store.must_find(next).await;
        }
    }
    assert_eq!(store.must_count().await, 0, "all have ended");
}

/// Namespaces with odd prefixes and suffixes.
fn odd_namespaces(base: &str) -> Vec<String> {
    let mut names = Vec::new();
    for end in [
        "b", "*", "?", "[b]", "{b}", "{", "%", "_", ".", ".b", "$", "$b", ":", ":b", "'", "\"",
        "`", "\\", " ", " b", "\t", "\n", "\0", "é", "e\u{301}", "🦀", "-", "/", ";--", "B", "Ä",
    ] {
        names.push(format!("{base}{end}"));
    }
    names.push(format!("*{base}"));
    names.push(format!("${base}"));
    names.push(format!("system.{base}"));
    names.push(format!("{base}{}", "x".repeat(128 - base.len())));
    names
}

/// Opens a store on this namespace; `None` if the store refuses it.
async fn open_odd(fixture: &Fixture, namespace: &str) -> Option<CheckedStore> {
    match fixture.open(namespace).await {
        Ok(store) => Some(store),
        Err(error) if error.kind() == ErrorKind::Misconfigured => None,
        Err(error) => panic!("the namespace {namespace:?} must work or be refused, was {error:?}"),
    }
}

pub(super) async fn odd_namespaces_work_or_are_refused(fixture: Fixture) {
    let names = odd_namespaces(fixture.namespace());
    let opened = together(names.len(), async |n| open_odd(&fixture, &names[n]).await).await;
    let stores: Vec<_> = names.iter().zip(opened).collect();
    let stores: Vec<_> = stores
        .into_iter()
        .filter_map(|(name, store)| Some((name, store?)))
        .collect();
    // The same id everywhere, so that only the namespace separates the sessions.
    let id = id();
    together(stores.len(), async |n| {
        let (name, store) = &stores[n];
        store.must_create(&id, &draft(name)).await;
    })
    .await;
    together(stores.len(), async |n| {
        let (name, store) = &stores[n];
        let found = store.must_find(&id).await;
        assert_eq!(
            found.data,
            draft(name).data,
            "the session of the namespace {name:?}"
        );
        let second = draft("saved");
        store.must_replace(&id, &second, found.version).await;
        store.must_end(&id).await;
    })
    .await;
    fixture
        .store()
        .must_lack(&id, "it was never in this namespace")
        .await;
}

pub(super) async fn the_shortest_namespace_works_or_is_refused(fixture: Fixture) {
    // Another run on the same database may use the namespace, so the case clears nothing.
    let letter = char::from(b'a' + fixture.random().below(26) as u8).to_string();
    let Some(store) = open_odd(&fixture, &letter).await else {
        return;
    };
    let (id, draft) = (id(), draft("one byte"));
    store.must_create(&id, &draft).await;
    assert_eq!(
        store.must_find(&id).await.data,
        draft.data,
        "in a namespace of one byte"
    );
    store.must_end(&id).await;
}

pub(super) async fn clear_leaves_other_namespaces_alone(fixture: Fixture) {
    let base = fixture.namespace().to_owned();
    let mut names = vec![base.clone()];
    names.extend(odd_namespaces(&base));
    let opened = together(names.len(), async |n| open_odd(&fixture, &names[n]).await).await;
    let stores: Vec<_> = names
        .iter()
        .zip(opened)
        .filter_map(|(name, store)| Some((name, store?)))
        .collect();
    let (ids, owner) = ([id(), id_of("a"), id_of("b:a")], owner("of all"));
    together(stores.len(), async |n| {
        for id in &ids {
            let draft = draft("stays").with_owner(owner.clone());
            stores[n].1.must_create(id, &draft).await;
        }
    })
    .await;
    for (cleared, (name, store)) in stores.iter().enumerate() {
        let before = store.must_count().await;
        assert_eq!(
            before,
            ids.len() as u64,
            "sessions in {name:?} before its clear"
        );
        let listed = store.must_list_ids(100).await;
        assert_eq!(
            listed,
            ids.iter().cloned().collect(),
            "sessions listed in {name:?}"
        );
        assert_eq!(store.must_clear().await, before, "cleared of {name:?}");
        assert_eq!(
            store.must_count().await,
            0,
            "left in {name:?} after its clear"
        );
        together(stores.len() - cleared - 1, async |n| {
            let (other, store) = &stores[cleared + 1 + n];
            let count = store.must_count().await;
            assert_eq!(
                count, before,
                "sessions in {other:?} after the clear of {name:?}"
            );
        })
        .await;
    }
}

pub(super) async fn owners_of_other_namespaces_are_others(fixture: Fixture) {
    let other = format!("{}b", fixture.namespace());
    let other = fixture
        .open(&other)
        .await
        .expect("a plain namespace must open");
    let (store, owner) = (fixture.store(), owner("the same name"));
    let (here, there) = (id(), id());
    store
        .must_create(&here, &draft("here").with_owner(owner.clone()))
        .await;
    other
        .must_create(&there, &draft("there").with_owner(owner.clone()))
        .await;
    assert_eq!(
        store.must_own_ids(&owner).await,
        [here].into(),
        "owned here"
    );
    assert_eq!(
        store.must_destroy_owned_by(&owner, None).await.len(),
        1,
        "ended here"
    );
    assert_eq!(
        other.must_own_ids(&owner).await,
        [there].into(),
        "owned there"
    );
}
