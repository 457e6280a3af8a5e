//! Stores around stores.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Capabilities, Cursor, Draft, Ended, Error, Inspect, InvalidationStream, NoticeStream, Owner,
    Page, Record, Result, Saved, SessionDirectory, SessionId, SessionStore, Timeout, Ttl, Version,
};

/// A store around another store, which passes on what it does not change: implement this, and the
/// type is a [`SessionStore`] and a [`SessionDirectory`].
///
/// Only the [store inside](Self::inner) has to be named. Write what the wrapper changes as plain
/// `async fn`s; everything else is passed on, including an operation that a later version of this
/// library adds. A wrapper that must not pass on what it does not know implements [`SessionStore`]
/// itself, whose methods have no defaults.
///
/// The functions take `this` and not `self`, as those of [`Arc`] do, so that `wrapper.load(…)` is
/// always [`SessionStore::load`].
///
/// # The directory
/// The wrapper is its own directory, so what it changes counts there too. Without one, because the
/// store inside has none or [`has_directory`](Self::has_directory) says so, the directory's
/// operations end with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
///
/// [`SessionStore`] shows an example.
pub trait StoreWrapper: Debug + Send + Sync + Sized + 'static {
    /// The type of the store inside: a type parameter of the wrapper's, or `dyn SessionStore`.
    type Inner: SessionStore + ?Sized;

    /// The store inside.
    fn inner(this: &Self) -> &Self::Inner;

    /// As [`SessionStore::capabilities`].
    fn capabilities(this: &Self) -> Capabilities {
        Self::inner(this).capabilities()
    }

    /// Whether [`SessionStore::directory`] is the wrapper, and not `None`.
    fn has_directory(this: &Self) -> bool {
        Self::inner(this).directory().is_some()
    }

    /// As [`SessionStore::create`].
    fn create(
        this: &Self,
        id: &SessionId,
        draft: &Draft,
    ) -> impl Future<Output = Result<Saved>> + Send {
        async move { Self::inner(this).create(id, draft).await }
    }

    /// As [`SessionStore::load`].
    fn load(this: &Self, id: &SessionId) -> impl Future<Output = Result<Option<Record>>> + Send {
        async move { Self::inner(this).load(id).await }
    }

    /// As [`SessionStore::save`].
    fn save(
        this: &Self,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> impl Future<Output = Result<Saved>> + Send {
        async move { Self::inner(this).save(id, draft, expected).await }
    }

    /// As [`SessionStore::touch`].
    fn touch(
        this: &Self,
        id: &SessionId,
        idle: Timeout,
    ) -> impl Future<Output = Result<Option<Ttl>>> + Send {
        async move { Self::inner(this).touch(id, idle).await }
    }

    /// As [`SessionStore::destroy`].
    fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> impl Future<Output = Result<Option<Ended>>> + Send {
        async move { Self::inner(this).destroy(id, expected).await }
    }

    /// As [`SessionStore::notices`].
    fn notices(this: &Self) -> Option<NoticeStream> {
        Self::inner(this).notices()
    }

    /// As [`SessionStore::invalidations`].
    fn invalidations(this: &Self, silence: Duration) -> Option<InvalidationStream> {
        Self::inner(this).invalidations(silence)
    }

    /// As [`SessionStore::inspect`].
    fn inspect(this: &Self) -> Option<&dyn Inspect> {
        Self::inner(this).inspect()
    }

    /// As [`SessionStore::drop_copy`].
    fn drop_copy(this: &Self, id: &SessionId) {
        Self::inner(this).drop_copy(id);
    }

    /// As [`SessionDirectory::count`].
    fn count(this: &Self) -> impl Future<Output = Result<u64>> + Send {
        async move { inner_directory(this)?.count().await }
    }

    /// As [`SessionDirectory::list`].
    fn list(
        this: &Self,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send {
        async move { inner_directory(this)?.list(cursor, limit).await }
    }

    /// As [`SessionDirectory::owned_by`].
    fn owned_by(
        this: &Self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send {
        async move {
            let directory = inner_directory(this)?;
            directory.owned_by(owner, cursor, limit).await
        }
    }

    /// As [`SessionDirectory::destroy_owned_by`].
    fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Ended>>> + Send {
        async move {
            let directory = inner_directory(this)?;
            directory.destroy_owned_by(owner, except, limit).await
        }
    }

    /// As [`SessionDirectory::clear`].
    fn clear(this: &Self) -> impl Future<Output = Result<u64>> + Send {
        async move { inner_directory(this)?.clear().await }
    }

    /// As [`SessionDirectory::reap`].
    fn reap(this: &Self, limit: usize) -> impl Future<Output = Result<Vec<Ended>>> + Send {
        async move { inner_directory(this)?.reap(limit).await }
    }

    /// As [`SessionDirectory::confirm_reaped`].
    fn confirm_reaped(this: &Self, reaped: &[Ended]) -> impl Future<Output = Result<()>> + Send {
        async move { inner_directory(this)?.confirm_reaped(reaped).await }
    }
}

fn inner_directory<W: StoreWrapper>(wrapper: &W) -> Result<&dyn SessionDirectory> {
    W::inner(wrapper).directory().ok_or_else(no_directory)
}

/// Refuses operations of the directory where there is none.
fn check_directory<W: StoreWrapper>(wrapper: &W) -> Result<()> {
    match W::has_directory(wrapper) {
        true => Ok(()),
        false => Err(no_directory()),
    }
}

fn no_directory() -> Error {
    Error::unsupported("listing, counting, owners or reaping")
}

#[async_trait]
impl<W: StoreWrapper> SessionStore for W {
    fn capabilities(&self) -> Capabilities {
        StoreWrapper::capabilities(self)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        W::has_directory(self).then_some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        StoreWrapper::create(self, id, draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        StoreWrapper::load(self, id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        StoreWrapper::save(self, id, draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        StoreWrapper::touch(self, id, idle).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        StoreWrapper::destroy(self, id, expected).await
    }

    fn notices(&self) -> Option<NoticeStream> {
        StoreWrapper::notices(self)
    }

    fn invalidations(&self, silence: Duration) -> Option<InvalidationStream> {
        StoreWrapper::invalidations(self, silence)
    }

    fn inspect(&self) -> Option<&dyn Inspect> {
        StoreWrapper::inspect(self)
    }

    fn drop_copy(&self, id: &SessionId) {
        StoreWrapper::drop_copy(self, id);
    }
}

#[async_trait]
impl<W: StoreWrapper> SessionDirectory for W {
    async fn count(&self) -> Result<u64> {
        check_directory(self)?;
        StoreWrapper::count(self).await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        check_directory(self)?;
        StoreWrapper::list(self, cursor, limit).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        check_directory(self)?;
        StoreWrapper::owned_by(self, owner, cursor, limit).await
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        check_directory(self)?;
        StoreWrapper::destroy_owned_by(self, owner, except, limit).await
    }

    async fn clear(&self) -> Result<u64> {
        check_directory(self)?;
        StoreWrapper::clear(self).await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        check_directory(self)?;
        StoreWrapper::reap(self, limit).await
    }

    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        check_directory(self)?;
        StoreWrapper::confirm_reaped(self, reaped).await
    }
}

impl<S: SessionStore + ?Sized> StoreWrapper for Arc<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        this
    }
}
