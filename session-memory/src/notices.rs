//! Notices of sessions that end, for the streams of all managers of the store.

use std::sync::OnceLock;

use futures_util::{StreamExt, stream};
use session_core::{Notice, NoticeStream, SessionId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// How many notices a listener may be behind. One that is further behind is told that it has missed
/// some, and asks for its sessions.
const BACKLOG: usize = 4_096;

/// Who listens. The channel is made for the first listener: it has room for the whole backlog.
#[derive(Default)]
pub(crate) struct Notices(OnceLock<broadcast::Sender<Notice>>);

impl Notices {
    pub(crate) fn has_listeners(&self) -> bool {
        let sender = self.0.get();
        sender.is_some_and(|sender| sender.receiver_count() > 0)
    }

    pub(crate) fn ended(&self, id: &SessionId) {
        if self.has_listeners() {
            self.send(Notice::Ended(id.clone()));
        }
    }

    pub(crate) fn send(&self, notice: Notice) {
        if let Some(sender) = self.0.get() {
            // It fails without listeners.
            let _ = sender.send(notice);
        }
    }

    pub(crate) fn listen(&self) -> NoticeStream {
        let sender = self.0.get_or_init(|| broadcast::Sender::new(BACKLOG));
        let first = stream::iter([Ok(Notice::Missed)]);
        let rest = stream::unfold(sender.subscribe(), |mut receiver| async move {
            let notice = match receiver.recv().await {
                Ok(notice) => notice,
                Err(RecvError::Lagged(_)) => Notice::Missed,
                Err(RecvError::Closed) => return None,
            };
            Some((Ok(notice), receiver))
        });
        Box::pin(first.chain(rest))
    }
}
