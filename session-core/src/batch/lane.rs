//! One batch under way, whoever drives it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::queue::{Given, Queue};
use super::{BatchLimits, Carrier, Item, SameId, given_up};
use crate::{Error, Result, SessionId};

/// An operation, and where its answer goes.
pub(super) struct Entry<C: Carrier> {
    pub(super) item: C::Item,
    pub(super) reply: oneshot::Sender<Signal<C>>,
}

/// How an operation goes on its way.
pub(super) enum Entered<C: Carrier> {
    /// By itself, at once.
    Alone(Lane<C>),
    /// In a batch, which its caller may have to drive; the answer comes here.
    Queued(Option<Lane<C>>, oneshot::Receiver<Signal<C>>),
}

/// What a caller that waits is told.
pub(super) enum Signal<C: Carrier> {
    Answer(Result<C::Answer>),
    /// To drive the next batch; the answer to its own operation comes here.
    /// Dropped unread, the receiver must go first, for then nobody waits for the operation.
    Lead(oneshot::Receiver<Signal<C>>, Lane<C>),
}

pub(super) struct Shared<C: Carrier> {
    carrier: C,
    queue: Mutex<Queue<Entry<C>>>,
    /// How long a caller waits, and a batch that goes on without its callers.
    pub(super) limit: Duration,
}

impl<C: Carrier> Shared<C> {
    pub(super) fn new(carrier: C, limits: BatchLimits, limit: Duration) -> Self {
        Self {
            carrier,
            queue: Mutex::new(Queue::new(limits)),
            limit,
        }
    }

    /// Starts `item` by itself, or queues it and gives its caller a batch to drive if one may start.
    pub(super) fn enter(shared: &Arc<Self>, item: C::Item) -> Result<Entered<C>> {
        let mut queue = shared.queue();
        if queue.start_alone() {
            drop(queue);
            return Ok(Entered::Alone(Lane::alone(shared, item)));
        }
        let (reply, answer) = oneshot::channel();
        if queue.push(Entry { item, reply }).is_err() {
            let (waiting, _) = queue.load();
            let message = format!("{waiting} callers are waiting already");
            return Err(Error::unavailable(C::OPERATION, message));
        }
        let may_start = queue.reserve(wanted::<C>).is_some();
        drop(queue);
        let lane = may_start.then(|| Lane::new(shared));
        Ok(Entered::Queued(lane, answer))
    }

    /// A batch is over: the first caller who waits gets the next one to drive.
    fn finish(shared: &Arc<Self>, items: usize, given: Given) {
        let (leader, own) = {
            let mut queue = shared.queue();
            queue.finish(items, given);
            let Some(first) = queue.reserve(wanted::<C>) else {
                return;
            };
            let (reply, own) = oneshot::channel();
            (std::mem::replace(&mut first.reply, reply), own)
        };
        // Should the leader have gone away, the lane is dropped, and comes here again.
        let _ = leader.send(Signal::Lead(own, Lane::new(shared)));
    }

    pub(super) fn load(&self) -> (usize, usize) {
        self.queue().load()
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Entry<C>>> {
        // Nothing panics while the queue is half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an operation by itself.
    async fn carry_alone(&self, item: C::Item) -> Done<C> {
        let carried = self.carrier.carry(std::slice::from_ref(&item)).await;
        let answer =
            carried.and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(given_up::<C>())));
        let mut given = Given::default();
        given.count(&answer);
        Done {
            given,
            answer: Some(answer),
        }
    }

    /// Sends a batch, and gives everybody in it their answer.
    async fn carry(&self, batch: Vec<Entry<C>>) -> Done<C> {
        let mut given = Given::default();
        let mut rest = batch;
        while !rest.is_empty() {
            let round;
            (round, rest) = Round::of(rest);
            self.carry_round(round, &mut given).await;
        }
        Done {
            given,
            answer: None,
        }
    }

