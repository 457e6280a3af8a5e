//! Explores the interleavings of callers that drive, hand over and abandon batches:
//! `RUSTFLAGS="--cfg loom" cargo test -p session-core --lib --target-dir target/loom loom_tests`.
//! A caller that nothing wakes is a deadlock, which loom reports.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;

use super::{BatchLimits, BatchOperation, Batcher, Duplicates, Touch};
use crate::{Result, SessionId, SessionToken, Timeout, Ttl};

/// Answers at the second poll, so that a caller can go away while its batch is in flight.
struct Slow;

impl BatchOperation for Slow {
    type Item = Touch;
    type Answer = Option<Ttl>;
    const NAME: &'static str = "touch";
    const DUPLICATES: Duplicates = Duplicates::Sequence;

    async fn execute(&self, items: &[Touch]) -> Result<Vec<Result<Option<Ttl>>>> {
        let mut is_sent = false;
        std::future::poll_fn(|context: &mut Context<'_>| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut is_sent, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        Ok(items.iter().map(|_| Ok(None)).collect())
    }
}

/// One batch in flight at a time, and none by itself while another is: the others are queued.
fn batcher() -> Arc<Batcher<Slow>> {
    let limits = BatchLimits::new(1, 1);
    Arc::new(Batcher::new(
        Slow,
        limits,
        Duration::from_secs(5),
        Arc::from("here"),
    ))
}

fn touch(id: &SessionId) -> Touch {
    Touch::new(id.clone(), Timeout::Never)
}

/// Explored with up to this many preemptions, which finds nearly all faults (loom's advice).
const PREEMPTIONS: usize = 3;

fn explore(model: impl Fn(&SessionId) + Sync + Send + 'static) {
    let id = SessionToken::generate().id();
    let mut explored = loom::model::Builder::new();
    explored.preemption_bound = Some(PREEMPTIONS);
    explored.check(move || model(&id));
}

/// Calls in a thread of its own.
fn caller(batcher: &Arc<Batcher<Slow>>, id: &SessionId) -> thread::JoinHandle<()> {
    let (batcher, touch) = (Arc::clone(batcher), touch(id));
    thread::spawn(move || {
        block_on(batcher.call(touch)).expect("an answer");
    })
}

#[test]
fn each_of_two_callers_is_answered() {
    explore(|id| {
        let batcher = batcher();
        let other = caller(&batcher, id);
        block_on(batcher.call(touch(id))).expect("an answer");
        other.join().expect("no panic");
        assert_eq!(batcher.load(), (0, 0));
    });
}

/// It may have queued, or have been handed a batch that it never sees.
#[test]
fn a_caller_that_goes_away_leaves_nobody_waiting() {
    for polls in 1..=2 {
        explore(move |id| {
            let batcher = batcher();
            let other = caller(&batcher, id);
            let mut call = Box::pin(batcher.call(touch(id)));
            let _ = (0..polls).all(|_| poll(&mut call).is_pending());
            drop(call);
            other.join().expect("no panic");
            block_on(batcher.call(touch(id))).expect("an answer");
        });
    }
}

/// It drives the batch that the other's operation may be in.
#[test]
fn a_leader_that_goes_away_takes_nobody_along() {
    explore(|id| {
        let batcher = batcher();
        let mut first = Box::pin(batcher.call(touch(id)));
        let mut leader = Box::pin(batcher.call(touch(id)));
        assert!(poll(&mut first).is_pending() && poll(&mut leader).is_pending());
        let other = caller(&batcher, id);
        assert!(poll(&mut first).is_ready());
        let _ = poll(&mut leader);
        drop(leader);
        other.join().expect("no panic");
        block_on(batcher.call(touch(id))).expect("an answer");
    });
}

fn poll<F: Future>(call: &mut Pin<Box<F>>) -> Poll<F::Output> {
    thread::yield_now();
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// `tokio::sync::oneshot`, of which loom sees each step.
pub(super) mod oneshot {
    use loom::sync::{Arc, Mutex, MutexGuard};

    use super::{Context, Future, Pin, Poll, Waker};

    struct State<T> {
        message: Option<T>,
        waker: Option<Waker>,
        sender_is_gone: bool,
        receiver_is_gone: bool,
    }

    pub(in super::super) struct Sender<T>(Arc<Mutex<State<T>>>);
    pub(in super::super) struct Receiver<T>(Arc<Mutex<State<T>>>);

    pub(in super::super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let state = Arc::new(Mutex::new(State {
            message: None,
            waker: None,
            sender_is_gone: false,
            receiver_is_gone: false,
        }));
        (Sender(Arc::clone(&state)), Receiver(state))
    }

    fn locked<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
        state.lock().expect("whole")
    }

    impl<T> Sender<T> {
        pub(in super::super) fn send(self, message: T) -> Result<(), T> {
            let mut state = locked(&self.0);
            if state.receiver_is_gone {
                return Err(message);
            }
            state.message = Some(message);
            Ok(())
        }

        pub(in super::super) fn is_closed(&self) -> bool {
            locked(&self.0).receiver_is_gone
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let waker = {
                let mut state = locked(&self.0);
                state.sender_is_gone = true;
                state.waker.take()
            };
            waker.map(Waker::wake);
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, ()>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let mut state = locked(&self.0);
            match state.message.take() {
                Some(message) => Poll::Ready(Ok(message)),
                None if state.sender_is_gone => Poll::Ready(Err(())),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            // What was sent in the meantime is dropped unread, and not while the lock is held.
            let _unread = {
                let mut state = locked(&self.0);
                state.receiver_is_gone = true;
                state.message.take()
            };
        }
    }
}
