//! A memory store whose answers can be counted, delayed, lost and refused, and an observer that
//! remembers.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::{
    Draft, EndReason, Ended, Error, Event, Observer, Owner, Record, Refusal, Result, Saved,
    SessionDirectory, SessionId, SessionStore, Sessions, StoreWrapper, Timeout, Ttl, Unreadable,
    Version,
};
use session_memory::MemoryStore;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Load,
    Save,
    Touch,
    Destroy,
    Reap,
}

#[derive(Debug, Default)]
pub(crate) struct Faulty {
    inner: MemoryStore,
    calls: Mutex<Vec<Call>>,
    fail_next: AtomicU32,
    fail_reaps: AtomicU32,
    lose_answer: AtomicBool,
    refuse_repeat: AtomicBool,
    hang_after: AtomicBool,
    conflict: AtomicBool,
    delay: Mutex<Option<Duration>>,
    fail_destroys: AtomicU32,
    lose_destroy: AtomicBool,
    delay_destroy: Mutex<Option<Duration>>,
    fail_owned: AtomicU32,
    lose_answers: AtomicU32,
    lose_owned: AtomicBool,
}

/// Sessions in a faulty store, and what its observer is told.
pub(crate) fn sessions() -> (Sessions, Arc<Faulty>, Recorder) {
    let store = Arc::new(Faulty::default());
    let recorder = Recorder::default();
    let sessions = Sessions::builder(store.clone())
        .observer(recorder.clone())
        .build()
        .expect("good rules");
    (sessions, store, recorder)
}

impl Faulty {
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("whole").clone()
    }

    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().expect("whole"))
    }

    /// The next calls fail before they do anything.
    pub(crate) fn fail_next(&self, calls: u32) {
        self.fail_next.store(calls, SeqCst);
    }

    pub(crate) fn fail_reaps(&self, calls: u32) {
        self.fail_reaps.store(calls, SeqCst);
    }

    /// The next call does its work, and then the connection breaks.
    pub(crate) fn lose_next_answer(&self) {
        self.lose_answer.store(true, SeqCst);
    }

    /// The next call does its work, and then the connection breaks. The one after that is refused
    /// for good.
    pub(crate) fn lose_next_answer_and_refuse_repeat(&self) {
        self.lose_answer.store(true, SeqCst);
        self.refuse_repeat.store(true, SeqCst);
    }

    /// The next call does its work, and then never returns.
    pub(crate) fn hang_after_next(&self) {
        self.hang_after.store(true, SeqCst);
    }

    /// The next calls do their work, and then the connection breaks.
    pub(crate) fn lose_answers(&self, calls: u32) {
        self.lose_answers.store(calls, SeqCst);
    }

    /// The next end of an owner's sessions happens, and then the connection breaks.
    pub(crate) fn lose_answer_of_next_end_of_owned(&self) {
        self.lose_owned.store(true, SeqCst);
    }

    pub(crate) fn conflict_always(&self, conflict: bool) {
        self.conflict.store(conflict, SeqCst);
    }

    /// The next destroy and its repetition fail.
    pub(crate) fn fail_next_destroy(&self) {
        self.fail_destroys.store(2, SeqCst);
    }

    /// The next end of an owner's sessions fails.
    pub(crate) fn fail_next_end_of_owned(&self) {
        self.fail_owned.store(1, SeqCst);
    }

    pub(crate) fn fail_one_destroy(&self) {
        self.fail_destroys.store(1, SeqCst);
    }

    pub(crate) fn lose_answer_of_next_destroy(&self) {
        self.lose_destroy.store(true, SeqCst);
    }

    /// The next destroy, or end of an owner's sessions, begins after that.
    pub(crate) fn delay_next_destroy(&self, delay: Duration) {
        *self.delay_destroy.lock().expect("whole") = Some(delay);
    }

    /// The session as it is stored now.
    pub(crate) async fn snapshot(&self, id: &SessionId) -> Record {
        let found = self.inner.load(id).await.expect("up");
        found.expect("there")
    }

    /// Puts a session back as it was: writes since then are lost, as at a failover.
    pub(crate) async fn roll_back(&self, id: &SessionId, record: Record) {
        self.inner.destroy(id, None).await.expect("up");
        let draft = Draft::new(record.data, record.lifetime)
            .with_owner(record.owner)
            .with_credential(record.credential)
            .with_description(record.description);
        assert!(self.inner.create(id, &draft).await.expect("up").is_done());
    }

    pub(crate) fn delay_next(&self, delay: Duration) {
        *self.delay.lock().expect("whole") = Some(delay);
    }

    async fn wait_before_destroy(&self) {
        let delay = self.delay_destroy.lock().expect("whole").take();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
    }

    async fn call<T>(&self, call: Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.lock().expect("whole").push(call);
        let delay = self.delay.lock().expect("whole").take();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        if counted_down(&self.fail_next) || call == Call::Reap && counted_down(&self.fail_reaps) {
            return Err(broken());
        }
        if !self.lose_answer.load(SeqCst) && self.refuse_repeat.swap(false, SeqCst) {
            return Err(Error::misconfigured("the login was withdrawn"));
        }
        let done = work.await;
        if self.lose_answer.swap(false, SeqCst) || counted_down(&self.lose_answers) {
            return Err(broken());
        }
        if self.hang_after.swap(false, SeqCst) {
            std::future::pending::<()>().await;
        }
        done
    }
}

