//! Asks nodes which of them serves which slots.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture};
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Cmd, ErrorKind, RedisError, RedisResult};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::Cluster;
use super::layout::Layout;
use super::node::Node;

/// The time between two times that nodes are asked.
const INTERVAL: Duration = Duration::from_millis(100);
/// How many nodes are asked at once.
const ASKED: usize = 3;
/// How long others have to answer too, once one has.
const GRACE: Duration = Duration::from_millis(50);

/// All callers wait for the same answer.
pub(super) type Refresh = SharedFuture<BoxFuture<'static, RedisResult<()>>>;

/// When nodes were asked.
#[derive(Default)]
pub(super) struct Refreshing(Mutex<State>);

#[derive(Default)]
struct State {
    current: Option<(Refresh, AbortHandle)>,
    ended: Option<Instant>,
}

impl Refreshing {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cluster {
    /// Asks nodes anew, in a task: a caller that goes away does not end it for others.
    pub(super) fn refresh(&self) -> Refresh {
        self.0.refreshing.change(|state| {
            match &state.current {
                Some((current, task)) if !task.is_finished() => return current.clone(),
                _ => {}
            }
            let (cluster, ended) = (self.clone(), state.ended);
            let task = tokio::spawn(async move {
                if let Some(ended) = ended {
                    sleep_until(ended + INTERVAL).await;
                }
                let done = cluster.ask().await;
                let now = Instant::now();
                cluster.0.refreshing.change(|state| state.ended = Some(now));
                done
            });
            let handle = task.abort_handle();
            let done = task.map(|done| {
                done.unwrap_or_else(|ended| Err(io::Error::other(ended.to_string()).into()))
            });
            let refresh = done.boxed().shared();
            state.current = Some((refresh.clone(), handle));
            refresh
        })
    }

    /// The same, without waiting for it.
    pub(super) fn refresh_soon(&self) {
        drop(self.refresh());
    }

    async fn ask(&self) -> RedisResult<()> {
        let mut answers = Answers::new(self.epoch());
        let candidates = self.candidates();
        for nodes in candidates.chunks(ASKED) {
            self.ask_some(nodes, &mut answers).await;
            if answers.is_conclusive() {
                break;
            }
        }
        let have_all = answers.count == candidates.len();
        match &answers.best {
            // A node that has not answered may know better, and those that are known may serve.
            Some(_) if !answers.is_conclusive() && !have_all && self.is_served() => Ok(()),
            Some(layout) => {
                self.adopt(layout);
                Ok(())
            }
            None => Err(answers.error.unwrap_or_else(no_node)),
        }
    }

    /// Adds the answers of `nodes`, of which one may be silent.
    async fn ask_some(&self, nodes: &[Arc<Node>], answers: &mut Answers) {
        let limit = self.timeout() / 4;
        let asking = nodes.iter().map(|node| timeout(limit, layout_of(node)));
        let mut asking: FuturesUnordered<_> = asking.collect();
        loop {
            let is_conclusive = answers.is_conclusive();
            let grace = if is_conclusive { GRACE } else { limit };
            match timeout(grace, asking.next()).await {
                Ok(Some(answer)) => answers.add(answer.unwrap_or_else(|_| Err(silent()))),
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// What nodes have said.
struct Answers {
    /// The epoch that was known before.
    known: u64,
    best: Option<Layout>,
    /// How many nodes have said how the slots are served.
    count: usize,
    error: Option<RedisError>,
}

impl Answers {
    const fn new(known: u64) -> Self {
        Self {
            known,
            best: None,
            count: 0,
            error: None,
        }
    }

    fn add(&mut self, answer: RedisResult<Layout>) {
        match answer {
            Ok(layout) => {
                self.count += 1;
                if self
                    .best
                    .as_ref()
                    .is_none_or(|best| best.rank() < layout.rank())
                {
                    self.best = Some(layout);
                }
            }
            // An answer of the server's tells more than silence.
            Err(why) if self.error.is_none() || !why.is_timeout() => self.error = Some(why),
            Err(_) => {}
        }
    }

    /// Whether the best answer is of a node of the majority, and no earlier than what is known.
    fn is_conclusive(&self) -> bool {
        let best = self.best.as_ref();
        best.is_some_and(|best| best.is_ok && best.epoch >= self.known)
    }
}

async fn layout_of(node: &Node) -> RedisResult<Layout> {
    let cluster = |what: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg(what);
        command
    };
    let commands: [Cmd; 2] = [cluster("SLOTS"), cluster("INFO")];
    let commands: Vec<&Cmd> = commands.iter().collect();
    let answers = Cluster::send_to(node, &commands, false).await?;
    let mut answers = answers.into_iter().map(redis::Value::extract_error);
    let mut answer = || answers.next().unwrap_or_else(|| Err(no_node()));
    let (slots, info) = (answer()?, answer()?);
    Layout::read(&slots, info, &node.address)
}

fn silent() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, "no node of the cluster answers").into()
}

fn no_node() -> RedisError {
    (
        ErrorKind::InvalidClientConfig,
        "a cluster needs at least one address",
    )
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn only_a_layout_of_the_majority_that_is_no_earlier_is_conclusive() {
        let mut answers = Answers::new(7);
        let layout = |is_ok, epoch| Layout {
            is_ok,
            epoch,
            ranges: Vec::new(),
            ids: HashMap::default(),
        };
        assert!(!answers.is_conclusive());
        for late in [Ok(layout(false, 9)), Err(silent()), Ok(layout(true, 6))] {
            answers.add(late);
            assert!(!answers.is_conclusive());
        }
        answers.add(Ok(layout(true, 7)));
        assert!(answers.is_conclusive());
        answers.add(Ok(layout(false, 10)));
        assert!(answers.is_conclusive());
        assert_eq!(answers.count, 4);
    }
}
