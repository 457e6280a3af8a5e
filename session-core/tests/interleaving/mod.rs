//! A store between two writers: it loses answers of the one as a script says, and lets the other
//! write in between.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use session_core::{
    Draft, Error, Result, Saved, Session, SessionId, SessionStore, SessionToken, Sessions,
    StoreWrapper, Version,
};
use session_memory::MemoryStore;

/// What becomes of one call of the writer under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It never arrives.
    Lost,
    /// It seems lost, and arrives after the next call.
    Late,
}

/// What the other writer does after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Nothing,
    Writes,
    /// More often than a trail is long.
    WritesOften,
    SignsIn,
    Destroys,
    /// Removes what the writer under test has set, like a message that is shown once.
    Takes,
}

const FATES: [Fate; 4] = [Fate::Answered, Fate::AnswerLost, Fate::Lost, Fate::Late];
pub(crate) const OTHERS: [Other; 6] = [
    Other::Nothing,
    Other::Writes,
    Other::WritesOften,
    Other::SignsIn,
    Other::Destroys,
    Other::Takes,
];

/// A write that is still on its way.
type OnItsWay = (SessionId, Draft, Option<Version>);

/// The store as the writer under test sees it.
#[derive(Debug, Default)]
pub(crate) struct Between {
    inner: Arc<MemoryStore>,
    script: Mutex<Vec<(Fate, Other)>>,
    late: Mutex<Vec<OnItsWay>>,
    /// The data of every write that was done, in their order.
    written: Mutex<Vec<(SessionId, String)>>,
    other: Mutex<Option<(Session, SessionId)>>,
    others_writes: AtomicUsize,
    calls: AtomicUsize,
    /// Keys that the other writer has removed, and how many writes there were by then.
    taken: Mutex<Vec<(String, usize)>>,
}

/// One session, and its two writers.
pub(crate) struct World {
    pub(crate) store: Arc<Between>,
    /// The writer under test.
    pub(crate) session: Session,
    first: SessionToken,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("whole")
}

impl World {
    pub(crate) async fn begin() -> Self {
        let store = Arc::new(Between::default());
        let both = Sessions::new(store.inner.clone());
        let other = both.start();
        other.insert("start", 0).expect("a number");
        other.save().await.expect("saved");
        let first = other.token().expect("stored");
        *locked(&store.other) = Some((other, first.id()));
        let session = Sessions::new(store.clone()).open(Some(&first)).await;
        Self {
            session: session.expect("it is there"),
            store,
            first,
        }
    }

    /// Whether the writer under test has made a session of its own.
    pub(crate) fn is_own(&self, session: &Session) -> bool {
        session.id() != Some(self.first.id())
    }

    /// What the other writer has removed is not written again.
    pub(crate) fn check_taken(&self, key: &str, context: impl Fn() -> String) {
        let is_back = self.store.is_back(key, &self.first.id());
        assert!(!is_back, "{key} was removed and is back: {}", context());
    }

    /// No acknowledged write of the other writer is lost, unless it has ended the session.
    pub(crate) fn check_other(&self, context: impl Fn() -> String) {
        let written = locked(&self.store.written);
        let last = written.iter().rev().find(|(id, _)| *id == self.first.id());
        let others = self.store.others_writes.load(SeqCst);
        if let Some((_, data)) = last {
            let shown = format!("\"b\":{others}");
            assert!(
                others == 0 || data.contains(&shown),
                "{data} lacks {shown}: {}",
                context()
            );
        }
    }
}

impl Between {
    /// All scripts of so many calls, among which the other writer does some of `others`.
    pub(crate) fn all_scripts(
        calls: u32,
        others: &[Other],
    ) -> impl Iterator<Item = Vec<(Fate, Other)>> {
        let choices = FATES.len() * others.len();
        (0..choices.pow(calls)).map(move |mut n| {
            let one = |n: usize| (FATES[n % FATES.len()], others[n / FATES.len()]);
            let each = (0..calls).map(|_| {
                let choice = n % choices;
                n /= choices;
                one(choice)
            });
            each.collect()
        })
    }

