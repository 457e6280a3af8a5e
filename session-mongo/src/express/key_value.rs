//! The records of connect-mongo.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{IndexModel, Namespace};
use session_core::backend::{Backend, Call, Policy, Sent, run_to_completion};
use session_core::{Cursor, Error, Result, Ttl};
use session_express::{Configured, Found, KeyValue, Listed, Renamed};

use super::ExpressStoreBuilder;
use super::builder::Options;
use super::schema::{LAYOUT, expired, expires, fields, found, live, of_this_layout, stored, value};
use super::subdocument::{from_json, to_json};
use crate::backend::REPEATS;
use crate::command::{send, send_idempotent};
use crate::directory::MAX_PAGE;
use crate::error::{DUPLICATE_KEY, code};
use crate::{MongoBackend, MongoClient, check, directory};

/// The records of connect-mongo: reads and writes them for an
/// [`ExpressStore`](super::ExpressStore).
#[derive(Clone)]
pub struct ConnectMongo {
    pub(super) namespace: Namespace,
    pub(super) options: Options,
}

impl Configured for ConnectMongo {
    type Builder = ExpressStoreBuilder;
}

impl ConnectMongo {
    /// Checks the user's rights and, unless the store [migrates](Self::migrate) afterwards, the
    /// collection.
    pub(super) async fn check(&self, call: &Call<MongoClient>, migrates: bool) -> Result<()> {
        if migrates {
            let rights = [&check::USE_RIGHTS[..], &check::SETUP_RIGHTS].concat();
            return check::rights(call, &self.namespace, &rights).await;
        }
        check::rights(call, &self.namespace, &check::USE_RIGHTS).await?;
        let checked = check::collection(call, &self.namespace, &LAYOUT, false);
        checked.await.map(drop)
    }

    /// Checks the collection, and creates the TTL index as connect-mongo does.
    pub(super) async fn migrate(&self, call: &Call<MongoClient>) -> Result<()> {
        check::collection(call, &self.namespace, &LAYOUT, true).await?;
        let created = send(call, |to| async move {
            let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
            let index = IndexModel::builder().keys(doc! { "expires": 1 });
            let index = index.options(options).build();
            to.collection.create_index(index).await
        });
        created.await.map(drop)
    }

    fn id(&self, name: &str) -> String {
        match &self.options.transform_id {
            Some(transform) => transform(name),
            None => name.to_owned(),
        }
    }

    fn live(&self, name: &str) -> Document {
        let mut filter = live();
        filter.insert("_id", self.id(name));
        filter
    }

    /// The dates that every write sets.
    fn dates(&self, ttl: Ttl) -> Document {
        let mut fields = doc! { "expires": expires(ttl) };
        if !self.options.touch_after.is_zero() {
            fields.insert("lastModified", "$$NOW");
        }
        if self.options.timestamps {
            fields.insert("updatedAt", "$$NOW");
        }
        fields
    }

    async fn update(
        &self,
        call: &Call<MongoClient>,
        filter: Document,
        fields: Document,
    ) -> Result<bool> {
        let updated = send(call, |to| async move {
            let set = vec![doc! { "$set": fields }];
            let updated = to.collection.update_one(filter, set).await?;
            Ok(updated.matched_count > 0)
        });
        check_written(call, updated.await?)
    }

    async fn add_value(
        &self,
        call: &Call<MongoClient>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let id = self.id(name);
        let mut document = doc! {
            "_id": { "$literal": &id },
            "session": { "$literal": stored(value)? },
        };
        document.extend(self.dates(ttl));
        if self.options.timestamps {
            document.insert("createdAt", "$$NOW");
        }
        // Matches no session: if a session has this id, the insert fails.
        let filter = doc! { "_id": &id, "session": { "$exists": false } };
        for _ in 0..2 {
            let replace = vec![doc! { "$replaceWith": document.clone() }];
            let filter = filter.clone();
            let added = send(call, |to| async move {
                match to.collection.update_one(filter, replace).upsert(true).await {
                    Err(error) if code(&error) == Some(DUPLICATE_KEY) => Ok(false),
                    added => added.map(|_| true),
                }
            });
            if check_written(call, added.await?)? {
                return Ok(true);
            }
            // An expired session may have this id.
            let mut filter = expired();
            filter.insert("_id", &id);
            if !delete_one(call, filter).await?.answer {
                break;
            }
        }
        Ok(false)
    }

