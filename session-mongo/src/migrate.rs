//! Creates and changes the indexes of a collection.

use std::time::Duration;

use mongodb::Namespace;
use mongodb::bson::{Bson, Document, doc};
use session_core::backend::Call;
use session_core::{Error, Result};

use crate::check::{self, Layout};
use crate::client::MongoClient;
use crate::command::send;
use crate::error::{INDEX_OPTIONS_CONFLICT, code, is_unauthorized};
use crate::schema::{self, OWNER_INDEX, TTL_INDEX};

/// The layout of sessions; corrupt documents have these fields too.
pub(crate) const LAYOUT: Layout = Layout {
    fields: &["v", "stamp"],
    filter: schema::of_this_layout,
    indexes: &[OWNER_INDEX, TTL_INDEX],
};

/// How often other programs may create conflicting indexes meanwhile.
const ATTEMPTS: u32 = 3;

/// Creates missing indexes, and changes the grace if the user has the right. Returns the grace that
/// the TTL index has then.
pub(crate) async fn run(
    call: &Call<MongoClient>,
    namespace: &Namespace,
    grace: Duration,
) -> Result<Duration> {
    let wanted = schema::grace_seconds(grace);
    for _ in 0..ATTEMPTS {
        let found = check::collection(call, namespace, &LAYOUT, true).await?;
        let found = found.unwrap_or_default();
        check_own(call, namespace, &found)?;
        let has = |name: &str| {
            found
                .iter()
                .any(|index| index.get_str("name").ok() == Some(name))
        };
        match seconds(&found) {
            // The owner index may be missing although the TTL index exists.
            Some(seconds) if has(OWNER_INDEX) || create(call, seconds).await? => {
                if seconds == wanted || change(call, &namespace.coll, wanted).await? {
                    return Ok(grace);
                }
                let old = schema::grace_of(seconds);
                tracing::warn!(
                    collection = namespace.coll,
                    "the TTL index keeps an expiry_grace of {old:?} instead of {grace:?}: the user \
                     lacks the right collMod"
                );
                return Ok(old);
            }
            None if create(call, wanted).await? => return Ok(grace),
            _ => {}
        }
    }
    Err(Error::misconfigured(format!(
        "{}: other indexes of {namespace} have the keys or names of {TTL_INDEX} and {OWNER_INDEX}: drop \
         them, or use another collection",
        call.place(),
    )))
}

/// The grace of the TTL index in `indexes`.
pub(crate) fn grace(indexes: &[Document]) -> Option<Duration> {
    seconds(indexes).map(schema::grace_of)
}

fn seconds(indexes: &[Document]) -> Option<u64> {
    let is_ttl = |index: &&Document| index.get_str("name").ok() == Some(TTL_INDEX);
    match indexes.iter().find(is_ttl)?.get("expireAfterSeconds")? {
        Bson::Int32(seconds) => u64::try_from(*seconds).ok(),
        Bson::Int64(seconds) => u64::try_from(*seconds).ok(),
        Bson::Double(seconds) => Some(*seconds as u64),
        _ => None,
    }
}

/// Refuses different indexes with the names of ours.
fn check_own(call: &Call<MongoClient>, namespace: &Namespace, found: &[Document]) -> Result<()> {
    for index in found {
        let name = index.get_str("name").unwrap_or_default();
        let keys = index.get_document("key").ok();
        let is_ours = match name {
            TTL_INDEX => {
                keys == Some(&doc! { "due": 1 }) && index.contains_key("expireAfterSeconds")
            }
            OWNER_INDEX => keys == Some(&doc! { "owner": 1, "_id": 1 }),
            _ => true,
        };
        if !is_ours || (name != "_id_" && index.get_bool("unique").unwrap_or_default()) {
            return Err(Error::misconfigured(format!(
                "{}: the index {name:?} of {namespace} is not as this library makes it: drop it, or use \
                 another collection",
                call.place(),
            )));
        }
    }
    Ok(())
}

/// Creates the indexes. Returns false if conflicting indexes exist.
async fn create(call: &Call<MongoClient>, seconds: u64) -> Result<bool> {
    let created = send(call, |to| async move {
        match to.collection.create_indexes(schema::indexes(seconds)).await {
            Err(error) if code(&error).is_some_and(|c| INDEX_OPTIONS_CONFLICT.contains(&c)) => {
                Ok(false)
            }
            done => done.map(|_| true),
        }
    });
    Ok(created.await?.answer)
}

/// Changes the TTL index. Returns false if the user lacks the right.
async fn change(call: &Call<MongoClient>, collection: &str, seconds: u64) -> Result<bool> {
    let change = doc! {
        "collMod": collection,
        "index": {
            "name": TTL_INDEX,
            "expireAfterSeconds": i64::try_from(seconds).unwrap_or(i64::MAX),
        },
    };
    let changed = send(call, |to| async move {
        match to.database.run_command(change).await {
            Err(error) if is_unauthorized(&error) => Ok(false),
            done => done.map(|_| true),
        }
    });
    Ok(changed.await?.answer)
}
