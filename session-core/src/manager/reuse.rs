//! Opening a session: judge the token, and act when an old one is used again.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::manager::ending::Ending;
use crate::manager::identity::Verdict;
use crate::manager::judged_token::JudgedToken;
use crate::manager::observer::{EndReason, Event, Refusal};
use crate::manager::sessions::Manager;
use crate::time_limit::within_one_limit;
use crate::{Error, ErrorKind, Record, Result, Session, SessionId, SessionToken};

/// How often a session is judged anew because another request wrote it in between.
const MOST_JUDGEMENTS: usize = 8;

/// What happens when a token is used again that a renewal has replaced, whose successor is in use
/// and whose grace is over: two parties hold that sign-in (RFC 9700 §4.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnReuse {
    /// The session ends, for both. The holder of a copied cookie is out, and so is its user, who
    /// signs in again. A restored browser profile does the same.
    #[default]
    End,
    /// Only that request is refused. Observers are notified, and may end the session themselves.
    Refuse,
}

/// What a record is to a presented token.
enum Opening {
    Opened(Session),
    /// The request goes on with an empty session that it can't save, and its response sets no
    /// cookie.
    Barred,
    /// It opens nothing.
    Nothing,
    /// It was used before, and the session it belonged to has to be ended.
    Reused(Record),
}

impl Manager {
    /// The session of `token`, a new one if there is none, or an empty one that can't be saved.
    pub(crate) async fn open(self: &Arc<Self>, token: &SessionToken) -> Result<Session> {
        within_one_limit(pin!(self.judge_and_open(token))).await
    }

    async fn judge_and_open(self: &Arc<Self>, token: &SessionToken) -> Result<Session> {
        let id = token.id();
        for _ in 0..MOST_JUDGEMENTS {
            let (judged, record) = match self.load_judged(&id, token).await {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.observers.notify(|observer| observer.unknown(&id));
                    return Ok(Session::new(Arc::clone(self)));
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    return Ok(self.corrupt(&id, &error));
                }
                Err(error) => return Err(error),
            };
            match self.act_on(judged, record) {
                Ok(Opening::Opened(session)) => return Ok(session),
                Ok(Opening::Barred) => return Ok(Session::barred(Arc::clone(self))),
                Ok(Opening::Nothing) => return Ok(Session::new(Arc::clone(self))),
                Ok(Opening::Reused(record)) => {
                    if self.reused(&id, &record).await? {
                        return Ok(Session::barred(Arc::clone(self)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    return Ok(self.corrupt(&id, &error));
                }
                Err(error) => return Err(error),
            }
        }
        let attempts = MOST_JUDGEMENTS as u32;
        Err(Error::contention(attempts))
    }

    /// The session of the first of `tokens` that opens one, and which that was; else as
    /// [`open`](Self::open). All are loaded at the same time.
    pub(crate) async fn open_first(
        self: &Arc<Self>,
        tokens: &[SessionToken],
    ) -> Result<(Session, Option<usize>)> {
        within_one_limit(pin!(self.judge_and_open_first(tokens))).await
    }

    async fn judge_and_open_first(
        self: &Arc<Self>,
        tokens: &[SessionToken],
    ) -> Result<(Session, Option<usize>)> {
        let ids: Vec<SessionId> = tokens.iter().map(SessionToken::id).collect();
        let loads = ids.iter().zip(tokens);
        let found = join_all(loads.map(|(id, token)| self.load_judged(id, token))).await;
        let (mut opened, mut is_barred, mut reused) = (None, false, Vec::new());
        for (n, found) in found.into_iter().enumerate() {
            let opening = match found {
                Ok(Some((judged, record))) => self.act_on(judged, record),
                Ok(None) => {
                    self.observers.notify(|observer| observer.unknown(&ids[n]));
                    continue;
                }
                Err(error) => Err(error),
            };
            match opening {
                Ok(Opening::Opened(session)) => {
                    opened = Some((session, n));
                    break;
                }
                Ok(Opening::Barred) => is_barred = true,
                Ok(Opening::Nothing) => {}
                Ok(Opening::Reused(_)) => reused.push(n),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.observers.corrupt(&ids[n], &error)
                }
                Err(error) => return Err(error),
            }
        }
        for n in reused {
            // A client that has the session's current token too is not another party.
            if opened.as_ref().is_some_and(|(_, by)| ids[*by] == ids[n]) {
                continue;
            }
            let session = self.open(&tokens[n]).await?;
            is_barred |= session.is_gone();
            // It may have been written meanwhile, and open now.
            if opened.is_none() && session.id().is_some() {
                opened = Some((session, n));
            }
        }
        Ok(match opened {
            Some((session, n)) => (session, Some(n)),
            None if is_barred => (Session::barred(Arc::clone(self)), None),
            None => (Session::new(Arc::clone(self)), None),
        })
    }

    /// The record of `id`, and what `token` is to it. A copy that the token does not open is loaded
    /// anew: the token may be newer than the copy. So is one by which the client would be sent the
    /// successor: that may have been confirmed since.
    async fn load_judged(
        &self,
        id: &SessionId,
        token: &SessionToken,
    ) -> Result<Option<(JudgedToken, Record)>> {
        let judge = |record| JudgedToken::judge(id.clone(), token.clone(), record);
        let Some(record) = self.store.load(id).await? else {
            return Ok(None);
        };
        let judged = judge(&record);
        let is_enough = |judged: &JudgedToken| {
            judged.verdict.opens() && !matches!(judged.verdict, Verdict::Replaced(_))
        };
        if !record.is_copy || judged.as_ref().is_ok_and(is_enough) {
            return Ok(Some((judged?, record)));
        }
        let Some(record) = self.load_anew(id).await? else {
            return Ok(None);
        };
        Ok(Some((judge(&record)?, record)))
    }

    fn act_on(self: &Arc<Self>, judged: JudgedToken, record: Record) -> Result<Opening> {
        let refused = |why| {
            self.observers
                .notify(|observer| observer.refused(&judged.id, why));
        };
        Ok(match judged.verdict {
            Verdict::Reused => Opening::Reused(record),
            Verdict::Ahead => {
                refused(Refusal::NewerThanStored);
                Opening::Nothing
            }
            Verdict::Superseded => {
                refused(Refusal::JustReplaced);
                Opening::Barred
            }
            Verdict::Foreign => {
                refused(Refusal::OtherLineage);
                Opening::Nothing
            }
            Verdict::Current | Verdict::Unconfirmed | Verdict::Replaced(_) | Verdict::Late => {
                Opening::Opened(Session::opened(Arc::clone(self), judged, record)?)
            }
        })
    }

    fn corrupt(self: &Arc<Self>, id: &SessionId, error: &Error) -> Session {
        self.observers.corrupt(id, error);
        Session::new(Arc::clone(self))
    }

    /// An old token of this session was used again. Ends exactly the version that was judged, if
    /// sessions end by that; `false` if it was not that any more.
    async fn reused(self: &Arc<Self>, id: &SessionId, record: &Record) -> Result<bool> {
        if self.on_reuse == OnReuse::End {
            let ending = Ending::of_version(id.clone(), record, EndReason::Reused);
            return self.end(ending).await;
        }
        let event = Event::new(id, record.owner.as_ref(), record.age);
        self.observers.notify(|observer| observer.reused(event));
        Ok(true)
    }
}
