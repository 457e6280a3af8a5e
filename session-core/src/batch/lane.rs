//! One batch under way, whoever drives it.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::queue::Queue;
use super::{BatchLimits, Carrier, SameId};
use crate::{Error, Result, SessionId};

/// An operation, and where its answer goes.
pub(super) struct Entry<C: Carrier> {
    pub(super) item: C::Item,
    pub(super) reply: oneshot::Sender<Signal<C>>,
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
}

impl<C: Carrier> Shared<C> {
    pub(super) fn new(carrier: C, limits: BatchLimits) -> Self {
        Self {
            carrier,
            queue: Mutex::new(Queue::new(limits)),
        }
    }

    /// Queues `entry`, and gives its caller a batch to drive if one may start.
    pub(super) fn enter(shared: &Arc<Self>, entry: Entry<C>) -> Result<Option<Lane<C>>> {
        let mut queue = shared.queue();
        if queue.push(entry).is_err() {
            let (waiting, _) = queue.load();
            let message = format!("{waiting} callers are waiting already");
            return Err(Error::unavailable(C::OPERATION, message));
        }
        let may_start = queue.reserve(wanted::<C>).is_some();
        drop(queue);
        Ok(may_start.then(|| Lane::new(shared)))
    }

    /// A batch is over: the first caller who waits gets the next one to drive.
    fn finish(shared: &Arc<Self>, items: usize) {
        let (leader, own) = {
            let mut queue = shared.queue();
            queue.finish(items);
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

    /// Sends a batch, and gives everybody in it their answer.
    async fn carry(&self, batch: Vec<Entry<C>>) {
        let mut rest = batch;
        while !rest.is_empty() {
            let round;
            (round, rest) = Round::of(rest);
            self.carry_round(round).await;
        }
    }

    async fn carry_round(&self, mut round: Round<C>) {
        // What is to be sent yet; the front comes last, so that answers keep their order.
        let whole = 0..round.items.len();
        let mut parts: Vec<Range<usize>> = std::iter::once(whole).collect();
        while let Some(part) = parts.pop() {
            let items = &round.items[part.clone()];
            match self.carrier.carry(items).await {
                Ok(answers) => {
                    let given = answers.iter().flatten();
                    let bytes = given.map(C::answer_bytes).sum();
                    self.queue().learn(answers.len(), bytes);
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
    C::bytes(&entry.item)
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
            let place = *seen.entry(C::id(&entry.item)).or_insert(next);
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
    work: Option<Work>,
    /// Whether the work is being polled. If it is when the lane is dropped, it has panicked.
    polled: bool,
    /// Whether a task of its own drives it.
    in_task: bool,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<C: Carrier> Lane<C> {
    fn new(shared: &Arc<Shared<C>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            items: 0,
            work: None,
            polled: false,
            in_task: false,
        }
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

    async fn finish(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(());
        };
        self.polled = true;
        let done = work.as_mut().poll(context);
        self.polled = false;
        if done.is_ready() {
            self.work = None;
        }
        done
    }
}

impl<C: Carrier> Drop for Lane<C> {
    fn drop(&mut self) {
        // A task that is dropped too is one of a runtime that shuts down.
        let goes_on = !self.polled && !self.in_task;
        let left = self.work.take().filter(|_| goes_on);
        match (left, Handle::try_current()) {
            (Some(work), Ok(runtime)) => {
                let mut lane = Self {
                    shared: Arc::clone(&self.shared),
                    items: self.items,
                    work: Some(work),
                    polled: false,
                    in_task: true,
                };
                runtime.spawn(async move { lane.finish().await });
            }
            _ => Shared::finish(&self.shared, self.items),
        }
    }
}
