//! Streams and sockets that are open as long as their session lives.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use crate::manager::judged_token::JudgedToken;
use crate::{Session, Sessions};

/// Why a stream or a socket has to be closed: what [`Session::ended`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The session has ended: by a sign-out, from elsewhere, or because its time was over. Also
    /// if it was never stored.
    Ended,
    /// The session lives, under a token of another lineage: its user, or another one, has signed in
    /// or authenticated anew, or its rights have changed. What was opened before must not outlive
    /// that: see [`Session::binding`].
    NewToken,
    /// The store has not confirmed the session for a whole
    /// [lease](crate::SessionsBuilder::stream_lease). It may live.
    Unconfirmed,
}

/// For the log, or the reason in a close frame.
impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "the session has ended",
            Self::NewToken => "the session has a new token",
            Self::Unconfirmed => "the session could not be confirmed",
        })
    }
}

impl Session {
    /// Waits until the session ends, in this process or in another one, and says why: for a stream
    /// or a socket that is open for long. See [`until_ended`](Self::until_ended) and
    /// [`while_live`](Self::while_live), which close one.
    ///
    /// A session ends for this future when it is destroyed, alone or with all of its owner's, when
    /// it expires, and when it gets a token of another lineage, by whichever request (a sign-in, a
    /// re-authentication, [`cycle_id`](Self::cycle_id)), this handle's own included. A renewal does
    /// not end it. What counts is the token that the handle has when the future is first polled: in
    /// a response's body that is after the session was saved. A session that is in no store then
    /// has ended.
    ///
    /// The future keeps no session open and extends none: one without a request expires as any
    /// other does. It may be dropped at any point, and holds the manager and not the session.
    ///
    /// Where the store gives [notices](crate::SessionStore::notices), the future is ready a round
    /// trip after the session was destroyed or signed in anew; otherwise and at the latest within
    /// the [lease](crate::SessionsBuilder::stream_lease). There is no notice of a `cycle_id` in
    /// another process, nor of a lifetime that another process shortens: these have the lease. One
    /// load after 10 ms, and one each half of a lease, in batches with those of the manager's other
    /// streams. A future that is dropped within 10 ms costs no load.
    ///
    /// The loads are made by one task of the manager, in the runtime of its first stream. If that
    /// runtime ends or nothing drives it, a stream in another one starts a task there within the
    /// lease. The future itself may be moved to another runtime.
    ///
    /// # Panics
    /// Outside of a Tokio runtime with time enabled, where the future is polled.
    pub fn ended(&self) -> impl Future<Output = SessionEnd> + Send + use<> {
        let session = self.clone();
        async move {
            let judged = session.with_judged(JudgedToken::clone);
            let manager = Arc::clone(&session.0.manager);
            // Its data is not kept for as long as the stream is open.
            drop(session);
            match judged {
                Some(judged) => manager.ended(judged).await,
                None => SessionEnd::Ended,
            }
        }
    }

    /// `stream` until it is over or the session [ends](Self::ended): for server-sent events, and
    /// all bodies that stream.
    ///
    /// ```
    /// # use session_core::Session;
    /// # use futures_util::Stream;
    /// fn news(session: Session, all: impl Stream<Item = String>) -> impl Stream<Item = String> {
    ///     session.until_ended(all)
    /// }
    /// ```
    pub fn until_ended<S: Stream>(&self, stream: S) -> impl Stream<Item = S::Item> + use<S> {
        // Boxed: it is large, and streams are moved.
        stream.take_until(Box::pin(self.ended()))
    }

    /// What `work` gives, unless the session [ends](Self::ended) before: for a socket, which is
    /// told why it is closed. `work` is dropped then, at an `await`.
    ///
    /// ```
    /// # use session_core::Session;
    /// # struct Socket;
    /// # impl Socket { async fn serve(&mut self) {} async fn close(self, _why: String) {} }
    /// async fn serve(session: Session, mut socket: Socket) {
    ///     if let Err(end) = session.while_live(socket.serve()).await {
    ///         socket.close(end.to_string()).await;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// Why the session has ended.
    pub async fn while_live<T>(&self, work: impl Future<Output = T>) -> Result<T, SessionEnd> {
        let (work, ended) = (pin!(work), pin!(self.ended()));
        match select(ended, work).await {
            Either::Left((end, _)) => Err(end),
            Either::Right((done, _)) => Ok(done),
        }
    }
}

impl Sessions {
    /// How many streams wait for the [end](Session::ended) of their sessions now.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.manager().watch.streams()
    }
}
