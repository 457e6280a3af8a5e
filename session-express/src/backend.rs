//! The layout as a backend, without batching.

use session_core::backend::{Backend, Call, Create, Destroy, Policy, Save, Touch, one_by_one};
use session_core::{
    Capabilities, Cursor, Ended, Error, Owner, Page, Record, Result, Saved, SessionId, Ttl,
};

use crate::key_value::KeyValue;
use crate::layout::Layout;

/// The policy allows no batching, so each slice has one item.
impl<K: KeyValue> Backend for Layout<K> {
    type Client = K::Client;

    const NAME: &'static str = K::NAME;
    const HAS_DIRECTORY: bool = true;

    fn policy(&self) -> Policy {
        let policy = self.kv.policy();
        Policy::new(policy.timeout, policy.max_data)
            .with_repeats(policy.repeats)
            .with_circuit_breaker(policy.circuit_breaker)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().with_plain_ids(true)
    }

    async fn create(
        &self,
        call: &Call<K::Client>,
        creates: &[Create],
    ) -> Result<Vec<Result<Saved>>> {
        Ok(one_by_one(creates, |create| self.create_one(call, create)).await)
    }

    async fn load(
        &self,
        call: &Call<K::Client>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        Ok(one_by_one(ids, |id| self.load_one(call, id)).await)
    }

    async fn save(&self, call: &Call<K::Client>, saves: &[Save]) -> Result<Vec<Result<Saved>>> {
        Ok(one_by_one(saves, |save| self.save_one(call, save)).await)
    }

    async fn touch(
        &self,
        call: &Call<K::Client>,
        touches: &[Touch],
    ) -> Result<Vec<Result<Option<Ttl>>>> {
        Ok(one_by_one(touches, |touch| self.touch_one(call, touch)).await)
    }

    async fn destroy(
        &self,
        call: &Call<K::Client>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        Ok(one_by_one(destroys, |destroy| self.destroy_one(call, destroy)).await)
    }

    async fn count(&self, call: &Call<K::Client>) -> Result<u64> {
        self.kv.count(call).await
    }

    async fn list(
        &self,
        call: &Call<K::Client>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        self.page(call, cursor, limit).await
    }

    async fn owned_by(
        &self,
        _: &Call<K::Client>,
        _: &Owner,
        _: Option<&Cursor>,
        _: usize,
    ) -> Result<Page> {
        no_owners()
    }

    async fn destroy_owned_by(
        &self,
        _: &Call<K::Client>,
        _: &Owner,
        _: Option<&SessionId>,
        _: usize,
    ) -> Result<Vec<Ended>> {
        no_owners()
    }

    async fn clear(&self, call: &Call<K::Client>) -> Result<u64> {
        self.kv.clear(call).await
    }

    async fn reap(&self, call: &Call<K::Client>, limit: usize) -> Result<Vec<Ended>> {
        self.kv.purge(call, limit).await?;
        Ok(Vec::new())
    }
}

fn no_owners<T>() -> Result<T> {
    let what = "looking up sessions by owner in an Express layout, which has no owner index";
    Err(Error::unsupported(what))
}
