//! Opening a session: judge the token, and act when an old one is used again.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::manager::identity::Verdict;
use crate::manager::judged_token::JudgedToken;
use crate::manager::observer::{EndReason, Event, Refusal};
use crate::manager::sessions::Manager;
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
        let id = token.id();
        for _ in 0..MOST_JUDGEMENTS {
            let record = match self.store.load(&id).await {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.observers.notify(|observer| observer.unknown(&id));
                    return Ok(Session::new(Arc::clone(self)));
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    return Ok(self.corrupt(&id, &error));
                }
                Err(error) => return Err(error),
            };
            match self.judge(&id, token, record) {
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
        let ids: Vec<SessionId> = tokens.iter().map(SessionToken::id).collect();
        let records = join_all(ids.iter().map(|id| self.store.load(id))).await;
        let (mut opened, mut is_barred, mut reused) = (None, false, Vec::new());
        for (n, record) in records.into_iter().enumerate() {
            let opening = match record {
                Ok(Some(record)) => self.judge(&ids[n], &tokens[n], record),
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

    fn judge(
        self: &Arc<Self>,
        id: &SessionId,
        token: &SessionToken,
        record: Record,
    ) -> Result<Opening> {
        let judged = JudgedToken::judge(id.clone(), token.clone(), &record)?;
        let refused = |why| self.observers.notify(|observer| observer.refused(id, why));
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
    async fn reused(&self, id: &SessionId, record: &Record) -> Result<bool> {
        let event = Event::new(id, record.owner.as_ref(), record.age);
        if self.on_reuse == OnReuse::End {
            let version = Some(&record.version);
            if self.destroy(id, version).await?.is_none() {
                return Ok(false);
            }
        }
        self.observers.notify(|observer| observer.reused(event));
        if self.on_reuse == OnReuse::End {
            let reason = EndReason::Reused;
            self.observers
                .notify(|observer| observer.destroyed(event, reason));
        }
        Ok(true)
    }
}
