//! Changes of single keys: their commands, and the meaning of the answers.

use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, Value};
use session_core::backend::Call;
use session_core::{Error, Owner, Result, SessionId};

use super::deadline::Expiry;
use super::{Compare, Compared, Exchange};
use crate::RedisClient;
use crate::answers::{refusal, unindexed};
use crate::clock::Reading;
use crate::command::unexpected;
use crate::lane::Lane;
use crate::record::Head;

/// How often a change is sent while others change the same key. Who logs out everywhere must win
/// against requests that write all the time.
const ATTEMPTS: u32 = 1_000;

/// A change of one session.
pub(super) trait Change {
    type Outcome;

    fn id(&self) -> &SessionId;

    /// The shortest limit that it sets.
    fn limit(&self) -> Option<Duration>;

    /// What the key is expected to hold, which spares a read.
    fn presumed(&self) -> Option<Found>;

    /// What is to be done if the key holds this.
    fn next(&self, held: &Held<'_>, now: Reading) -> Next<Self::Outcome>;
}

/// What a key was found to hold.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Nothing,
    Value(Bytes),
    /// A value that is not a string.
    OtherType,
}

/// The same, read.
#[derive(Debug)]
pub(super) enum Held<'a> {
    Nothing,
    Live(Head, &'a Bytes),
    /// A session that has ended, though its key is there.
    Ended(&'a Bytes),
    /// A string that is no session.
    Broken(&'a Bytes),
    OtherType,
}

/// What a change does next.
pub(super) enum Next<T> {
    Settled(Result<T>),
    /// Writes; the outcome is this if the server does.
    Write(Write, T),
    /// Removes a value of another type.
    Unlink(T),
}

/// A compare-and-set.
pub(super) struct Write {
    /// The value to replace; `None` if there must be none.
    pub(super) old: Option<Bytes>,
    pub(super) new: Bytes,
    pub(super) expiry: Expiry,
    /// The owner whose index must name the session, and until when; 0 for ever.
    pub(super) indexed: Option<(Owner, u64)>,
    /// The commands that enter a new session in the expiry index.
    pub(super) entry: Vec<Cmd>,
}

/// What is known of a key.
enum Known<T> {
    Unknown,
    /// Perhaps no longer.
    Presumed(Found),
    Read(Found),
    Settled(Result<T>),
}

/// The commands for a key.
enum Step<T> {
    Ask,
    Next(Next<T>),
}

impl Write {
    /// Ends a session that is stored as `old`.
    pub(super) const fn end(old: Bytes) -> Self {
        Self {
            old: Some(old),
            new: Bytes::new(),
            expiry: Expiry::Passed,
            indexed: None,
            entry: Vec::new(),
        }
    }

    /// The command on a server that has `DELIFEQ` if it `deletes`.
    fn command(&self, key: &str, deletes: bool) -> Cmd {
        if let (true, Expiry::Passed, Some(old)) = (deletes, self.expiry, &self.old) {
            // A server without free memory refuses `SET`, and then no session could be ended.
            let mut delete = Cmd::with_capacity(3, key.len() + old.len() + 16);
            delete.arg("DELIFEQ").arg(key).arg(&old[..]);
            return delete;
        }
        let old = self.old.as_ref().map_or(0, Bytes::len);
        let mut set = Cmd::with_capacity(7, key.len() + self.new.len() + old + 32);
        set.arg("SET").arg(key).arg(&self.new[..]);
        match &self.old {
            Some(old) => set.arg("IFEQ").arg(&old[..]),
            None => set.arg("NX"),
        };
        self.expiry.add_to(&mut set);
        set
    }
}

impl Found {
    pub(super) fn read(call: &Call<RedisClient>, answer: Value) -> Result<Self> {
        match answer {
            Value::Nil => Ok(Self::Nothing),
            Value::BulkString(value) => Ok(Self::Value(value.into())),
            Value::ServerError(_) => refusal(call, &answer).map_or(Ok(Self::OtherType), Err),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn held(&self, now: Reading) -> Held<'_> {
        match self {
            Self::Nothing => Held::Nothing,
            Self::OtherType => Held::OtherType,
            Self::Value(value) => match Head::read(value) {
                None => Held::Broken(value),
                Some(head) if head.has_ended(now.earliest()) => Held::Ended(value),
                Some(head) => Held::Live(head, value),
            },
        }
    }
}

impl<T> Known<T> {
    const fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }

    fn step(&self, change: &impl Change<Outcome = T>, now: Reading) -> Option<Step<T>> {
        match self {
            Self::Settled(_) => None,
            Self::Unknown => Some(Step::Ask),
            Self::Presumed(found) => match found.held(now) {
                held @ (Held::Nothing | Held::Live(..)) => {
                    Some(Step::Next(change.next(&held, now)))
                }
                // It may have been touched or replaced since.
                _ => Some(Step::Ask),
            },
            Self::Read(found) => Some(Step::Next(change.next(&found.held(now), now))),
        }
    }
}

impl Compare<'_> {
    /// Makes `changes`, each of another session. One round trip, and two more for those whose
    /// session has changed since it was read.
    pub(super) async fn run<C: Change>(
        self,
        changes: &[C],
    ) -> Result<Compared<Vec<Result<C::Outcome>>>> {
        let keys: Vec<String> = changes
            .iter()
            .map(|change| self.backend.keys.session(change.id()))
            .collect();
        let limit = changes.iter().filter_map(Change::limit).min();
        let presumed = |change: &C| change.presumed().map_or(Known::Unknown, Known::Presumed);
        let mut known: Vec<Known<C::Outcome>> = changes.iter().map(presumed).collect();
        let mut is_repeated = false;
        let mut failed = Error::contention(ATTEMPTS);
        // An attempt is a write, and a read if it is refused.
        for _ in 0..=2 * ATTEMPTS {
            if known.iter().all(Known::is_settled) {
                break;
            }
            let compose = |now, lane| self.compose(changes, &keys, &known, (now, lane));
            let sent = self.exchange(limit, compose).await;
            let learnt = match sent {
                Ok(sent) => {
                    is_repeated |= sent.is_repeated;
                    match sent.answer {
                        Some(exchange) => self.learn(exchange, &mut known).await,
                        None if known.iter().any(Known::is_settled) => Err(self.changed_lane()),
                        None => {
                            return Ok(Compared {
                                answer: None,
                                is_repeated,
                            });
                        }
                    }
                }
                Err(error) => Err(error),
            };
            if let Err(error) = learnt {
                if !known.iter().any(Known::is_settled) {
                    return Err(error);
                }
                // What is settled stays so: it may be written, and is to be told.
                failed = error;
                break;
            }
        }
        let settled = known.into_iter().map(|known| match known {
            Known::Settled(outcome) => outcome,
            _ => Err(failed.clone()),
        });
        let answer = Some(settled.collect());
        Ok(Compared {
            answer,
            is_repeated,
        })
    }

    /// For a server that takes scripts, in the place of one with which some changes were settled.
    pub(super) fn changed_lane(self) -> Error {
        let call = self.route.call;
        let why = format!("{}: another server answers than before", call.place());
        Error::unavailable(call.name(), why)
    }

    /// The steps of `changes`, and the commands for them.
    fn compose<C: Change>(
        self,
        changes: &[C],
        keys: &[String],
        known: &[Known<C::Outcome>],
        (now, lane): (Reading, Lane),
    ) -> (Pipeline, Vec<Option<Step<C::Outcome>>>) {
        let deletes = lane == Lane::Compare { deletes: true };
        let known = known.iter().zip(changes);
        let steps: Vec<_> = known
            .map(|(known, change)| known.step(change, now))
            .collect();
        let mut commands = Pipeline::with_capacity(steps.len());
        // The answer of a server that is not the primary counts for nothing.
        if steps.iter().any(|step| matches!(step, Some(Step::Ask))) {
            commands.add_command(self.backend.keys.no_op_write());
        }
        for ((step, key), change) in steps.iter().zip(keys).zip(changes) {
            match step {
                Some(Step::Ask) => {
                    commands.get(key);
                }
                Some(Step::Next(Next::Write(write, _))) => {
                    for command in &write.entry {
                        commands.add_command(command.clone());
                    }
                    if let Some((owner, until)) = &write.indexed {
                        self.add_index_entry(&mut commands, owner, change.id(), *until);
                    }
                    commands.add_command(write.command(key, deletes));
                }
                Some(Step::Next(Next::Unlink(_))) => {
                    commands.unlink(key);
                }
                Some(Step::Next(Next::Settled(_))) | None => {}
            }
        }
        (commands, steps)
    }

    /// What the answers say of the keys.
    async fn learn<T>(
        self,
        exchange: Exchange<Vec<Option<Step<T>>>>,
        known: &mut [Known<T>],
    ) -> Result<()> {
        let Exchange {
            composed: steps,
            mut answers,
            now,
        } = exchange;
        let call = self.route.call;
        let mut next = || answers.next().ok_or_else(unexpected);
        let mut not_primary = None;
        if steps.iter().any(|step| matches!(step, Some(Step::Ask))) {
            not_primary = refusal(call, &next()?);
        }
        let mut indexes = Vec::new();
        for (step, known) in steps.into_iter().zip(known) {
            let Some(step) = step else { continue };
            *known = match step {
                Step::Ask => {
                    let found = Found::read(call, next()?);
                    match not_primary.clone().map_or(found, Err) {
                        Ok(found) => Known::Read(found),
                        Err(error) => Known::Settled(Err(error)),
                    }
                }
                Step::Next(Next::Settled(outcome)) => Known::Settled(outcome),
                Step::Next(Next::Unlink(outcome)) => {
                    Known::Settled(refusal(call, &next()?).map_or(Ok(outcome), Err))
                }
                Step::Next(Next::Write(write, outcome)) => {
                    let mut refused = None;
                    for _ in &write.entry {
                        let answer = next()?;
                        log_refused_entry(&answer);
                        refused = refused.or(refusal(call, &answer));
                    }
                    if let Some(entry) = write.indexed {
                        let answers = [next()?, next()?, next()?];
                        let error = answers.iter().find_map(|answer| refusal(call, answer));
                        refused = refused.or(error);
                        indexes.push((entry, answers));
                    }
                    match (next()?, refused) {
                        // `DELIFEQ` answers with a number.
                        (Value::Okay | Value::Int(1), None) => Known::Settled(Ok(outcome)),
                        (answer @ Value::ServerError(_), _) => match refusal(call, &answer) {
                            Some(error) => Known::Settled(Err(error)),
                            None => Known::Read(Found::OtherType),
                        },
                        // An attempt whose answer was lost may have written it.
                        (_, Some(error)) => Known::Settled(Err(unindexed(call, error))),
                        _ => Known::Unknown,
                    }
                }
            };
        }
        if let Err(error) = self.follow_up(indexes, now).await {
            // The sessions are written, and the next write to such an index tries again.
            tracing::debug!(%error, "cannot set the expiry of an owner index");
        }
        Ok(())
    }
}

/// Logs an answer of the expiry index, if that is a value of another type.
fn log_refused_entry(answer: &Value) {
    if let Value::ServerError(error) = answer {
        tracing::debug!(%error, "cannot write the expiry index");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(write: &Write, deletes: bool) -> Vec<u8> {
        write.command("k", deletes).get_packed_command()
    }

    #[test]
    fn an_end_takes_no_memory_where_the_server_compares_and_deletes() {
        let end = Write::end(Bytes::from_static(b"old"));
        let delete = b"*3\r\n$7\r\nDELIFEQ\r\n$1\r\nk\r\n$3\r\nold\r\n";
        assert_eq!(words(&end, true), delete);
        assert!(words(&end, false).starts_with(b"*7\r\n$3\r\nSET\r\n"));
        let save = Write {
            expiry: Expiry::After(1),
            ..Write::end(Bytes::from_static(b"old"))
        };
        assert!(words(&save, true).starts_with(b"*7\r\n$3\r\nSET\r\n"));
    }
}
