//! From an Express layout to a native one, without logging anybody out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use session_core::{
    Bytes, Capabilities, Draft, Error, Lifetime, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Stamp, Timeout, Ttl,
};

use crate::options::Express;
use crate::store::ExpressLayout;

/// What a tombstone's data is; no session's, which is JSON.
const TOMBSTONE: &[u8] = b"\0ended";
/// How long a tombstone stands: longer than any request that was under way.
const BURIED: Duration = Duration::from_secs(600);

/// Sessions on their way from an Express layout to a native store: what was moved is read there,
/// the rest here; every write goes there, and what it wrote over here is gone then.
///
/// For the time after the last Express app has stopped and before the longest of its sessions has
/// ended; then the native store alone has them all. The cookie stays what it is.
///
/// A session that has not moved yet is loaded in two round trips, and its first save takes four
/// more. `directory()` is `None`: neither store alone has all sessions, and "log out everywhere"
/// must not leave any. A native store that is to be reaped can be reaped by itself.
#[derive(Debug)]
pub struct MovingStore<S> {
    native: Arc<dyn SessionStore>,
    express: S,
}

impl<S: ExpressLayout> MovingStore<S> {
    /// Moves sessions from `express` to `native`.
    pub fn new(native: Arc<dyn SessionStore>, express: S) -> Self {
        Self { native, express }
    }

    /// Where the session is.
    async fn place(&self, id: &SessionId) -> Result<Place> {
        Ok(match self.native.load(&native_id(id)).await? {
            None => Place::NotMoved,
            Some(record) if record.data == TOMBSTONE => Place::Buried(record.stamp),
            Some(record) => Place::Native(record),
        })
    }

    /// Keeps the session from being moved by anybody else, who may have read it before; whether it
    /// was not moved yet. The same `by` may do it again.
    async fn bury(&self, id: &SessionId, by: Stamp) -> Result<bool> {
        let mut tombstone = Draft::new(Bytes::from_static(TOMBSTONE), Lifetime::fixed(BURIED));
        tombstone.stamp = by;
        match self.native.create(&native_id(id), &tombstone).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a native write, which has found another session than `expected`, comes to.
    async fn otherwise(&self, id: &SessionId, draft: &Draft) -> Result<Option<Saved>> {
        Ok(match self.place(id).await? {
            Place::Native(_) => Some(Saved::Conflict),
            // By this very write, which then was cut off.
            Place::Buried(by) if by == draft.stamp => None,
            Place::Buried(_) => Some(Saved::Gone),
            Place::NotMoved => None,
        })
    }

    /// Writes over a session that has not moved: it moves by that.
    async fn move_by(
        &self,
        (from, to): (&SessionId, &SessionId),
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        match self.express.load(from).await? {
            None => return Ok(Saved::Gone),
            Some(record) if record.stamp != expected => return Ok(Saved::Conflict),
            Some(_) => {}
        }
        if from != to && !self.bury(from, draft.stamp).await? {
            return Ok(Saved::Conflict);
        }
        let draft = draft.clone().replacing(Bytes::new());
        let created = self.native.create(&native_id(to), &draft).await;
        let stamp = match created {
            Ok(stamp) => stamp,
            // Somebody else has moved or ended it meanwhile.
            Err(Error::AlreadyExists) => return Ok(Saved::Conflict),
            Err(error) => return Err(error),
        };
        self.express.destroy(from).await?;
        Ok(Saved::Done(stamp))
    }
}

/// The id of a session in the native store. Ids that are no tokens are native ones already.
fn native_id(id: &SessionId) -> SessionId {
    let token = id.is_secret().then(|| SessionToken::foreign(id.as_str()));
    token
        .flatten()
        .map_or_else(|| id.clone(), |token| token.id())
}

/// Where a session is.
enum Place {
    /// Here, as far as the native store knows.
    NotMoved,
    /// It has moved.
    Native(Record),
    /// It has ended, or is about to get another id, by the write of this stamp.
    Buried(Stamp),
}

impl<S: ExpressLayout> ExpressLayout for MovingStore<S> {
    fn express(&self) -> &Express {
        self.express.express()
    }

    fn lifetime(&self) -> Lifetime {
        self.express.lifetime()
    }
}

#[async_trait]
impl<S: ExpressLayout> SessionStore for MovingStore<S> {
    fn capabilities(&self) -> Capabilities {
        self.native
            .capabilities()
            .with_expiry_reports(false)
            .with_plain_ids(true)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.native.create(&native_id(id), draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        match self.place(id).await? {
            Place::Native(record) => Ok(Some(record)),
            Place::Buried(_) => Ok(None),
            Place::NotMoved => self.express.load(id).await,
        }
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        let saved = match self.native.save(&native_id(id), draft, expected).await? {
            Saved::Gone => None,
            Saved::Conflict => self.otherwise(id, draft).await?,
            done => Some(done),
        };
        match saved {
            Some(saved) => Ok(saved),
            None => self.move_by((id, id), draft, expected).await,
        }
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        match self.place(id).await? {
            Place::Native(_) => self.native.touch(&native_id(id), idle).await,
            Place::Buried(_) => Ok(None),
            Place::NotMoved => self.express.touch(id, idle).await,
        }
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        let ids = (native_id(from), native_id(to));
        let renamed = match self.native.rename(&ids.0, &ids.1, draft, expected).await? {
            Saved::Gone => None,
            Saved::Conflict => self.otherwise(from, draft).await?,
            done => Some(done),
        };
        match renamed {
            Some(renamed) => Ok(renamed),
            None => self.move_by((from, to), draft, expected).await,
        }
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let mut moved = false;
        // A request that is about to move it must find that it has ended.
        if !self.bury(id, Stamp::generate()).await?
            && matches!(self.place(id).await?, Place::Native(_))
        {
            moved = self.native.destroy(&native_id(id)).await?;
        }
        let was_here = self.express.destroy(id).await?;
        Ok(moved || was_here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_ids_are_those_of_the_tokens() {
        let token = SessionToken::generate();
        let plain = token.clone().plain().id();
        assert_eq!(native_id(&plain), token.id());
        assert_eq!(native_id(&token.id()), token.id());
        let odd = SessionId::plain("%").expect("any text");
        assert!(!native_id(&odd).is_secret());
    }
}
