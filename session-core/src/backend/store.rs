//! The store that is made of a backend.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use super::batch::{BatchOperation, Batcher, Size};
use super::batched::{Creates, Destroys, Loads, Saves, Touches};
use super::breaker::Passage;
use super::call::{Call, Shared, Timer};
use super::reaper_watch::ReaperWatch;
use super::unbatched::Unbatched;
use super::{
    Answer, Backend, BatchLimits, Connector, Counts, Create, Destroy, Fixed, Meter, Operation,
    Policy, Save, Touch,
};
use crate::{
    Capabilities, Confirmation, Draft, Ended, Error, Inspect, Inspection, InvalidationStream,
    NoticeStream, Record, Result, Saved, SessionDirectory, SessionId, SessionStore, Timeout, Ttl,
    Version, async_trait,
};

/// The session store that is made of a [`Backend`]. Clones share its client and its queues.
pub struct Store<B: Backend> {
    pub(super) core: Arc<Core<B>>,
    /// Those of each of the backend's [queues](Backend::queues).
    queues: Arc<[Queues<B>]>,
}

/// What operations need, by themselves or in a batch.
pub(super) struct Core<B: Backend> {
    pub(super) backend: B,
    pub(super) policy: Policy,
    pub(super) shared: Arc<Shared<B::Client>>,
    pub(super) meter: Meter,
    pub(super) reaper_watch: ReaperWatch,
}

/// One for each kind of operation that is batched, and what is in flight of the others.
struct Queues<B: Backend> {
    unbatched: Unbatched,
    create: Option<Batcher<Creates<B>>>,
    load: Option<Batcher<Loads<B>>>,
    save: Option<Batcher<Saves<B>>>,
    touch: Option<Batcher<Touches<B>>>,
    destroy: Option<Batcher<Destroys<B>>>,
}

impl<B: Backend> Store<B> {
    /// A store over `backend`, with the client `first` and others that `connector` makes.
    pub fn new(
        backend: B,
        connector: impl Connector<Client = B::Client>,
        first: B::Client,
    ) -> Self {
        let policy = backend.policy();
        let meter = Meter::at(B::NAME, connector.place());
        let counters = Arc::clone(&meter.counters);
        let count = backend.queues().clamp(1, usize::from(u16::MAX));
        let shared = Shared::new(connector, first, &policy, count, counters);
        let core = Arc::new(Core {
            reaper_watch: ReaperWatch::new(backend.capabilities().needs_reaper),
            backend,
            policy,
            shared: Arc::new(shared),
            meter,
        });
        let queues = (0..count).map(|number| Queues {
            unbatched: Unbatched::new(&policy),
            create: queue(&core, number, policy.create, Creates),
            load: queue(&core, number, policy.load, Loads),
            save: queue(&core, number, policy.save, Saves),
            touch: queue(&core, number, policy.touch, Touches),
            destroy: queue(&core, number, policy.destroy, Destroys),
        });
        let queues = queues.collect();
        Self { core, queues }
    }

    /// A store over `backend` with clients that `connector` makes, [set up or
    /// checked](Self::migrate). So a wrong address or a missing right is an error here, and not at
    /// the first request.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if the connector makes no
    /// client; as [`migrate`](Self::migrate).
    pub async fn open(backend: B, connector: impl Connector<Client = B::Client>) -> Result<Self> {
        let no_client = || {
            Error::misconfigured(
                "the store's connector makes no client: implement `Connector::connect` so that it \
                 returns one, or make the store with `Store::new` or `Store::with_client`",
            )
        };
        let first = connector.connect().ok_or_else(no_client)?;
        let store = Self::new(backend, connector, first);
        store.migrate().await?;
        Ok(store)
    }

    /// A store over `backend` with the one client that there is.
    pub fn with_client(backend: B, client: B::Client) -> Self {
        Self::new(backend, Fixed::new(B::NAME), client)
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.core.backend
    }

