//! Ends of sessions.

use std::time::Duration;

use redis::Pipeline;
use session_core::{Ended, Owner, Result, SessionId, Version};

use super::change::{Change, Found, Held, Next, Write};
use super::write::stored;
use super::{Compare, Compared, Exchange};
use crate::answers::refusal;
use crate::clock::Reading;
use crate::command::{DestroyOutcome, unexpected};
use crate::record::StoredSession;

/// The end of a session of this owner or version.
struct ConditionalEnd<'a> {
    id: &'a SessionId,
    owner: Option<&'a Owner>,
    expected: Option<&'a Version>,
}

impl Compare<'_> {
    /// Ends `ids`; with `owner` or `expected`, those of this owner or version. One round trip
    /// without a condition, or with a version whose bytes are known; else two; more for a session
    /// that has changed between.
    pub(crate) async fn destroy(
        self,
        ids: &[SessionId],
        owner: Option<&Owner>,
        expected: Option<&Version>,
    ) -> Result<Compared<Vec<Result<DestroyOutcome>>>> {
        if owner.is_none() && expected.is_none() {
            return self.take(ids).await;
        }
        let end = |id| ConditionalEnd {
            id,
            owner,
            expected,
        };
        let ends: Vec<_> = ids.iter().map(end).collect();
        self.run(&ends).await
    }

    /// Ends `ids`, whatever their keys hold.
    async fn take(self, ids: &[SessionId]) -> Result<Compared<Vec<Result<DestroyOutcome>>>> {
        let keys = |command: &str| {
            let mut commands = Pipeline::with_capacity(ids.len());
            for id in ids {
                commands.cmd(command).arg(self.backend.keys.session(id));
            }
            commands
        };
        let sent = self.exchange(None, |_, _| (keys("GETDEL"), ())).await?;
        let mut is_repeated = sent.is_repeated;
        let Some(Exchange { answers, now, .. }) = sent.answer else {
            return Ok(Compared {
                answer: None,
                is_repeated,
            });
        };
        if answers.len() != ids.len() {
            return Err(unexpected());
        }
        let call = self.route.call;
        let mut found: Vec<_> = answers.map(|answer| Found::read(call, answer)).collect();
        let is_left = |found: &Result<Found>| matches!(found, Ok(Found::OtherType));
        if found.iter().any(is_left) {
            // `GETDEL` leaves such values, and has removed the others.
            let sent = self.exchange(None, |_, _| (keys("UNLINK"), ())).await;
            let refused = match sent {
                Ok(sent) => {
                    is_repeated |= sent.is_repeated;
                    let answers = sent.answer.map(|exchange| exchange.answers);
                    answers.map_or(Some(self.changed_lane()), |mut answers| {
                        answers.find_map(|answer| refusal(call, &answer))
                    })
                }
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                let left = found.iter_mut().filter(|found| is_left(found));
                left.for_each(|found| *found = Err(error.clone()));
            }
        }
        let outcome = |(found, id): (Result<Found>, _)| Ok(taken(&found?.held(now), id, now));
        let answer = Some(found.into_iter().zip(ids).map(outcome).collect());
        Ok(Compared {
            answer,
            is_repeated,
        })
    }
}

impl Change for ConditionalEnd<'_> {
    type Outcome = DestroyOutcome;

    fn id(&self) -> &SessionId {
        self.id
    }

    fn limit(&self) -> Option<Duration> {
        None
    }

    fn presumed(&self) -> Option<Found> {
        self.expected.and_then(stored).map(Found::Value)
    }

    fn next(&self, held: &Held<'_>, now: Reading) -> Next<DestroyOutcome> {
        let outcome = taken(held, self.id, now);
        let value = match held {
            Held::Nothing | Held::Ended(_) => return Next::Settled(Ok(outcome)),
            // It is no version of a session, and in an index it may be of that owner.
            Held::Broken(_) | Held::OtherType if self.expected.is_some() => {
                return Next::Settled(Ok(DestroyOutcome::Mismatch));
            }
            Held::OtherType => return Next::Unlink(outcome),
            Held::Broken(value) | Held::Live(_, value) => *value,
        };
        let is_expected = |session: &StoredSession| {
            self.expected
                .is_none_or(|expected| expected.stamp() == session.stamp)
                && self
                    .owner
                    .is_none_or(|owner| session.owner.as_ref() == Some(owner))
        };
        match StoredSession::decode(value.clone()) {
            Ok(session) if is_expected(&session) => {}
            Err(_) if self.expected.is_none() => {}
            _ => return Next::Settled(Ok(DestroyOutcome::Mismatch)),
        }
        Next::Write(Write::end(value.clone()), outcome)
    }
}

/// The outcome of removing what was held.
fn taken(held: &Held<'_>, id: &SessionId, now: Reading) -> DestroyOutcome {
    match held {
        Held::Nothing | Held::Ended(_) => DestroyOutcome::Absent,
        Held::Broken(_) | Held::OtherType => DestroyOutcome::Done(Ended::unknown(id.clone())),
        Held::Live(_, value) => {
            DestroyOutcome::Done(match StoredSession::decode((*value).clone()) {
                Ok(session) => {
                    // As when it began, so that the uncertainties do not add up.
                    let age = session.age(now.earliest());
                    Ended::new(id.clone(), session.owner, age)
                }
                Err(_) => Ended::unknown(id.clone()),
            })
        }
    }
}
