//! What the store is asked for open streams, if its answers are late, or missing for some.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use session_core::{
    Notice, NoticeStream, Record, Result, Session, SessionEnd, SessionId, SessionStore, Sessions,
    StoreWrapper,
};
use session_memory::MemoryStore;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// A store without notices that answers as the test says.
#[derive(Clone, Debug, Default)]
struct Late(MemoryStore, Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    /// The sessions that no load answers for.
    silent: HashSet<SessionId>,
    /// Those whose load fails.
    down: HashSet<SessionId>,
    /// How long each answer is under way.
    delay: Duration,
    loads: usize,
    /// Notices of this session come without a pause, until there were 10,000.
    flood: Option<SessionId>,
    notices: usize,
    /// How many notices there were when a load was answered first.
    notices_before_answer: Option<usize>,
}

impl StoreWrapper for Late {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.0
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let (delay, is_silent, is_down) = this.with(|answers| {
            answers.loads += 1;
            let (silent, down) = (&answers.silent, &answers.down);
            (answers.delay, silent.contains(id), down.contains(id))
        });
        if is_silent {
            std::future::pending::<()>().await;
        }
        if is_down {
            return Err(session_core::Error::unavailable("load", "down"));
        }
        let record = this.0.load(id).await;
        sleep(delay).await;
        this.with(|answers| {
            let now = answers.notices;
            answers.notices_before_answer.get_or_insert(now);
        });
        record
    }

    fn notices(this: &Self) -> Option<NoticeStream> {
        let id = this.with(|answers| answers.flood.clone())?;
        let this = this.clone();
        Some(Box::pin(stream::unfold((), move |()| {
            let (this, id) = (this.clone(), id.clone());
            async move {
                let count = this.with(|answers| {
                    answers.notices += 1;
                    answers.notices
                });
                if count > 10_000 {
                    std::future::pending::<()>().await;
                }
                Some((Ok(Notice::Changed(id)), ()))
            }
        })))
    }
}

impl Late {
    fn with<T>(&self, f: impl FnOnce(&mut Answers) -> T) -> T {
        f(&mut self.1.lock().expect("whole"))
    }
}

async fn signed_in(sessions: &Sessions) -> Session {
    let session = sessions.start();
    session.sign_in("ann").await.expect("signed in");
    session
}

async fn open_streams_of_all(sessions: &Sessions, count: usize) -> Vec<SessionId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let session = signed_in(sessions).await;
        ids.push(session.id().expect("stored"));
        tokio::spawn(session.ended());
    }
    sleep(SECOND / 10).await;
    assert_eq!(sessions.open_streams(), count);
    ids
}

#[tokio::test(start_paused = true)]
async fn a_silent_part_of_the_store_closes_its_own_streams_only() {
    let store = Late::default();
    let sessions = Sessions::new(store.clone());
    let ids = open_streams_of_all(&sessions, 1_500).await;
    store.with(|answers| answers.delay = SECOND / 20);
    let silent = ids.iter().step_by(3).cloned();
    store.with(|answers| answers.silent.extend(silent));
    sleep(30 * SECOND).await;
    assert_eq!(sessions.open_streams(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_store_that_is_down_closes_its_own_streams_only() {
    let store = Late::default();
    let sessions = Sessions::new(store.clone());
    let ids = open_streams_of_all(&sessions, 1_500).await;
    store.with(|answers| answers.down.extend(ids.iter().step_by(3).cloned()));
    sleep(30 * SECOND).await;
    assert_eq!(sessions.open_streams(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_silent_is_asked_for_one_chunk_at_a_time() {
    let store = Late::default();
    let sessions = Sessions::new(store.clone());
    let ids = open_streams_of_all(&sessions, 1_500).await;
    store.with(|answers| {
        answers.silent.extend(ids);
        answers.loads = 0;
    });
    sleep(4 * SECOND).await;
    assert_eq!(store.with(|answers| answers.loads), 512);
    sleep(SECOND).await;
    assert_eq!(sessions.open_streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_a_sign_in_closes_no_stream_of_it() {
    let store = Late::default();
    let (here, elsewhere) = (Sessions::new(store.clone()), Sessions::new(store.clone()));
    let session = signed_in(&here).await;
    let before = tokio::spawn(session.ended());
    store.with(|answers| answers.delay = SECOND);
    sleep(SECOND * 27 / 10).await;
    // The question of the round is answered with the record of now, in 0.8 s.
    let token = session.token().expect("stored");
    store.with(|answers| answers.delay = Duration::ZERO);
    let anew = elsewhere.find(&token).await.expect("up").expect("there");
    anew.sign_in("ann").await.expect("up");
    let token = anew.token().expect("stored");
    let anew = here.find(&token).await.expect("up").expect("there");
    let after = tokio::spawn(anew.ended());
    sleep(3 * SECOND).await;
    assert!(before.is_finished() && !after.is_finished());
    assert_eq!(before.await.expect("no panic"), SessionEnd::NewToken);
    sleep(20 * SECOND).await;
    assert!(!after.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_notices_does_not_keep_answers_from_being_heard() {
    let store = Late::default();
    let sessions = Sessions::new(store.clone());
    let session = signed_in(&sessions).await;
    let id = session.id().expect("stored");
    store.with(|answers| {
        answers.flood = Some(id);
        answers.notices_before_answer = None;
    });
    let _open = tokio::spawn(session.ended());
    sleep(SECOND / 10).await;
    let heard = store.with(|answers| answers.notices_before_answer);
    assert!(heard.is_some_and(|heard| heard < 1_000), "{heard:?}");
}