    /// What the store does around the backend's operations.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.core.policy
    }

    /// What the store has done so far, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.core.meter.counts();
        for queues in &*self.queues {
            counts.in_flight += queues.unbatched.in_flight();
            for (queued, in_flight) in queues.load() {
                counts.queued += queued;
                counts.in_flight += in_flight;
            }
        }
        counts
    }

    /// Sets the database up, or checks it: tables, indexes, rights, as the backend's documentation
    /// says. May be called by many processes at once, and again.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if the database is not fit for
    /// sessions, or a right is missing; the backend's.
    pub async fn migrate(&self) -> Result<()> {
        let work = |call| async move { self.core.backend.migrate(&call).await };
        self.by_command(Operation::Migrate, work).await
    }

    /// Runs what takes many commands, each within the time limit: for what a backend offers beyond
    /// the contract.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn by_command<T, W>(
        &self,
        operation: Operation,
        work: impl FnOnce(Call<B::Client>) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T>>,
    {
        let work = |call| {
            let work = work(call);
            async move { work.await.map(Untold) }
        };
        let answer = self.observe_commands(operation, work).await;
        answer.map(|Untold(answer)| answer)
    }

    /// The same, whose span and metrics have what the answer tells.
    pub(super) async fn observe_commands<T, W>(
        &self,
        operation: Operation,
        work: impl FnOnce(Call<B::Client>) -> W,
    ) -> Result<T>
    where
        W: Future<Output = Result<T>>,
        T: Answer,
    {
        let queue = (self.queues.len() == 1).then_some(0);
        let call = Call::new(&self.core.shared, operation, Timer::Command, queue);
        let is_setup = matches!(operation, Operation::Connect | Operation::Migrate);
        // Boxed: in a caller's own future, rustc refuses to lay out futures so many levels deep.
        let work = Box::pin(async move {
            if !is_setup {
                call.admit()?;
            }
            work(call).await
        });
        self.core.meter.observe(operation, 0, work).await
    }

    /// An operation on a session, and its queues.
    fn begin(&self, operation: Operation, id: &SessionId) -> (Call<B::Client>, &Queues<B>) {
        let queue = match self.queues.len() {
            1 => 0,
            several => self.core.backend.queue_of(id) % several,
        };
        let call = Call::new(
            &self.core.shared,
            operation,
            Timer::Operation,
            Some(queue as u16),
        );
        (call, &self.queues[queue])
    }

    /// Runs the work of an operation within the time limit. It is given pinned: each layer around
    /// it would otherwise hold, and move, the whole of it once more.
    async fn run<T: Answer>(
        &self,
        (call, queues): (&Call<B::Client>, &Queues<B>),
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let work = pin!(call.within_timeout(work));
        let meter = &self.core.meter;
        let outcome = meter.observe(call.operation(), call.bytes(), work).await;
        if outcome.is_err() {
            self.fail_queued(call, queues);
        }
        outcome
    }

    /// Has what is queued fail too, if the circuit is open by now.
    #[cold]
    fn fail_queued(&self, call: &Call<B::Client>, queues: &Queues<B>) {
        let open = call.breaker().filter(|breaker| breaker.is_open());
        if let Some(breaker) = open {
            let failed = queues.fail_queued(|operation| breaker.rejection_of_queued(operation));
            self.core.shared.counters.rejected(failed);
        }
    }

    /// Sends an operation by itself that writes so many `bytes`. It is given boxed: a backend's
    /// future is large, and a call that is batched would be as large, and moved several times (256
    /// callers of MySQL: half the loads).
    async fn send<T>(
        &self,
        (call, queues): (&Call<B::Client>, &Queues<B>),
        passage: Passage,
        bytes: usize,
        work: Pin<Box<impl Future<Output = Result<Vec<Result<T>>>>>>,
    ) -> Result<T> {
        let unbatched = &queues.unbatched;
        let _held = match passage {
            Passage::Usual => Some(unbatched.hold(call.operation(), call.place(), bytes)?),
            Passage::Probe => None,
        };
        only(work.await)
    }

    /// What the backend is to write, if it is not too large.
    fn checked(&self, draft: &Draft) -> Result<Draft> {
        let Core {
            backend, policy, ..
        } = &*self.core;
        Error::check_size("record", draft.data.len(), policy.max_data)?;
        if draft.description.is_some() && !backend.capabilities().descriptions {
            return Err(Error::unsupported("descriptions of sessions"));
        }
        let mut draft = draft.clone();
        draft.lifetime = draft.lifetime.whole_millis();
        Ok(draft)
    }
}

impl<B: Backend> Queues<B> {
    /// How many operations are queued, and how many in flight, of each kind.
    fn load(&self) -> impl Iterator<Item = (usize, usize)> {
        let Self {
            unbatched: _,
            create,
            load,
            save,
            touch,
            destroy,
        } = self;
        let each = [
            create.as_ref().map(Batcher::load),
            load.as_ref().map(Batcher::load),
            save.as_ref().map(Batcher::load),
            touch.as_ref().map(Batcher::load),
            destroy.as_ref().map(Batcher::load),
        ];
        each.into_iter().flatten()
    }

    /// Has all that is queued fail with the `error` of its operation; how many that were.
    fn fail_queued(&self, error: impl Fn(Operation) -> Option<Error>) -> usize {
        fn fail<O: BatchOperation>(queue: Option<&Batcher<O>>, error: Option<Error>) -> usize {
            queue
                .zip(error)
                .map_or(0, |(queue, error)| queue.fail_queued(&error))
        }
        fail(self.create.as_ref(), error(Operation::Create))
            + fail(self.load.as_ref(), error(Operation::Load))
            + fail(self.save.as_ref(), error(Operation::Save))
            + fail(self.touch.as_ref(), error(Operation::Touch))
            + fail(self.destroy.as_ref(), error(Operation::Destroy))
    }
}

fn queue<B: Backend, O: BatchOperation>(
    core: &Arc<Core<B>>,
    number: usize,
    limits: Option<BatchLimits>,
    operation: fn(Arc<Core<B>>, usize) -> O,
) -> Option<Batcher<O>> {
    let Shared { timeout, place, .. } = &*core.shared;
    let operation = operation(Arc::clone(core), number);
    limits.map(|limits| Batcher::new(operation, limits, *timeout, Arc::clone(place)))
}

