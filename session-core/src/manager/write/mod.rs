//! How a session is written: a compare-and-set on its version, the changes replayed after a
//! conflict, and no change ever applied twice.
//!
//! * [`machine`] decides what comes next, as a pure function of what has happened.
//! * [`writer`] performs it: it plans, sends, loads and waits.
//! * [`plan`] makes a write of the session, its changes and an [`Operation`].
//! * [`pending`] are the writes whose outcome is not known; [`resolve`] tells, from what is stored,
//!   which of them happened.
//! * [`outcome`] is what the handle notes of a write.

mod machine;
mod outcome;
mod pending;
mod plan;
mod reload;
mod resolve;
#[cfg(test)]
mod tests;
mod writer;

use std::pin::pin;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manager::session::View;
use crate::manager::value::{from_raw, to_raw};
use crate::time_limit::within_one_limit;
use crate::{Error, Result, Session};
use writer::Writer;

pub(crate) use pending::PendingWrite;
pub(crate) use plan::Operation;

type Edit<'a> = dyn FnMut(&mut View) -> Result<()> + Send + 'a;

/// An edit of nothing.
fn unedited(_: &mut View) -> Result<()> {
    Ok(())
}

impl Session {
    /// Writes what was changed; a session without changes, or a new one without data, writes
    /// nothing. A token that is [due](crate::SessionsBuilder::renew_after) is renewed by the same
    /// write.
    ///
    /// One round trip. If another request has written the session meanwhile, its version is
    /// loaded, the changes are replayed on it, and it is tried again: two more round trips each
    /// time. A write whose connection breaks is repeated once, which is harmless.
    ///
    /// # Errors
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) if the session has ended, or another request has
    /// given it a new token since it was opened, by a sign-in, a re-authentication or
    /// [`cycle_id`](Self::cycle_id); [`ErrorKind::Contention`](crate::ErrorKind::Contention) if
    /// others were faster at every attempt, [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge)
    /// over the store's [`max_data`](crate::Capabilities::max_data), and the store's own. The
    /// changes are kept and can be saved again: the next call first finds out whether they were
    /// written. [`ErrorKind::OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if that can't be
    /// found out; the changes are then dropped.
    pub async fn save(&self) -> Result<()> {
        self.write_for(Operation::Save).await.map(drop)
    }

    /// As [`save`](Self::save), but writes even where there is nothing to write: a new, empty
    /// session is then stored and has a token.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn save_unchanged(&self) -> Result<()> {
        self.write_for(Operation::Update).await.map(drop)
    }

    /// Sets `key` to what `change` makes of its value, atomically: no other writer gets in
    /// between. All other changes of the session are saved with it. After a conflict,
    /// `change` runs again on the value that the other writer has left.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save), and [`ErrorKind::Value`](crate::ErrorKind::Value) if what is there
    /// is no `T`. The key is then as it was.
    pub async fn update<T, F>(&self, key: &str, mut change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let mut change = |old: Result<Option<T>>| old.map(&mut change);
        self.update_with(key, &mut change).await
    }

    /// As [`update`](Self::update), with a `change` that is given the error of a value that is no
    /// `T`, and may fail: nothing is written then, and its error is given back.
    ///
    /// One round trip, and two more for each conflict.
    ///
    /// # Errors
    /// As [`save`](Self::save), and those of `change`.
    pub async fn update_with<T, F>(&self, key: &str, mut change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Result<Option<T>>) -> Result<T> + Send,
    {
        self.0.manager.limits.check_key(key)?;
        // One for each plan: the write of an earlier one may turn out to have happened.
        let mut updated = Vec::with_capacity(1);
        let mut edit = |view: &mut View| {
            let old = view.data.get(key).map(|raw| from_raw(key, raw));
            let new = change(old.unwrap_or(Ok(None)))?;
            view.data.set(key, to_raw(key, &new)?);
            updated.push(new);
            Ok(())
        };
        let round = self.write_with(&Operation::Update, &mut edit).await?;
        let round = round.map(|round| round as usize);
        let round = round.filter(|round| *round < updated.len());
        round
            .map(|round| updated.swap_remove(round))
            .ok_or_else(Error::gone)
    }

    /// Writes for `operation`; `None` if there was nothing to write.
    pub(crate) async fn write_for(&self, operation: Operation) -> Result<Option<u32>> {
        self.write_with(&operation, &mut unedited).await
    }

    /// Extends the session in the store. It saves no changes, so it does not count any as reported
    /// by an error.
    pub(crate) async fn write_touch(&self) -> Result<()> {
        let _lock = self.0.write_lock.lock().await;
        let mut edit = unedited;
        let writer = Writer::new(self, &Operation::Touch, &mut edit);
        within_one_limit(pin!(writer.run())).await.map(drop)
    }

    /// Writes for `operation`, with `edit` on top of what is stored. Gives the round whose plan was
    /// written.
    async fn write_with(&self, operation: &Operation, edit: &mut Edit<'_>) -> Result<Option<u32>> {
        let _lock = self.0.write_lock.lock().await;
        self.state().tally.plan();
        let work = pin!(Writer::new(self, operation, edit).run());
        let written = within_one_limit(work).await;
        if written.is_err() {
            self.state().tally.fail();
        }
        written
    }
}
