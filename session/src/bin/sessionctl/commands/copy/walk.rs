//! All sessions of a store, in pages, several under way at once.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use session_store::{Cursor, ErrorKind, Page, Result, SessionDirectory, SessionInfo};

use crate::exit::Failure;

/// The sessions that are listed at once: enough to keep the stores busy, and few to hold.
const PAGE: usize = 1_000;
/// How often a call is made while the store is away, and the first pause, which doubles: 6 s in all.
const CALLS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Walk {
    pub(super) concurrency: usize,
}

impl Walk {
    /// Does `each` for every session from `start` on, and after each page `after`, with the place of
    /// the next one. The next page is listed meanwhile.
    pub(super) async fn over<T, F>(
        &self,
        directory: &dyn SessionDirectory,
        start: Option<Cursor>,
        each: impl Fn(SessionInfo) -> F,
        mut after: impl FnMut(Option<&Cursor>, Vec<T>) -> Result<(), Failure>,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let list =
            async |at: Option<&Cursor>| patiently(async || directory.list(at, PAGE).await).await;
        let mut page = list(start.as_ref()).await?;
        loop {
            let Page { sessions, next, .. } = page;
            let work = stream::iter(sessions).map(&each);
            let work = work.buffer_unordered(self.concurrency);
            let ahead = async {
                match &next {
                    Some(next) => list(Some(next)).await.map(Some),
                    None => Ok(None),
                }
            };
            let (done, ahead) = join(work.try_collect(), ahead).await;
            after(next.as_ref(), done?)?;
            match ahead? {
                Some(next) => page = next,
                None => return Ok(()),
            }
        }
    }
}

/// Whether a store has no session. Unlike a count, it holds a page at most.
pub(super) async fn is_empty(directory: &dyn SessionDirectory) -> Result<bool> {
    let mut cursor = None;
    loop {
        let list = async || directory.list(cursor.as_ref(), PAGE).await;
        let Page { sessions, next, .. } = patiently(list).await?;
        if !sessions.is_empty() {
            return Ok(false);
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(true),
        }
    }
}

/// Calls again while the store is away or does not answer. What a copy sends is harmless when it is
/// sent twice.
pub(super) async fn patiently<T>(call: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..CALLS {
        match call().await {
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            answer => return answer,
        }
    }
    call().await
}