#[async_trait]
impl<B: Backend> SessionStore for Store<B> {
    fn capabilities(&self) -> Capabilities {
        let Core {
            backend, policy, ..
        } = &*self.core;
        backend.capabilities().with_max_data(policy.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        B::HAS_DIRECTORY.then_some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let create = Create::new(id.clone(), self.checked(draft)?);
        self.core.reaper_watch.check(&self.core.shared.place);
        let (call, queues) = self.begin(Operation::Create, id);
        let call = call.writing(draft.data.len());
        let begun = (&call, queues);
        let work = pin!(async {
            match (call.admit()?, &queues.create) {
                (Passage::Usual, Some(queue)) => queue.call(create).await,
                (passage, _) => {
                    let (bytes, one) = (create.bytes(), [create]);
                    let work = Box::pin(self.core.backend.create(&call, &one));
                    self.send(begun, passage, bytes, work).await
                }
            }
        });
        self.run(begun, work).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let id = id.clone();
        let (call, queues) = self.begin(Operation::Load, &id);
        let begun = (&call, queues);
        let work = pin!(async {
            match (call.admit()?, &queues.load) {
                (Passage::Usual, Some(queue)) => queue.call(id).await,
                (passage, _) => {
                    let (bytes, one) = (id.bytes(), [id]);
                    let work = Box::pin(self.core.backend.load(&call, &one));
                    self.send(begun, passage, bytes, work).await
                }
            }
        });
        self.run(begun, work).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let save = Save::new(id.clone(), self.checked(draft)?, expected.clone());
        let (call, queues) = self.begin(Operation::Save, id);
        let call = call.writing(draft.data.len());
        let begun = (&call, queues);
        let work = pin!(async {
            match (call.admit()?, &queues.save) {
                (Passage::Usual, Some(queue)) => queue.call(save).await,
                (passage, _) => {
                    let (bytes, one) = (save.bytes(), [save]);
                    let work = Box::pin(self.core.backend.save(&call, &one));
                    self.send(begun, passage, bytes, work).await
                }
            }
        });
        self.run(begun, work).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let touch = Touch::new(id.clone(), idle.whole_millis());
        let (call, queues) = self.begin(Operation::Touch, id);
        let begun = (&call, queues);
        let work = pin!(async {
            match (call.admit()?, &queues.touch) {
                (Passage::Usual, Some(queue)) => queue.call(touch).await,
                (passage, _) => {
                    let (bytes, one) = (touch.bytes(), [touch]);
                    let work = Box::pin(self.core.backend.touch(&call, &one));
                    self.send(begun, passage, bytes, work).await
                }
            }
        });
        self.run(begun, work).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let destroy = Destroy::new(id.clone(), expected.cloned());
        let (call, queues) = self.begin(Operation::Destroy, id);
        let begun = (&call, queues);
        let work = pin!(async {
            match (call.admit()?, &queues.destroy) {
                (Passage::Usual, Some(queue)) => queue.call(destroy).await,
                (passage, _) => {
                    let (bytes, one) = (destroy.bytes(), [destroy]);
                    let work = Box::pin(self.core.backend.destroy(&call, &one));
                    self.send(begun, passage, bytes, work).await
                }
            }
        });
        self.run(begun, work).await
    }

    fn notices(&self) -> Option<NoticeStream> {
        let call = Call::new(&self.core.shared, Operation::Notices, Timer::Command, None);
        self.core.backend.notices(call)
    }

    async fn confirm(&self, confirmation: Confirmation) -> Result<()> {
        if confirmation == Confirmation::Acknowledged {
            return Ok(());
        }
        let work = |call| async move { self.core.backend.confirm(&call, confirmation).await };
        self.by_command(Operation::Confirm, work).await
    }

    fn invalidations(&self, silence: Duration) -> Option<InvalidationStream> {
        let call = Call::new(
            &self.core.shared,
            Operation::Invalidations,
            Timer::Command,
            None,
        );
        self.core.backend.invalidations(call, silence)
    }

    fn inspect(&self) -> Option<&dyn Inspect> {
        Some(self)
    }
}

#[async_trait]
impl<B: Backend> Inspect for Store<B> {
    async fn inspection(&self) -> Result<Inspection> {
        let work = |call| async move { self.backend().inspection(&call).await };
        self.by_command(Operation::Inspect, work).await
    }

    async fn remove(&self) -> Result<()> {
        let work = |call| async move { self.backend().remove(&call).await };
        self.by_command(Operation::Remove, work).await
    }
}

/// An answer of which spans and metrics tell nothing.
struct Untold<T>(T);

impl<T> Answer for Untold<T> {}

/// The answer to one operation.
fn only<T>(answers: Result<Vec<Result<T>>>) -> Result<T> {
    let missing = || Err(Error::refused("answer", "the backend has given no answer"));
    answers?.pop().unwrap_or_else(missing)
}

impl<B: Backend> Clone for Store<B> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            queues: Arc::clone(&self.queues),
        }
    }
}

impl<B: Backend> fmt::Debug for Store<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("place", &self.core.shared.place)
            .field("backend", &self.core.backend)
            .finish_non_exhaustive()
    }
}