    async fn move_value(
        &self,
        call: &Call<MongoClient>,
        (from, to): (String, String),
        (old, new): (Bytes, Bytes),
        ttl: Ttl,
    ) -> Result<Renamed> {
        let mut filter = self.live(&from);
        filter.insert("session", doc! { "$eq": stored(&old)? });
        if !check_written(call, delete_one(call, filter).await?)? {
            return Ok(Renamed::Changed);
        }
        Ok(match self.add_value(call, &to, &new, ttl).await? {
            true => Renamed::Done,
            false => Renamed::Taken,
        })
    }
}

/// Deletes a document. Returns whether there was one.
async fn delete_one(call: &Call<MongoClient>, filter: Document) -> Result<Sent<bool>> {
    let deleted = send(call, |to| async move {
        let deleted = to.collection.delete_one(filter).await?;
        Ok(deleted.deleted_count > 0)
    });
    deleted.await
}

/// Returns whether something was written.
///
/// # Errors
/// [`ErrorKind::Unavailable`](session_core::ErrorKind::Unavailable) if not, and an earlier attempt
/// may have written it.
fn check_written(call: &Call<MongoClient>, sent: Sent<bool>) -> Result<bool> {
    if sent.is_repeated && !sent.answer {
        let place = call.place();
        let why = format!("{place}: the server changed, and the write may have been executed");
        return Err(Error::unavailable(call.name(), why));
    }
    Ok(sent.answer)
}

impl KeyValue for ConnectMongo {
    type Client = MongoClient;

    const NAME: &'static str = MongoBackend::NAME;
    const TTL: Duration = Duration::from_secs(14 * 86_400);

    fn policy(&self) -> Policy {
        Policy::new(self.options.timeout, self.options.max_data)
            .with_repeats(REPEATS)
            .with_circuit_breaker(self.options.circuit_breaker)
    }

    fn touch_after(&self) -> Duration {
        self.options.touch_after
    }