    pub(crate) fn script(&self, script: &[(Fate, Other)]) {
        *locked(&self.script) = script.iter().rev().copied().collect();
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// How often a key was counted up at the most, and whether the last write of each session that
    /// had it still has it.
    pub(crate) fn applied(&self, key: &str) -> (u32, bool) {
        let count = |data: &str| {
            let value: serde_json::Value = serde_json::from_str(data).expect("JSON");
            value[key].as_u64().unwrap_or(0) as u32
        };
        let written = locked(&self.written);
        let most = written.iter().map(|(_, data)| count(data)).max();
        let mut ids: Vec<&SessionId> = Vec::new();
        for (id, data) in written.iter() {
            if count(data) > 0 && !ids.contains(&id) {
                ids.push(id);
            }
        }
        let kept = ids.iter().all(|id| {
            let last = written.iter().rev().find(|(of, _)| of == *id);
            last.is_some_and(|(_, data)| count(data) > 0)
        });
        (most.unwrap_or(0), kept)
    }

    pub(crate) async fn let_all_arrive(&self) {
        let late = std::mem::take(&mut *locked(&self.late));
        for (id, draft, expected) in late {
            let _ = self.write(&id, &draft, expected.as_ref()).await;
        }
    }

    async fn write(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: Option<&Version>,
    ) -> Result<Saved> {
        let before = self.inner.load(id).await?.map(|record| record.version);
        let saved = match expected {
            Some(expected) => self.inner.save(id, draft, expected).await?,
            None => self.inner.create(id, draft).await?,
        };
        let is_new = before != Some(draft.stamp.into());
        if saved.is_done() && is_new {
            self.note(id, &draft.data);
        }
        Ok(saved)
    }

    fn note(&self, id: &SessionId, data: &[u8]) {
        let data = String::from_utf8(data.to_vec()).expect("JSON");
        locked(&self.written).push((id.clone(), data));
    }

    async fn act(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: Option<&Version>,
    ) -> Result<Saved> {
        self.calls.fetch_add(1, SeqCst);
        let (fate, other) = locked(&self.script)
            .pop()
            .unwrap_or((Fate::Answered, Other::Nothing));
        let broken = || Error::unavailable("test", "the connection broke");
        let answer = match fate {
            Fate::Answered => self.write(id, draft, expected).await,
            Fate::AnswerLost => {
                let _ = self.write(id, draft, expected).await;
                Err(broken())
            }
            Fate::Lost | Fate::Late => Err(broken()),
        };
        self.let_all_arrive().await;
        if fate == Fate::Late {
            locked(&self.late).push((id.clone(), draft.clone(), expected.cloned()));
        }
        self.other_acts(other).await;
        answer
    }

    async fn other_acts(&self, other: Other) {
        let Some((session, id)) = locked(&self.other).clone() else {
            return;
        };
        let done = match other {
            Other::Nothing => return,
            Other::Destroys => {
                session.destroy().await.expect("destroyed");
                *locked(&self.other) = None;
                return;
            }
            Other::Takes => {
                self.take(&id).await;
                return;
            }
            Other::Writes => self.others_write(&session, &id, 1).await,
            Other::WritesOften => self.others_write(&session, &id, 9).await,
            Other::SignsIn => {
                session.insert("secret", true).expect("JSON");
                session.sign_in("b").await
            }
        };
        if done.is_ok()
            && let Some(id) = session.id()
            && let Some(record) = self.inner.load(&id).await.expect("up")
        {
            self.note(&id, &record.data);
        }
    }

    /// Removes the keys of the writer under test, by a request of its own.
    async fn take(&self, id: &SessionId) {
        let Some(record) = self.inner.load(id).await.expect("up") else {
            return;
        };
        let text = String::from_utf8(record.data.to_vec()).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let keys = value.as_object().expect("an object").keys();
        let keys: Vec<String> = keys.filter(|key| key.starts_with('a')).cloned().collect();
        let Some((session, _)) = locked(&self.other).clone() else {
            return;
        };
        // It reads what is there now.
        let taken = session.update("taken", |_: Option<u32>| 1).await;
        if taken.is_err() || session.id().as_ref() != Some(id) {
            return;
        }
        let mut removed = Vec::new();
        for key in &keys {
            if session.remove(key) {
                removed.push(key.clone());
            }
        }
        if session.save().await.is_ok()
            && let Some(record) = self.inner.load(id).await.expect("up")
        {
            self.note(id, &record.data);
            let by_then = locked(&self.written).len();
            locked(&self.taken).extend(removed.into_iter().map(|key| (key, by_then)));
        }
    }

    /// Whether a key that the other writer has removed is back.
    pub(crate) fn is_back(&self, key: &str, id: &SessionId) -> bool {
        let (taken, written) = (locked(&self.taken), locked(&self.written));
        let since = taken.iter().find(|(taken, _)| taken == key);
        since.is_some_and(|(_, since)| {
            let later = written.iter().skip(*since).filter(|(of, _)| of == id);
            later
                .into_iter()
                .any(|(_, data)| data.contains(&format!("\"{key}\"")))
        })
    }

    pub(crate) fn is_taken(&self, key: &str) -> bool {
        locked(&self.taken).iter().any(|(taken, _)| taken == key)
    }

    async fn others_write(&self, session: &Session, id: &SessionId, times: usize) -> Result<()> {
        for _ in 0..times {
            // It may have ended, or have been signed in by the writer under test.
            let count = session
                .update("b", |b: Option<usize>| b.unwrap_or(0) + 1)
                .await?;
            // A sign-in that was too late has made a session of its own.
            if session.id().as_ref() == Some(id) {
                self.others_writes.store(count, SeqCst);
            }
        }
        Ok(())
    }
}

impl StoreWrapper for Between {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        this.act(id, draft, None).await
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        this.act(id, draft, Some(expected)).await
    }
}
