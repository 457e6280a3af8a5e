//! The store that is made of a backend.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use super::batch::{BatchOperation, Batcher, Duplicates};
use super::call::{Call, Shared, Timer};
use super::clients::Clients;
use super::reaper_watch::ReaperWatch;
use super::{
    Backend, BatchLimits, Connector, Counts, Create, Destroy, Fixed, Meter, Operation, Policy,
    Save, Touch,
};
use crate::{
    Capabilities, Draft, Ended, Error, NoticeStream, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, Timeout, Ttl, Version, async_trait,
};

/// The session store that is made of a [`Backend`]. Clones share its client and its queues.
pub struct Store<B: Backend> {
    pub(super) core: Arc<Core<B>>,
    queues: Arc<Queues<B>>,
}

/// What operations need, by themselves or in a batch.
pub(super) struct Core<B: Backend> {
    pub(super) backend: B,
    pub(super) policy: Policy,
    pub(super) shared: Arc<Shared<B::Client>>,
    pub(super) meter: Meter,
    pub(super) reaper_watch: ReaperWatch,
}

/// One for each kind of operation that is batched.
struct Queues<B: Backend> {
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
        let meter = Meter::new(B::NAME);
        let place = Arc::from(connector.place());
        let counters = Arc::clone(&meter.counters);
        let clients = Clients::new(
            Box::new(connector),
            first,
            policy.timeout,
            Arc::clone(&counters),
        );
        let shared = Shared {
            clients,
            timeout: policy.timeout,
            repeats: policy.repeats,
            place,
            counters,
        };
        let core = Arc::new(Core {
            reaper_watch: ReaperWatch::new(backend.capabilities().needs_reaper),
            backend,
            policy,
            shared: Arc::new(shared),
            meter,
        });
        let queues = Queues {
            create: queue(&core, policy.create, Creates),
            load: queue(&core, policy.load, Loads),
            save: queue(&core, policy.save, Saves),
            touch: queue(&core, policy.touch, Touches),
            destroy: queue(&core, policy.destroy, Destroys),
        };
        Self {
            core,
            queues: Arc::new(queues),
        }
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
        for (queued, in_flight) in self.queues.load() {
            counts.queued += queued;
            counts.in_flight += in_flight;
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
        let call = Call::new(&self.core.shared, operation, Timer::Command);
        // Boxed: in a caller's own future, rustc refuses to lay out futures so many levels deep.
        let work = Box::pin(work(call));
        self.core.meter.observe(operation, work).await
    }

    fn call(&self, operation: Operation) -> Call<B::Client> {
        Call::new(&self.core.shared, operation, Timer::Operation)
    }

    /// Runs the work of an operation within the time limit. It is given pinned: each layer around
    /// it would otherwise hold, and move, the whole of it once more.
    async fn run<T>(
        &self,
        call: &Call<B::Client>,
        work: Pin<&mut impl Future<Output = Result<T>>>,
    ) -> Result<T> {
        let work = pin!(call.within_timeout(work));
        self.core.meter.observe(call.operation(), work).await
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
}

fn queue<B: Backend, O: BatchOperation>(
    core: &Arc<Core<B>>,
    limits: Option<BatchLimits>,
    operation: fn(Arc<Core<B>>) -> O,
) -> Option<Batcher<O>> {
    let Shared { timeout, place, .. } = &*core.shared;
    let operation = operation(Arc::clone(core));
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

    // What is not batched is boxed: a backend's future is large, and a call that is batched would
    // be as large, and moved several times (256 callers of MySQL: half the loads).
    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let create = Create::new(id.clone(), self.checked(draft)?);
        self.core.reaper_watch.check(&self.core.shared.place);
        let call = self.call(Operation::Create);
        let work = pin!(async {
            match &self.queues.create {
                Some(queue) => queue.call(create).await,
                None => only(Box::pin(self.core.backend.create(&call, &[create])).await),
            }
        });
        self.run(&call, work).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let id = id.clone();
        let call = self.call(Operation::Load);
        let work = pin!(async {
            match &self.queues.load {
                Some(queue) => queue.call(id).await,
                None => only(Box::pin(self.core.backend.load(&call, &[id])).await),
            }
        });
        self.run(&call, work).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let save = Save::new(id.clone(), self.checked(draft)?, expected.clone());
        let call = self.call(Operation::Save);
        let work = pin!(async {
            match &self.queues.save {
                Some(queue) => queue.call(save).await,
                None => only(Box::pin(self.core.backend.save(&call, &[save])).await),
            }
        });
        self.run(&call, work).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let touch = Touch::new(id.clone(), idle.whole_millis());
        let call = self.call(Operation::Touch);
        let work = pin!(async {
            match &self.queues.touch {
                Some(queue) => queue.call(touch).await,
                None => only(Box::pin(self.core.backend.touch(&call, &[touch])).await),
            }
        });
        self.run(&call, work).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let destroy = Destroy::new(id.clone(), expected.cloned());
        let call = self.call(Operation::Destroy);
        let work = pin!(async {
            match &self.queues.destroy {
                Some(queue) => queue.call(destroy).await,
                None => only(Box::pin(self.core.backend.destroy(&call, &[destroy])).await),
            }
        });
        self.run(&call, work).await
    }

    fn notices(&self) -> Option<NoticeStream> {
        let call = Call::new(&self.core.shared, Operation::Notices, Timer::Command);
        self.core.backend.notices(call)
    }
}

/// The answer to one operation.
fn only<T>(answers: Result<Vec<Result<T>>>) -> Result<T> {
    let missing = || Err(Error::refused("answer", "the backend has given no answer"));
    answers?.pop().unwrap_or_else(missing)
}

/// An operation of the backend, as batches send it.
macro_rules! batch_operations {
    ($($name:ident: $method:ident, $operation:ident, $item:ty => $answer:ty, $duplicates:ident;)*) => {$(
        struct $name<B: Backend>(Arc<Core<B>>);

        impl<B: Backend> BatchOperation for $name<B> {
            type Item = $item;
            type Answer = $answer;
            const NAME: &'static str = Operation::$operation.as_str();
            const DUPLICATES: Duplicates = Duplicates::$duplicates;

            async fn execute(&self, items: &[$item]) -> Result<Vec<Result<$answer>>> {
                let Core { backend, shared, .. } = &*self.0;
                if items.len() > 1 {
                    shared.counters.batch(items.len());
                }
                let call = Call::new(shared, Operation::$operation, Timer::Operation);
                backend.$method(&call, items).await
            }
        }
    )*};
}

batch_operations! {
    Creates: create, Create, Create => Saved, Sequence;
    Loads: load, Load, SessionId => Option<Record>, Coalesce;
    Saves: save, Save, Save => Saved, Sequence;
    Touches: touch, Touch, Touch => Option<Ttl>, Sequence;
    Destroys: destroy, Destroy, Destroy => Option<Ended>, Sequence;
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
