//! Sessions without their data.

use redis::{Pipeline, Value};
use session_core::{Result, SessionId};

use super::{Compare, Compared, Exchange};
use crate::answers::refusal;
use crate::command::{convert, corrupt, unexpected};
use crate::record::StoredSession;
use crate::scripted::Inspected;

impl Compare<'_> {
    /// Reads a session without its data. One round trip.
    pub(crate) async fn inspect(self, id: &SessionId) -> Result<Compared<Option<Inspected>>> {
        let key = self.backend.keys.session(id);
        let end = isize::try_from(StoredSession::MAX_FRONT).unwrap_or(isize::MAX) - 1;
        let ask = |_, _| {
            let mut commands = Pipeline::with_capacity(2);
            commands.getrange(&key, 0, end).strlen(&key);
            (commands, ())
        };
        let sent = self.exchange(None, ask).await?;
        let is_repeated = sent.is_repeated;
        let Some(Exchange {
            mut answers, now, ..
        }) = sent.answer
        else {
            return Ok(Compared {
                answer: None,
                is_repeated,
            });
        };
        let found = match (answers.next(), answers.next()) {
            (Some(error @ Value::ServerError(_)), _) => {
                return Err(refusal(self.route.call, &error).unwrap_or_else(corrupt));
            }
            (Some(Value::BulkString(front)), Some(whole)) => {
                (front, convert::<usize>(Some(whole))?)
            }
            _ => return Err(unexpected()),
        };
        Ok(Compared {
            answer: Some(read(found, now.latest())?),
            is_repeated,
        })
    }
}

/// Reads the front of a value of `whole` bytes.
fn read((front, whole): (Vec<u8>, usize), now: u64) -> Result<Option<Inspected>> {
    if front.is_empty() {
        return Ok(None);
    }
    let length = front.len();
    let session = StoredSession::decode(front.into())?;
    let head = length - session.data.len();
    if session
        .deadline
        .is_some_and(|deadline| deadline <= now.saturating_sub(1))
    {
        return Ok(None);
    }
    Ok(Some((session, whole.saturating_sub(head), now)))
}