    fn listed_as<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match &self.options.transform_id {
            Some(transform) => Cow::Owned(transform(name)),
            None => Cow::Borrowed(name),
        }
    }

    async fn get(&self, call: &Call<MongoClient>, name: &str) -> Result<Option<Found>> {
        let document = send_idempotent(call, |to| {
            let live = self.live(name);
            async move { to.documents().find_one(live).projection(fields()).await }
        });
        document.await?.answer.as_ref().map(found).transpose()
    }

    async fn add(
        &self,
        call: &Call<MongoClient>,
        name: &str,
        value: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        self.add_value(call, name, value, ttl).await
    }

    async fn swap(
        &self,
        call: &Call<MongoClient>,
        name: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<bool> {
        let mut filter = self.live(name);
        filter.insert("session", doc! { "$eq": stored(old)? });
        let mut fields = doc! { "session": { "$literal": stored(new)? } };
        fields.extend(self.dates(ttl));
        self.update(call, filter, fields).await
    }

    async fn extend(&self, call: &Call<MongoClient>, name: &str, ttl: Ttl) -> Result<bool> {
        let mut fields = self.dates(ttl);
        if ttl != Ttl::Never {
            fields.insert("expires", doc! { "$max": ["$expires", expires(ttl)] });
        }
        self.update(call, self.live(name), fields).await
    }

    /// Renames in two steps: removes the old document, then adds the new one.
    async fn rename(
        &self,
        call: &Call<MongoClient>,
        from: &str,
        to: &str,
        old: &Bytes,
        new: &Bytes,
        ttl: Ttl,
    ) -> Result<Renamed> {
        let (kv, name) = (self.clone(), call.name());
        let (ids, values) = ((from.to_owned(), to.to_owned()), (old.clone(), new.clone()));
        let call = call.clone();
        let work = async move { kv.move_value(&call, ids, values, ttl).await };
        run_to_completion(name, work).await
    }

    async fn remove(&self, call: &Call<MongoClient>, name: &str) -> Result<bool> {
        let removed = delete_one(call, self.live(name)).await?;
        // An earlier attempt may have removed it.
        Ok(removed.answer || removed.is_repeated)
    }

    async fn count(&self, call: &Call<MongoClient>) -> Result<u64> {
        let count = send_idempotent(call, |to| async move {
            to.collection.count_documents(live()).await
        });
        Ok(count.await?.answer)
    }

    /// Corrupt documents are left out.
    async fn page(
        &self,
        call: &Call<MongoClient>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listed> {
        let mut filter = live();
        // Every id is text, and the empty text is before every other.
        let after = match cursor.map(|cursor| cursor.as_str().strip_prefix("after:")) {
            None => "",
            Some(Some(after)) => after,
            Some(None) => {
                let why = "this cursor is not of a MongoDB store: start without one";
                return Err(Error::misconfigured(why));
            }
        };
        filter.insert("_id", doc! { "$gt": after });
        let limit = limit.clamp(1, MAX_PAGE);
        let documents = send_idempotent(call, |to| {
            let filter = filter.clone();
            async move {
                let documents = to.documents();
                let find = documents.find(filter).projection(fields());
                let find = find.sort(doc! { "_id": 1 });
                let find = find.limit(limit as i64).batch_size(limit as u32);
                find.await?.try_collect::<Vec<_>>().await
            }
        });
        let documents = documents.await?.answer;
        let id = |document: &Document| Some(document.get_str("_id").ok()?.to_owned());
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.and_then(sort_key);
        let next = next.map(|key| Cursor::new(format!("after:{key}")));
        let named = |document: &Document| Some((id(document)?, found(document).ok()?));
        let values = documents.iter().filter_map(named).collect();
        Ok(Listed { values, next })
    }

    async fn clear(&self, call: &Call<MongoClient>) -> Result<u64> {
        directory::clear(call, of_this_layout).await
    }

    async fn purge(&self, call: &Call<MongoClient>, limit: usize) -> Result<()> {
        let mut filter = expired();
        let ids = directory::find_ids(call, &filter, None, limit).await?;
        filter.insert("_id", doc! { "$in": ids });
        let delete = send(
            call,
            |to| async move { to.collection.delete_many(filter).await },
        );
        delete.await.map(drop)
    }

    async fn open(&self, value: &Bytes) -> Result<Bytes> {
        match (stored(value)?, &self.options.crypto) {
            (Bson::Document(document), _) => Ok(to_json(&document)),
            (Bson::String(text), Some(crypto)) => Ok(crypto.decrypt(&text).await?.into()),
            (Bson::String(text), None) => Ok(text.into()),
            _ => Err(Error::corrupt("the field \"session\" can't be read")),
        }
    }

    async fn seal(&self, json: Bytes, old: Option<&Bytes>) -> Result<Bytes> {
        if !self.options.stringify {
            let old = match old.map(stored).transpose()? {
                Some(Bson::Document(old)) => Some(old),
                _ => None,
            };
            return value(Some(&Bson::Document(from_json(&json, old.as_ref())?)));
        }
        let text = std::str::from_utf8(&json).unwrap_or_default();
        let text = match &self.options.crypto {
            Some(crypto) => crypto.encrypt(text).await?,
            None => text.to_owned(),
        };
        value(Some(&Bson::String(text)))
    }
}

/// The id as text or as MongoDB's old type symbol, which sorts with text.
fn sort_key(document: &Document) -> Option<&str> {
    let id = document.get("_id")?;
    id.as_str().or_else(|| id.as_symbol())
}

impl fmt::Debug for ConnectMongo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectMongo")
            .field("collection", &self.namespace.coll)
            .field("timeout", &self.options.timeout)
            .finish_non_exhaustive()
    }
}
