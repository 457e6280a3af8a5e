//! For authors of stores: implement [`Backend`], and [`Store`] makes a session store of it.
//!
//! A backend says what a database is sent for one or many sessions. [`Store`] adds what is the same
//! for all of them, once:
//!
//! * data over [`Policy::max_data`] is refused before any I/O, and limits are cut off to whole
//!   milliseconds;
//! * operations that queue while others of their kind are in flight are sent as one batch, where
//!   the [`Policy`] says so;
//! * one time limit for each operation, [`Policy::timeout`];
//! * while the database does not answer, operations fail at once ([`CircuitBreaker`]);
//! * what fails for a reason that passes is sent again, and a client that is silent, or leads to the
//!   wrong server, is replaced ([`Failure`], [`Connector`]);
//! * a [`tracing`] span for each operation, [counters](Counts), and with the Cargo feature `metrics`
//!   metrics.
//!
//! The page [docs/own-store.md][manual] shows a whole one. A store that needs none of this implements
//! [`SessionStore`](crate::SessionStore) itself.
//!
#![doc = concat!("[manual]: ", env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/own-store.md")]

mod answer;
mod batch;
mod batched;
mod breaker;
mod call;
mod clients;
mod completion;
mod connector;
mod counters;
mod directory;
mod failure;
mod identity;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
mod observed;
mod one_by_one;
mod operation;
mod policy;
mod reaper_watch;
mod setup;
mod store;
#[cfg(test)]
mod tests;
mod unbatched;

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use identity::Identity;

use crate::{
    Capabilities, Confirmation, Cursor, Ended, Error, Inspection, InvalidationStream, NoticeStream,
    Owner, Page, Record, Result, Saved, SessionId, Ttl,
};

pub use crate::backoff::Backoff;
pub use crate::error::Chain;
pub use answer::{Answer, Outcome};
pub use batch::{BatchLimits, Create, Destroy, Save, Touch};
pub use breaker::CircuitBreaker;
pub use call::{Attempt, Call, Sent};
pub use completion::run_to_completion;
pub use connector::{Client, Connector, Fixed};
pub use counters::{Counts, OperationCounts};
pub use failure::{Failure, Remedy};
pub use meter::{Meter, Observe};
pub use observed::ObservedStore;
pub use one_by_one::one_by_one;
pub use operation::Operation;
pub use policy::Policy;
pub use setup::Setup;
pub use store::Store;