    async fn carry_round(&self, mut round: Round<C>, given: &mut Given) {
        // What is to be sent yet; the front comes last, so that answers keep their order.
        let whole = 0..round.items.len();
        let mut parts: Vec<Range<usize>> = std::iter::once(whole).collect();
        while let Some(part) = parts.pop() {
            let items = &round.items[part.clone()];
            match self.carrier.carry(items).await {
                Ok(answers) => {
                    answers.iter().for_each(|answer| given.count(answer));
                    round.answer(part, answers);
                }
                Err(error) if error.is_temporary() || part.len() == 1 => round.fail(part, &error),
                Err(_) => {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
        }
    }
}

fn weight<C: Carrier>(entry: &Entry<C>) -> usize {
    entry.item.bytes()
}

fn wanted<C: Carrier>(entry: &Entry<C>) -> bool {
    !entry.reply.is_closed()
}

/// Operations of which no two are about the same session.
struct Round<C: Carrier> {
    items: Vec<C::Item>,
    replies: Vec<Replies<C>>,
}

/// Who waits for an answer: one caller, and those who want the same.
struct Replies<C: Carrier> {
    first: Option<oneshot::Sender<Signal<C>>>,
    others: Vec<oneshot::Sender<Signal<C>>>,
}

impl<C: Carrier> Round<C> {
    /// The first round of a batch, and what is left for the next ones.
    fn of(batch: Vec<Entry<C>>) -> (Self, Vec<Entry<C>>) {
        let mut round = Self {
            items: Vec::with_capacity(batch.len()),
            replies: Vec::with_capacity(batch.len()),
        };
        let mut later = Vec::new();
        for (entry, place) in zip_places(batch) {
            match place {
                None => round.push(entry),
                Some(place) if C::SAME_ID == SameId::Shared => {
                    round.replies[place].others.push(entry.reply);
                }
                Some(_) => later.push(entry),
            }
        }
        (round, later)
    }

    fn push(&mut self, entry: Entry<C>) {
        self.items.push(entry.item);
        self.replies.push(Replies {
            first: Some(entry.reply),
            others: Vec::new(),
        });
    }

    fn answer(&mut self, part: Range<usize>, answers: Vec<Result<C::Answer>>) {
        debug_assert_eq!(answers.len(), part.len(), "an answer for each");
        for (place, answer) in part.zip(answers) {
            self.reply(place, answer);
        }
    }

    fn fail(&mut self, part: Range<usize>, error: &Error) {
        for place in part {
            self.reply(place, Err(error.clone()));
        }
    }

    fn reply(&mut self, place: usize, answer: Result<C::Answer>) {
        let Replies { first, others } = &mut self.replies[place];
        // A caller that has gone away wants no answer.
        for reply in others.drain(..) {
            let _ = reply.send(Signal::Answer(answer.clone()));
        }
        let _ = (first.take()).map(|reply| reply.send(Signal::Answer(answer)));
    }
}

/// Each entry, with its session's place among the different ones if that came before.
fn zip_places<C: Carrier>(batch: Vec<Entry<C>>) -> impl Iterator<Item = (Entry<C>, Option<usize>)> {
    let mut seen: HashMap<&SessionId, usize> = HashMap::new();
    let mut places = Vec::new();
    if batch.len() > 1 {
        seen.reserve(batch.len());
        for entry in &batch {
            let next = seen.len();
            let place = *seen.entry(entry.item.id()).or_insert(next);
            places.push((place < next).then_some(place));
        }
    }
    let places = places.into_iter().chain(std::iter::repeat(None));
    batch.into_iter().zip(places)
}

/// One batch: first the room for it, then what is in it. Dropped before its end, it goes on in a
/// task.
pub(super) struct Lane<C: Carrier> {
    shared: Arc<Shared<C>>,
    items: usize,
    work: Option<Work<C>>,
    given: Given,
    /// Whether the work is being polled. If it is when the lane is dropped, it has panicked.
    polled: bool,
    /// Whether a task of its own drives it.
    in_task: bool,
}

type Work<C> = Pin<Box<dyn Future<Output = Done<C>> + Send>>;

/// What has come of a batch, and the answer if it was one operation by itself.
struct Done<C: Carrier> {
    given: Given,
    answer: Option<Result<C::Answer>>,
}

impl<C: Carrier> Lane<C> {
    fn new(shared: &Arc<Shared<C>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            items: 0,
            work: None,
            given: Given::default(),
            polled: false,
            in_task: false,
        }
    }

    fn alone(shared: &Arc<Shared<C>>, item: C::Item) -> Self {
        let mut lane = Self::new(shared);
        lane.items = 1;
        let shared = Arc::clone(shared);
        lane.work = Some(Box::pin(async move { shared.carry_alone(item).await }));
        lane
    }

    /// Sees an operation by itself to its end.
    pub(super) async fn send(mut self) -> Result<C::Answer> {
        self.finish().await.unwrap_or_else(|| Err(given_up::<C>()))
    }

    /// Takes what waits, and sees it to its end.
    pub(super) async fn drive(&mut self) {
        if self.shared.queue().expects_company() {
            // Those who are ready to run come along. Without this the first of them would go by
            // itself, and the others wait for a whole round trip.
            tokio::task::yield_now().await;
        }
        let batch = self.shared.queue().take(weight::<C>, wanted::<C>);
        if batch.is_empty() {
            return;
        }
        self.items = batch.len();
        let shared = Arc::clone(&self.shared);
        self.work = Some(Box::pin(async move { shared.carry(batch).await }));
        self.finish().await;
    }

    async fn finish(&mut self) -> Option<Result<C::Answer>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<C::Answer>>> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(None);
        };
        self.polled = true;
        let done = work.as_mut().poll(context);
        self.polled = false;
        done.map(|Done { given, answer }| {
            self.work = None;
            self.given = given;
            answer
        })
    }
}

impl<C: Carrier> Drop for Lane<C> {
    fn drop(&mut self) {
        // A task that is dropped too is one of a runtime that shuts down.
        let goes_on = !self.polled && !self.in_task;
        let left = self.work.take().filter(|_| goes_on);
        match (left, Handle::try_current()) {
            (Some(work), Ok(runtime)) => {
                let mut lane = Self::new(&self.shared);
                lane.items = self.items;
                lane.work = Some(work);
                lane.in_task = true;
                runtime.spawn(async move {
                    let limit = lane.shared.limit;
                    // Who still waits has waited as long.
                    let _ = tokio::time::timeout(limit, lane.finish()).await;
                });
            }
            _ => Shared::finish(&self.shared, self.items, self.given),
        }
    }
}
