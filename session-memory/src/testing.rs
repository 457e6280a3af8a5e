//! Time that tests move (Cargo feature `testing`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::MemoryStore;
use crate::deadlines::Micros;
use crate::entry::{NEVER, micros};
use crate::store::Inner;

impl MemoryStore {
    /// Moves this store's clock ahead by `by`, in place of waiting, to the microsecond. No other
    /// store's clock moves, and no runtime has to be paused. Clones share the clock.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> session_memory::Result<()> {
    /// use std::time::Duration;
    /// use session_memory::{MemoryStore, Sessions};
    ///
    /// let store = MemoryStore::new();
    /// let sessions = Sessions::new(store.clone());
    /// let session = sessions.start();
    /// session.sign_in("alice").await?;
    /// let token = session.token();
    ///
    /// store.advance(Duration::from_secs(29 * 60));
    /// assert!(sessions.find(token.as_ref()).await?.is_some());
    ///
    /// store.advance(Duration::from_secs(60));                     // 30 minutes without use
    /// assert!(sessions.find(token.as_ref()).await?.is_none());
    /// # Ok(()) }
    /// ```
    ///
    /// [`Session::expires_in`](crate::Session::expires_in) and [`age`](crate::Session::age) of a
    /// session that is already open don't move: open it again.
    pub fn advance(&self, by: Duration) {
        let add = |ahead: u64| Some(ahead.saturating_add(micros(by)));
        // It never fails: the closure always gives a value.
        let _ = (self.0.ahead).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Inner {
    /// This reading of the clock, as far ahead as tests have moved it.
    pub(crate) fn moved_ahead(&self, now: Micros) -> Micros {
        let ahead = self.ahead.load(Ordering::Relaxed);
        now.saturating_add(ahead).min(NEVER - 1)
    }
}
