//! Requests on two nodes: what a manager does with copies that are out of date.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_cached::CachedStore;
use session_core::{
    ErrorKind, Event, Lifetime, Observer, Record, Refusal, Result, SessionId, SessionStore,
    SessionToken, Sessions, StoreWrapper,
};
use session_memory::MemoryStore;
use tokio::time::advance;

const LEASE: Duration = Duration::from_secs(3_000);

/// Counts loads.
#[derive(Debug, Default)]
struct Counting {
    inner: MemoryStore,
    loads: AtomicUsize,
}

impl StoreWrapper for Counting {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        this.loads.fetch_add(1, SeqCst);
        this.inner.load(id).await
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("whole"))
    }

    fn note(&self, text: String) {
        self.0.lock().expect("whole").push(text);
    }
}

impl Observer for Notes {
    fn refused(&self, _: &SessionId, why: Refusal) {
        self.note(format!("{why:?}"));
    }

    fn reused(&self, _: Event<'_>) {
        self.note("reused".to_owned());
    }
}

/// Two nodes over one store; the second has copies, and observers.
struct Nodes {
    first: Sessions,
    second: Sessions,
    store: Arc<Counting>,
    notes: Arc<Notes>,
}

impl Nodes {
    fn new() -> Self {
        let (store, notes) = (Arc::new(Counting::default()), Arc::new(Notes::default()));
        let cached = CachedStore::builder(store.clone()).lease(LEASE).build();
        let cached = cached.expect("good limits");
        let rules = |store: Arc<dyn SessionStore>| {
            Sessions::builder(store)
                .lifetime(Lifetime::default())
                .grace(Duration::from_secs(10))
                .renew_after(Duration::from_secs(100))
        };
        let first = rules(store.clone()).build().expect("good rules");
        let second = rules(Arc::new(cached)).shared_observer(notes.clone());
        Self {
            first,
            second: second.build().expect("good rules"),
            store,
            notes,
        }
    }

    /// The token of a session of `u` that the second node has a copy of.
    async fn copied(&self) -> SessionToken {
        let session = self.first.start();
        session.insert("n", 1).expect("JSON");
        session.sign_in("u").await.expect("up");
        let token = session.token().expect("stored");
        self.second.open(Some(&token)).await.expect("up");
        let before = self.store.loads.load(SeqCst);
        self.second.open(Some(&token)).await.expect("up");
        assert_eq!(self.store.loads.load(SeqCst), before, "it is a copy");
        token
    }

