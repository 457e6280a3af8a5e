//! A dropped store leaves no task and no descriptor behind.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use session_core::{Draft, Lifetime, SessionStore, SessionToken, Sessions};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::place::{self, Place, What};
use super::relay::relay;

const SECOND: Duration = Duration::from_secs(1);

/// The sockets of this process that lead to one of `ports`.
fn sockets_to(ports: &[u16]) -> usize {
    let table = fs::read_to_string("/proc/self/net/tcp").expect("Linux shows it");
    // 1: 0100007F:A1B2 0100007F:1538 01 00000000:00000000 00:00000000 00000000 0 0 inode …
    let leads = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(2)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let inode = words.get(9)?;
        ports.contains(&port).then(|| format!("socket:[{inode}]"))
    });
    let leads: HashSet<String> = leads.collect();
    descriptors().filter(|name| leads.contains(name)).count()
}

/// The files of this process in `directory`, deleted ones too.
fn files_in(directory: &Path) -> usize {
    let begin = directory.to_string_lossy().into_owned();
    descriptors()
        .filter(|name| name.starts_with(&begin))
        .count()
}

/// What the descriptors of this process lead to.
fn descriptors() -> impl Iterator<Item = String> {
    let open = fs::read_dir("/proc/self/fd").expect("Linux shows it");
    open.filter_map(|entry| {
        let name = fs::read_link(entry.ok()?.path()).ok()?;
        Some(name.to_string_lossy().into_owned())
    })
}

fn held(place: &Place) -> usize {
    let files = place
        .directory()
        .map(|directory| files_in(directory.path()));
    files.unwrap_or(0) + sockets_to(&place.ports)
}

/// Uses all that opens a connection or begins a task.
async fn make_use_of(store: impl SessionStore + Clone) {
    let draft = Draft::new("{}", Lifetime::idle(60 * SECOND));
    let loads = (0..8).map(|_| {
        let (store, id) = (store.clone(), SessionToken::generate().id());
        tokio::spawn(async move { store.load(&id).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic").expect("up");
    }
    if store.capabilities().plain_ids {
        let id = session_core::SessionId::plain(&"a".repeat(32)).expect("valid");
        assert!(store.create(&id, &draft).await.expect("up").is_done());
        return;
    }
    if let Some(mut notices) = store.notices() {
        // An error says that this server has none.
        let _ = timeout(2 * SECOND, notices.next()).await;
    }
    if let Some(mut invalidations) = store.invalidations(SECOND) {
        let _ = timeout(2 * SECOND, invalidations.next()).await;
    }
    let sessions = Sessions::from(store);
    let session = sessions.start();
    session.sign_in("ann").await.expect("up");
    let stream = timeout(SECOND / 4, session.ended()).await;
    assert!(stream.is_err(), "the session lives");
    session.update("n", |_: Option<u32>| 1).await.expect("up");
    sessions.destroy_owned_by("ann", None).await.expect("up");
    let directory = sessions.store().directory().expect("it lists");
    directory.list(None, 10).await.expect("up");
    directory.clear().await.expect("up");
}

async fn check(place: &Place, what: What) {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let store = place.open(what).await;
    make_use_of(store.clone()).await;
    assert!(held(place) > 0 || place.is_in_memory(), "{}", place.name);
    drop(store);
    let began = Instant::now();
    while held(place) > 0 || tasks() > before {
        assert!(
            began.elapsed() < SECOND,
            "{}, {what:?}: {} descriptors, {} tasks, {before} before",
            place.name,
            held(place),
            tasks(),
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_leaves_no_task_and_no_descriptor_after_a_second() {
    for mut place in tokio::task::block_in_place(place::all) {
        if place.is_shared {
            let (port, url) = relay(&place.url).await;
            (place.ports, place.url) = (vec![port], url);
        }
        for what in place.stores {
            check(&place, *what).await;
        }
    }
}
