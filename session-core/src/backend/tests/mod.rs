//! A backend that does what a test tells it, for the tests of what is around it.

mod away;
#[cfg(feature = "metrics")]
mod metrics;
mod reaper_watch;
mod repeats;
mod silence;
mod spans;
mod store;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{
    Attempt, Backend, BatchLimits, Call, Connector, Create, Destroy, Failure, Policy, Save, Store,
    Touch,
};
use crate::{
    Capabilities, Draft, Ended, Error, Lifetime, Record, Result, Saved, SessionId, SessionStore,
    SessionToken, Ttl, async_trait,
};

const TIMEOUT: Duration = Duration::from_secs(5);
const PLACE: &str = "Toy at host:1";

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug)]
enum Step {
    Answer,
    AnswerAfter(Duration),
    Fail(fn(Failure) -> Failure),
    FailAfter(Duration, fn(Failure) -> Failure),
    NeverAnswer,
}

/// A backend whose loads are attempts of these steps; when there are no more, each is answered.
#[derive(Debug)]
struct Scripted {
    log: Arc<Log>,
    policy: Policy,
    needs_reaper: bool,
    queues: usize,
}

#[derive(Debug, Default)]
struct Log {
    steps: Mutex<VecDeque<Step>>,
    /// The number of the client of each attempt, and whether it was told that it is repeated.
    attempts: Mutex<Vec<(u32, bool)>>,
    clients: AtomicU32,
    prepared: AtomicU32,
}

#[derive(Debug)]
struct Numbered {
    log: Arc<Log>,
    has_others: bool,
    is_one_connection: bool,
}

#[async_trait]
impl Connector for Numbered {
    type Client = u32;

    fn place(&self) -> &str {
        PLACE
    }

    fn connect(&self) -> Option<u32> {
        self.has_others
            .then(|| self.log.clients.fetch_add(1, SeqCst) + 1)
    }

    async fn prepare(&self, _: u32, _: &'static str) -> Result<(), Failure> {
        self.log.prepared.fetch_add(1, SeqCst);
        Ok(())
    }

    fn is_one_connection(&self) -> bool {
        self.is_one_connection
    }
}

impl Scripted {
    async fn attempt(&self, call: &Call<u32>) -> Result<super::Sent<()>> {
        call.send(
            |Attempt {
                 client,
                 is_repeated,
                 ..
             }| async move {
                let step = {
                    let log = &self.log;
                    let mut attempts = log.attempts.lock().expect("whole");
                    attempts.push((client, is_repeated));
                    log.steps.lock().expect("whole").pop_front()
                };
                let failure = || Failure::from(Error::unavailable(call.name(), "it says no"));
                match step.unwrap_or(Step::Answer) {
                    Step::Answer => Ok(()),
                    Step::AnswerAfter(time) => {
                        tokio::time::sleep(time).await;
                        Ok(())
                    }
                    Step::Fail(how) => Err(how(failure())),
                    Step::FailAfter(time, how) => {
                        tokio::time::sleep(time).await;
                        Err(how(failure()))
                    }
                    Step::NeverAnswer => std::future::pending().await,
                }
            },
        )
        .await
    }
}

impl Backend for Scripted {
    type Client = u32;
    const NAME: &'static str = "toy";

    fn policy(&self) -> Policy {
        self.policy
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_needs_reaper(self.needs_reaper)
    }

    fn queues(&self) -> usize {
        self.queues
    }

    fn queue_of(&self, id: &SessionId) -> usize {
        usize::from(id.as_str().as_bytes()[0]) % self.queues
    }

    async fn create(&self, call: &Call<u32>, _: &[Create]) -> Result<Vec<Result<Saved>>> {
        let sent = self.attempt(call).await?;
        Ok(vec![Ok(Saved::Conflict.after(sent.is_repeated))])
    }

    async fn load(
        &self,
        call: &Call<u32>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        self.attempt(call).await?;
        Ok(ids.iter().map(|_| Ok(None)).collect())
    }

    async fn save(&self, call: &Call<u32>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        self.attempt(call).await?;
        Ok(saves.iter().map(|_| Ok(Saved::Gone)).collect())
    }

    async fn touch(&self, call: &Call<u32>, touches: &[Touch]) -> Result<Vec<Result<Option<Ttl>>>> {
        self.attempt(call).await?;
        Ok(touches.iter().map(|_| Ok(None)).collect())
    }

    async fn destroy(
        &self,
        call: &Call<u32>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        self.attempt(call).await?;
        Ok(destroys.iter().map(|_| Ok(None)).collect())
    }

    async fn migrate(&self, call: &Call<u32>) -> Result<()> {
        self.attempt(call).await.map(drop)
    }

    /// Two commands.
    async fn count(&self, call: &Call<u32>) -> Result<u64> {
        self.attempt(call).await?;
        self.attempt(call).await?;
        Ok(2)
    }
}

/// How a test's store differs from the usual one: of one connection, which others can replace, and
/// unbatched.
struct Setting {
    policy: Policy,
    has_others: bool,
    is_one_connection: bool,
    needs_reaper: bool,
    queues: usize,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            policy: Policy::new(TIMEOUT, 100),
            has_others: true,
            is_one_connection: true,
            needs_reaper: false,
            queues: 1,
        }
    }
}

impl Setting {
    fn store(self, steps: impl IntoIterator<Item = Step>) -> (Store<Scripted>, Arc<Log>) {
        let (backend, connector, log) = self.parts(steps);
        (Store::new(backend, connector, 0), log)
    }

    fn parts(self, steps: impl IntoIterator<Item = Step>) -> (Scripted, Numbered, Arc<Log>) {
        let log = Arc::new(Log {
            steps: Mutex::new(steps.into_iter().collect()),
            ..Log::default()
        });
        let connector = Numbered {
            log: Arc::clone(&log),
            has_others: self.has_others,
            is_one_connection: self.is_one_connection,
        };
        let backend = Scripted {
            log: Arc::clone(&log),
            policy: self.policy,
            needs_reaper: self.needs_reaper,
            queues: self.queues,
        };
        (backend, connector, log)
    }
}

impl Log {
    fn attempts(&self) -> Vec<(u32, bool)> {
        self.attempts.lock().expect("whole").clone()
    }

    /// The number of the client of each attempt.
    fn clients(&self) -> Vec<u32> {
        self.attempts()
            .into_iter()
            .map(|(client, _)| client)
            .collect()
    }
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn draft(bytes: usize) -> Draft {
    Draft::new(vec![b'x'; bytes], Lifetime::idle(Duration::from_secs(60)))
}
