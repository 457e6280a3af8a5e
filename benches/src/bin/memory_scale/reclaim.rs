//! A million sessions that are created and then all expire, or do not.

use std::time::{Duration, Instant};

use benches::credential;
use session_core::{Draft, Lifetime, SessionDirectory, SessionId, SessionStore, SessionToken};
use session_memory::MemoryStore;

use super::watch::Watch;
use super::{HOUR, PAYLOAD, SESSIONS};

const LIVE: usize = 1_000;
const GRACE: Duration = Duration::from_secs(1);
/// How long creating the sessions may take, and how long it takes until all have expired.
const CREATION: Duration = Duration::from_secs(20);
const EXPIRY: Duration = Duration::from_secs(10);

/// The resident memory of this process in bytes (Linux).
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|kib| kib.parse::<usize>().ok())
        .unwrap_or(0)
        * 1024
}

fn draft(limit: Duration) -> Draft {
    Draft::new(vec![7; PAYLOAD], Lifetime::fixed(limit)).with_credential(credential())
}

/// Creates the sessions, and uses others while they expire, or, with `longer`, during the same time
/// while they do not.
pub(crate) async fn run(what: &str, longer: Duration) {
    let builder = MemoryStore::builder().max_sessions(2 * SESSIONS);
    let store = builder.expiry_grace(GRACE).build().expect("good settings");
    let before = resident();
    let (began, mut watch) = (Instant::now(), Watch::new());
    let first = began + CREATION;
    for n in 0..SESSIONS {
        let left = (first - Instant::now()) + EXPIRY * n as u32 / SESSIONS as u32;
        let (id, draft) = (SessionToken::generate().id(), draft(left + longer));
        let created = watch.time(store.create(&id, &draft)).await;
        assert!(created.expect("up").is_done());
    }
    assert!(Instant::now() < first, "the first have expired already");
    let bytes = resident().saturating_sub(before) / SESSIONS;
    watch.print(&format!("creating them, {bytes} bytes each"));
    let mut live = Vec::new();
    for _ in 0..LIVE {
        let id = SessionToken::generate().id();
        let created = store.create(&id, &draft(HOUR)).await.expect("up");
        assert!(created.is_done());
        live.push(id);
    }
    while Instant::now() + GRACE < first {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let until = first + EXPIRY + 3 * GRACE;
    use_others(&store, &live, until).await.print(what);
    let left = store.count().await.expect("counted");
    let stay = if longer.is_zero() { 0 } else { SESSIONS };
    assert_eq!(left, (LIVE + stay) as u64, "sessions are left");
}

/// Loads, saves, creates and destroys, until the time is over.
async fn use_others(store: &MemoryStore, live: &[SessionId], until: Instant) -> Watch {
    let (mut watch, mut n) = (Watch::new(), 0);
    while Instant::now() < until {
        n += 1;
        let id = &live[n % live.len()];
        let found = watch.time(store.load(id)).await.expect("loaded");
        let found = found.expect("it lives for an hour");
        let next = draft(HOUR);
        let saved = watch.time(store.save(id, &next, &found.version)).await;
        assert!(saved.expect("up").is_done());
        if n % 10 == 0 {
            let id = SessionToken::generate().id();
            let created = watch.time(store.create(&id, &next)).await;
            assert!(created.expect("up").is_done());
            let destroyed = watch.time(store.destroy(&id, None)).await;
            assert!(destroyed.expect("up").is_some());
            tokio::task::yield_now().await;
        }
    }
    watch
}
