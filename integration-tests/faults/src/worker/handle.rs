//! One session in the hands of a caller, and what its operations tell the history.

use std::future::Future;
use std::time::Duration;

use session_core::{ErrorKind, Flash, Lifetime, Result, Session, SessionToken, Timeout};

use super::Worker;
use super::recorder::failed;
use crate::history::{Act, Answer, Limits, Mark, View};

/// The keys of the counters.
pub(super) const COUNTERS: [&str; 3] = ["a", "b", "c"];
const NOTE: &str = "note";
/// Under which the library keeps messages: they are read here, and taken by its own method.
const FLASHES: &str = "_flash";

/// What a call came to, for what its caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The session is not this caller's any more.
    Gone,
    Failed,
    /// The caller went away.
    Dropped,
}

/// How one call is made.
pub(super) struct Way<'w> {
    pub(super) worker: &'w Worker,
    pub(super) caller: u32,
    /// When the caller goes away, if it does.
    pub(super) patience: Option<Duration>,
}

impl Way<'_> {
    /// Makes a call and writes it and its answer to the history.
    pub(super) async fn call<T>(
        &self,
        session: Option<String>,
        act: Act,
        future: impl Future<Output = Result<T>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Outcome> {
        let recorder = &self.worker.recorder;
        let pending = recorder.call(self.caller, session, act);
        let result = match self.patience {
            None => future.await,
            Some(patience) => match tokio::time::timeout(patience, future).await {
                Ok(result) => result,
                Err(_) => {
                    recorder.answer(pending, Answer::Dropped);
                    return Err(Outcome::Dropped);
                }
            },
        };
        match result {
            Ok(value) => {
                recorder.answer(pending, answer(&value));
                Ok(value)
            }
            Err(error) => {
                recorder.answer(pending, failed(&error));
                Err(match error.kind() {
                    ErrorKind::Gone => Outcome::Gone,
                    _ => Outcome::Failed,
                })
            }
        }
    }
}

/// An opened session.
pub(super) struct Handle {
    pub(super) session: Session,
    pub(super) id: String,
    pub(super) mark: Mark,
}

impl Handle {
    /// The handle of a session that `token` has opened.
    pub(super) fn opened(session: Session, token: &SessionToken) -> Option<Self> {
        let id = session.id()?.as_str().to_owned();
        let mark = Mark::of(session.token().as_ref().unwrap_or(token));
        Some(Self { session, id, mark })
    }

    async fn write(&self, way: &Way<'_>, act: Act) -> Outcome {
        let id = Some(self.id.clone());
        let saved = way.call(id, act, self.session.save(), |()| Answer::Done);
        outcome(saved.await)
    }

    pub(super) async fn increment(&self, way: &Way<'_>, key: &str) -> Outcome {
        let act = Act::Increment {
            mark: self.mark,
            key: key.to_owned(),
        };
        let update = self
            .session
            .update(key, |old: Option<u64>| old.unwrap_or(0) + 1);
        let count = |value: &u64| Answer::Count { value: *value };
        outcome(way.call(Some(self.id.clone()), act, update, count).await)
    }

    pub(super) async fn insert(&self, way: &Way<'_>) -> Outcome {
        let note = way.worker.recorder.unique();
        match self.session.insert(NOTE, note) {
            Ok(()) => {
                self.write(
                    way,
                    Act::Insert {
                        mark: self.mark,
                        note,
                    },
                )
                .await
            }
            Err(_) => Outcome::Failed,
        }
    }

    pub(super) async fn flash(&self, way: &Way<'_>) -> Outcome {
        let number = way.worker.recorder.unique();
        match self.session.flash("info", number.to_string()) {
            Ok(()) => {
                self.write(
                    way,
                    Act::Flash {
                        mark: self.mark,
                        number,
                    },
                )
                .await
            }
            Err(_) => Outcome::Failed,
        }
    }

    pub(super) async fn take_flashes(&self, way: &Way<'_>) -> Outcome {
        let Ok(taken) = self.session.take_flashes() else {
            return Outcome::Failed;
        };
        if taken.is_empty() {
            return Outcome::Done;
        }
        let numbers = taken.iter().filter_map(number).collect();
        self.write(
            way,
            Act::TakeFlashes {
                mark: self.mark,
                numbers,
            },
        )
        .await
    }

    pub(super) async fn touch(&self, way: &Way<'_>) -> Outcome {
        let act = Act::Touch { mark: self.mark };
        let touch = self.session.touch();
        outcome(
            way.call(Some(self.id.clone()), act, touch, |()| Answer::Done)
                .await,
        )
    }

    pub(super) async fn sign_in(&mut self, way: &Way<'_>, owner: &str) -> Outcome {
        let act = Act::SignIn {
            mark: self.mark,
            owner: owner.to_owned(),
        };
        let session = self.session.clone();
        let sign_in = session.sign_in(owner);
        let signed_in = way.call(Some(self.id.clone()), act, sign_in, |()| stored(&session));
        self.renamed(signed_in.await)
    }

    pub(super) async fn cycle_id(&mut self, way: &Way<'_>) -> Outcome {
        let act = Act::CycleId { mark: self.mark };
        let session = self.session.clone();
        let cycled = way.call(Some(self.id.clone()), act, session.cycle_id(), |()| {
            stored(&session)
        });
        self.renamed(cycled.await)
    }

    fn renamed(&mut self, result: Result<(), Outcome>) -> Outcome {
        if let (Some(id), Some(token)) = (self.session.id(), self.session.token()) {
            self.id = id.as_str().to_owned();
            self.mark = Mark::of(&token);
        }
        outcome(result)
    }

    pub(super) async fn sign_out(&self, way: &Way<'_>) -> Outcome {
        let destroy = self.session.destroy();
        outcome(
            way.call(Some(self.id.clone()), Act::SignOut, destroy, |()| {
                Answer::Done
            })
            .await,
        )
    }
}

fn outcome<T>(result: Result<T, Outcome>) -> Outcome {
    result.map_or_else(|outcome| outcome, |_| Outcome::Done)
}

/// What a session is, as its handle shows it.
pub(super) fn view(session: &Session) -> View {
    let counters = COUNTERS.iter().filter_map(|key| {
        let value: Option<u64> = session.get(key).ok()?;
        Some(((*key).to_owned(), value?))
    });
    let flashes: Option<Vec<Flash>> = session.get(FLASHES).unwrap_or_default();
    View {
        counters: counters.collect(),
        note: session.get(NOTE).ok().flatten().unwrap_or(0),
        flashes: flashes
            .unwrap_or_default()
            .iter()
            .filter_map(number)
            .collect(),
        owner: session.owner().map(|owner| owner.as_str().to_owned()),
    }
}

fn number(flash: &Flash) -> Option<u64> {
    flash.text.parse().ok()
}

/// The answer that a session was stored or has got another token.
pub(super) fn stored(session: &Session) -> Answer {
    let (Some(id), Some(token)) = (session.id(), session.token()) else {
        return Answer::Done;
    };
    Answer::Stored {
        session: id.as_str().to_owned(),
        mark: Mark::of(&token),
        view: view(session),
        limits: limits(session.lifetime()),
    }
}

/// The limits as the history has them.
pub(super) fn limits(lifetime: Lifetime) -> Limits {
    let micros = |timeout: Timeout| {
        let duration = timeout.duration().unwrap_or(Duration::MAX);
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
    };
    Limits {
        idle: micros(lifetime.idle),
        absolute: micros(lifetime.absolute),
    }
}