fn counted_down(counter: &AtomicU32) -> bool {
    counter
        .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

fn broken() -> Error {
    Error::unavailable("test", "the connection broke")
}

impl StoreWrapper for Faulty {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        this.call(Call::Create, this.inner.create(id, draft)).await
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        this.call(Call::Load, this.inner.load(id)).await
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        if this.conflict.load(SeqCst) {
            return Ok(Saved::Conflict);
        }
        this.call(Call::Save, this.inner.save(id, draft, expected))
            .await
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        this.call(Call::Touch, this.inner.touch(id, idle)).await
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        this.wait_before_destroy().await;
        if counted_down(&this.fail_destroys) {
            return Err(broken());
        }
        if this.lose_destroy.swap(false, SeqCst) {
            this.lose_next_answer();
        }
        this.call(Call::Destroy, this.inner.destroy(id, expected))
            .await
    }

    async fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        this.wait_before_destroy().await;
        if counted_down(&this.fail_owned) {
            return Err(broken());
        }
        let ended = this.inner.destroy_owned_by(owner, except, limit).await?;
        if this.lose_owned.swap(false, SeqCst) {
            return Err(broken());
        }
        Ok(ended)
    }

    async fn reap(this: &Self, limit: usize) -> Result<Vec<Ended>> {
        this.call(Call::Reap, this.inner.reap(limit)).await
    }
}

/// Remembers what it is told.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<&'static str>>>);

impl Recorder {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.lock().expect("whole").clone()
    }

    /// What it was told since the last time this was asked.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().expect("whole"))
    }

    fn push(&self, name: &'static str) {
        self.0.lock().expect("whole").push(name);
    }
}

impl Observer for Recorder {
    fn created(&self, _: Event<'_>) {
        self.push("created");
    }

    fn renewed(&self, _: Event<'_>) {
        self.push("renewed");
    }

    fn destroyed(&self, _: Event<'_>, reason: EndReason) {
        self.push(match reason {
            EndReason::SignedOut => "signed out",
            EndReason::Revoked => "revoked",
            EndReason::Limit => "over the limit",
            EndReason::Reused => "ended by reuse",
            _ => "ended otherwise",
        });
    }

    fn reused(&self, _: Event<'_>) {
        self.push("reused");
    }

    fn refused(&self, _: &SessionId, why: Refusal) {
        self.push(match why {
            Refusal::OtherLineage => "other lineage",
            Refusal::JustReplaced => "just replaced",
            Refusal::NewerThanStored => "newer than stored",
            _ => "refused otherwise",
        });
    }

    fn expired(&self, _: Event<'_>) {
        self.push("expired");
    }

    fn corrupt(&self, _: &SessionId, error: &Error) {
        assert_eq!(error.kind(), session_core::ErrorKind::Corrupt);
        self.push("corrupt");
    }

    fn unreadable(&self, name: &str, why: Unreadable) {
        assert_eq!((name, why), ("token", Unreadable::Malformed));
        self.push("unreadable");
    }

    fn unknown(&self, _: &SessionId) {
        self.push("unknown");
    }
}