    /// The token of such a session, and the one by which the first node has replaced it since.
    async fn renewed(&self) -> (SessionToken, SessionToken) {
        let old = self.copied().await;
        advance(Duration::from_secs(200)).await;
        let session = self.first.open(Some(&old)).await.expect("up");
        assert!(session.renew_if_due().await.expect("up"));
        (old, session.token().expect("stored"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_newer_than_the_copy_opens() {
    let nodes = Nodes::new();
    let old = nodes.copied().await;
    let session = nodes.first.open(Some(&old)).await.expect("up");
    session.cycle_id().await.expect("up");
    let new = session.token().expect("stored");
    let opened = nodes.second.open(Some(&new)).await.expect("up");
    assert_eq!(opened.id(), Some(new.id()));
    assert_eq!(nodes.notes.take(), Vec::<String>::new(), "none was refused");
    // The copy that it leaves is that of the new token, and the old one is judged by the store.
    let refused = nodes.second.open(Some(&old)).await.expect("up");
    assert_eq!(refused.id(), None);
    assert_eq!(nodes.notes.take(), ["JustReplaced"]);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_is_no_reuse_and_not_ahead_of_the_copy() {
    let nodes = Nodes::new();
    let (old, new) = nodes.renewed().await;
    assert_ne!(old, new);
    // The copy knows the old one only.
    let opened = nodes.second.open(Some(&new)).await.expect("up");
    assert_eq!(opened.id(), Some(new.id()));
    opened.touch().await.expect("the first use is noted");
    advance(Duration::from_secs(20)).await;
    assert_eq!(nodes.notes.take(), Vec::<String>::new());
    // The grace is over, as the store knows.
    let reused = nodes.second.open(Some(&old)).await.expect("up");
    assert_eq!(reused.id(), None);
    assert_eq!(nodes.notes.take(), ["reused"]);
    let ended = nodes.first.open(Some(&new)).await.expect("up");
    assert_eq!(ended.id(), None);
}

#[tokio::test(start_paused = true)]
async fn tokens_that_open_nothing_cost_one_more_load_and_are_told_once() {
    let nodes = Nodes::new();
    let token = nodes.copied().await;
    let before = nodes.store.loads.load(SeqCst);
    let mut text = token.expose().to_owned();
    text.replace_range(16.., &SessionToken::generate().expose()[16..]);
    let forged = SessionToken::parse(&text).expect("a token");
    assert_eq!(forged.id(), token.id());
    advance(Duration::from_secs(60)).await;
    let (opened, which) = nodes
        .second
        .open_first(&[forged.clone(), token.clone()])
        .await
        .expect("up");
    assert_eq!(
        (opened.id(), which),
        (Some(token.id()), Some(token.clone()))
    );
    assert_eq!(nodes.notes.take(), ["OtherLineage"]);
    assert_eq!(nodes.store.loads.load(SeqCst) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_with_a_copy_is_resolved_by_what_the_store_has() {
    let nodes = Nodes::new();
    let token = nodes.copied().await;
    for round in 0..20 {
        let there = nodes.first.open(Some(&token)).await.expect("up");
        there.insert("there", round).expect("JSON");
        there.save().await.expect("up");
        let here = nodes.second.open(Some(&token)).await.expect("up");
        let before = nodes.store.loads.load(SeqCst);
        here.update("here", |n: Option<u32>| n.unwrap_or(0) + 1)
            .await
            .expect("up");
        let loads = nodes.store.loads.load(SeqCst) - before;
        assert!(loads <= 1, "{loads} loads in round {round}");
        let now = nodes.first.open(Some(&token)).await.expect("up");
        assert_eq!(now.get("there").expect("JSON"), Some(round));
        assert_eq!(now.get("here").expect("JSON"), Some(round + 1));
        // The next round has a copy of before again.
        nodes.second.open(Some(&token)).await.expect("up");
    }
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_the_present_state_gets_no_copy() {
    let nodes = Nodes::new();
    let token = nodes.copied().await;
    let here = nodes.second.open(Some(&token)).await.expect("up");
    let there = nodes.first.open(Some(&token)).await.expect("up");
    there.insert("n", 2).expect("JSON");
    there.save().await.expect("up");
    // A copy is what other requests get meanwhile.
    let again = nodes.second.open(Some(&token)).await.expect("up");
    assert_eq!(again.get("n").expect("JSON"), Some(1));
    here.reload().await.expect("up");
    assert_eq!(here.get("n").expect("JSON"), Some(2));
    nodes.second.open(Some(&token)).await.expect("up");
    there.destroy().await.expect("up");
    assert!(
        nodes
            .second
            .open(Some(&token))
            .await
            .expect("up")
            .id()
            .is_some()
    );
    assert!(!here.is_live().await.expect("up"));
    let saved = here.insert("n", 3).map(drop);
    saved.expect("JSON");
    let gone = here.save().await.expect_err("it has ended");
    assert_eq!(gone.kind(), ErrorKind::Gone);
    assert_eq!(
        nodes.second.open(Some(&token)).await.expect("up").id(),
        None
    );
}

/// Who holds a replaced token would get the present one.
#[tokio::test(start_paused = true)]
async fn a_copy_does_not_tell_whether_the_successor_is_still_to_be_sent() {
    let nodes = Nodes::new();
    let (old, new) = nodes.renewed().await;
    // The copy that this leaves says that no client has shown the successor yet.
    nodes.second.open(Some(&new)).await.expect("up");
    let confirmed = nodes.first.open(Some(&new)).await.expect("up");
    confirmed.touch().await.expect("the first use is noted");
    advance(Duration::from_secs(20)).await;
    let reused = nodes.second.open(Some(&old)).await.expect("up");
    assert_eq!((reused.id(), reused.token()), (None, None));
    assert_eq!(nodes.notes.take(), ["reused"]);
}