/// What a database is sent for sessions: the five operations that requests need, and those of the
/// directory where there is one.
///
/// Write the methods as plain `async fn`s. Each takes many operations of one kind, of which no two
/// are about the same session, and gives as many answers in the same order. Where the [`Policy`]
/// does not batch a kind, there is one.
///
/// An `Err` around the answers is the error of all the operations. If it is permanent, the batch is
/// sent again in halves, until it is only the error of the operation that causes it.
///
/// What each operation promises is the contract of [`SessionStore`](crate::SessionStore).
/// Everything is sent through [`Call::send`].
pub trait Backend: Debug + Send + Sync + Sized + 'static {
    /// What operations are sent by: a connection, a pool, a client of the driver's. Clones share
    /// it.
    type Client: Client;

    /// The product's name, in lower case, for spans and metrics: `redis`, `mysql`.
    const NAME: &'static str;

    /// Whether the backend has the operations of the directory.
    const HAS_DIRECTORY: bool = false;

    /// What is batched, how long an operation may take, how large a session may be.
    fn policy(&self) -> Policy;

    /// What the store promises beyond the contract, but for `max_data`, which is the policy's.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    /// In how many queues the batches are made: more than one where a store has several servers, so
    /// that one which is slow or away holds up only its own sessions; default 1.
    fn queues(&self) -> usize {
        1
    }

    /// The queue of a session, below [`queues`](Self::queues); called for each operation that is
    /// batched. It may change while the store is in use.
    fn queue_of(&self, id: &SessionId) -> usize {
        let _ = id;
        0
    }

    /// Creates sessions, as [`SessionStore::create`](crate::SessionStore::create).
    fn create(
        &self,
        call: &Call<Self::Client>,
        creates: &[Create],
    ) -> impl Future<Output = Result<Vec<Result<Saved>>>> + Send;

    /// Loads sessions, as [`SessionStore::load`](crate::SessionStore::load).
    fn load(
        &self,
        call: &Call<Self::Client>,
        ids: &[SessionId],
    ) -> impl Future<Output = Result<Vec<Result<Option<Record>>>>> + Send;

    /// Replaces sessions, as [`SessionStore::save`](crate::SessionStore::save).
    fn save(
        &self,
        call: &Call<Self::Client>,
        saves: &[Save],
    ) -> impl Future<Output = Result<Vec<Result<Saved>>>> + Send;

    /// Moves deadlines, as [`SessionStore::touch`](crate::SessionStore::touch).
    fn touch(
        &self,
        call: &Call<Self::Client>,
        touches: &[Touch],
    ) -> impl Future<Output = Result<Vec<Result<Option<Ttl>>>>> + Send;

    /// Ends sessions, as [`SessionStore::destroy`](crate::SessionStore::destroy).
    fn destroy(
        &self,
        call: &Call<Self::Client>,
        destroys: &[Destroy],
    ) -> impl Future<Output = Result<Vec<Result<Option<Ended>>>>> + Send;

    /// Tells of sessions as they end, as [`SessionStore::notices`](crate::SessionStore::notices);
    /// `None`, the default, if the backend does not. `call` may be kept: each command that is sent
    /// through it has the [time limit](Policy::timeout).
    fn notices(&self, call: Call<Self::Client>) -> Option<NoticeStream> {
        let _ = call;
        None
    }

    /// Tells of sessions as they are written, as
    /// [`SessionStore::invalidations`](crate::SessionStore::invalidations); `None`, the default, if
    /// the backend does not. `call` may be kept, as that of [`notices`](Self::notices).
    fn invalidations(
        &self,
        call: Call<Self::Client>,
        silence: Duration,
    ) -> Option<InvalidationStream> {
        let _ = (call, silence);
        None
    }

    /// Waits until what was answered before is `confirmation` too, as
    /// [`SessionStore::confirm`](crate::SessionStore::confirm). Never asked for
    /// [`Confirmation::Acknowledged`].
    fn confirm(
        &self,
        call: &Call<Self::Client>,
        confirmation: Confirmation,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = call;
        async move { confirmation.by_answer() }
    }

    /// Sets the database up, or checks it: tables, indexes, rights. May be called by many processes
    /// at once, and again.
    fn migrate(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<()>> + Send {
        let _ = call;
        async { Ok(()) }
    }

    /// Reads the server's settings, as [`Inspect::inspection`](crate::Inspect::inspection). By
    /// default nothing is known, and nothing found.
    fn inspection(
        &self,
        call: &Call<Self::Client>,
    ) -> impl Future<Output = Result<Inspection>> + Send {
        let place = call.place().to_owned();
        async move { Ok(Inspection::of(place)) }
    }

    /// Ends all sessions and removes what holds them, as
    /// [`Inspect::remove`](crate::Inspect::remove). By default as [`clear`](Self::clear), for
    /// databases where nothing is left then.
    fn remove(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<()>> + Send {
        async { self.clear(call).await.map(drop) }
    }

    /// As [`SessionDirectory::count`](crate::SessionDirectory::count).
    fn count(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send {
        unsupported(call)
    }

    /// As [`SessionDirectory::list`](crate::SessionDirectory::list).
    fn list(
        &self,
        call: &Call<Self::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send {
        let _ = (cursor, limit);
        unsupported(call)
    }

    /// As [`SessionDirectory::owned_by`](crate::SessionDirectory::owned_by).
    fn owned_by(
        &self,
        call: &Call<Self::Client>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send {
        let _ = (owner, cursor, limit);
        unsupported(call)
    }

    /// As [`SessionDirectory::destroy_owned_by`](crate::SessionDirectory::destroy_owned_by).
    fn destroy_owned_by(
        &self,
        call: &Call<Self::Client>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Ended>>> + Send {
        let _ = (owner, except, limit);
        unsupported(call)
    }

    /// As [`SessionDirectory::clear`](crate::SessionDirectory::clear).
    fn clear(&self, call: &Call<Self::Client>) -> impl Future<Output = Result<u64>> + Send {
        unsupported(call)
    }

    /// As [`SessionDirectory::reap`](crate::SessionDirectory::reap).
    fn reap(
        &self,
        call: &Call<Self::Client>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Ended>>> + Send {
        let _ = limit;
        unsupported(call)
    }

    /// As [`SessionDirectory::confirm_reaped`](crate::SessionDirectory::confirm_reaped).
    fn confirm_reaped(
        &self,
        call: &Call<Self::Client>,
        reaped: &[Ended],
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (call, reaped);
        async { Ok(()) }
    }
}

fn unsupported<C: Client, T: Send>(
    call: &Call<C>,
) -> impl Future<Output = Result<T>> + Send + use<C, T> {
    let what = call.name();
    async move { Err(Error::unsupported(what)) }
}
