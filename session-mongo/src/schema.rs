//! The layout: indexes, filters, and what is read.
//!
//! Times are expressions on `$$NOW`, the server's clock.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use mongodb::options::{Collation, IndexOptions};
use session_core::{Owner, SessionId, Stamp};

/// The version of this layout, in the field `v` of each document. A document of another version is
/// corrupt.
pub(crate) const LAYOUT: i32 = 3;

/// The name of the TTL index.
pub(crate) const TTL_INDEX: &str = "due_ttl";

/// The name of the index on owners. Queries for an owner name it, because the server would weigh
/// it against the index on `_id`.
pub(crate) const OWNER_INDEX: &str = "owner_id";

/// The name that MongoDB gives the index on `_id`.
pub(crate) const ID_INDEX: &str = "_id_";

/// How far `due` may be behind the deadline, in milliseconds.
pub(crate) const DUE_MILLIS: i64 = 60_000;

/// The deadline of a session that has none: the end of the year 9999.
pub(crate) const NEVER: DateTime = DateTime::from_millis(253_402_300_799_999);

/// How long a claim on an expired session holds; after that its claimer is taken for dead.
const CLAIM_MILLIS: i64 = 60_000;

/// All indexes but the one on `_id`; the TTL index removes `seconds` after `due`.
pub(crate) fn indexes(seconds: u64) -> Vec<IndexModel> {
    let named = |name: &str| IndexOptions::builder().name(name.to_owned()).build();
    let mut owner = named(OWNER_INDEX);
    owner.collation = Some(Collation::builder().locale("simple").build());
    // A sparse index on two fields would hold all documents, because each has an `_id`.
    owner.partial_filter_expression = Some(doc! { "owner": { "$exists": true } });
    let mut due = named(TTL_INDEX);
    due.expire_after = Some(Duration::from_secs(seconds));
    let index = |keys, options| IndexModel::builder().keys(keys).options(options).build();
    vec![
        index(doc! { "owner": 1, "_id": 1 }, owner),
        index(doc! { "due": 1 }, due),
    ]
}

/// How many seconds after `due` the TTL index removes.
pub(crate) fn grace_seconds(grace: Duration) -> u64 {
    DUE_MILLIS.unsigned_abs() / 1_000 + whole_seconds(grace)
}

/// A grace in whole seconds, rounded up.
pub(crate) fn whole_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

/// The grace of a TTL index that removes `seconds` after `due`.
pub(crate) fn grace_of(seconds: u64) -> Duration {
    Duration::from_secs(seconds.saturating_sub(DUE_MILLIS.unsigned_abs() / 1_000))
}

/// All documents of this layout, damaged or not, and none of another program that uses the names `v`
/// and `stamp`: the two are of our types, or damaged among the other fields that each session has.
pub(crate) fn ours() -> Document {
    let is_there = || Bson::from(doc! { "$exists": true });
    let others = ["data", "credential", "born", "deadline", "due"];
    let others = others.map(|field| (field.to_owned(), is_there()));
    let typed = doc! { "v": { "$type": "int" }, "stamp": { "$type": "binData" } };
    doc! {
        "_id": { "$type": "string" },
        "v": is_there(),
        "stamp": is_there(),
        "$or": [typed, others.into_iter().collect::<Document>()],
    }
}

/// The session `id`.
pub(crate) fn with_id(id: &SessionId) -> Document {
    doc! { "_id": id.as_str() }
}

/// The session `id`, if its stamp is `stamp`.
pub(crate) fn at(id: &SessionId, stamp: Stamp) -> Document {
    doc! { "_id": id.as_str(), "stamp": bytes(stamp.as_bytes()) }
}

/// The sessions of `owner`.
pub(crate) fn of(owner: &Owner) -> Document {
    doc! { "owner": owner.as_str() }
}

/// The live ones of what `filter` matches.
pub(crate) fn with_live(mut filter: Document) -> Document {
    filter.insert("$expr", is_live());
    filter
}

/// Whether a session is live.
pub(crate) fn is_live() -> Document {
    doc! { "$gt": ["$deadline", "$$NOW"] }
}

/// All but the expired ones of what `filter` matches: the live ones, and what can't be read, of
/// which nobody knows.
pub(crate) fn with_unexpired(mut filter: Document) -> Document {
    let unknown = doc! { "$ne": [{ "$type": "$deadline" }, "date"] };
    filter.insert("$expr", doc! { "$or": [is_live(), unknown] });
    filter
}

/// The expired ones of what `filter` matches.
pub(crate) fn with_expired(mut filter: Document) -> Document {
    // What is missing sorts before every date.
    filter.insert("deadline", doc! { "$type": "date" });
    let expired = ["$due", "$deadline"].map(|field| doc! { "$lte": [field, "$$NOW"] });
    filter.insert("$expr", doc! { "$and": expired.to_vec() });
    filter
}

/// The expired ones of what `filter` matches that nobody is reaping.
pub(crate) fn with_unclaimed(filter: Document) -> Document {
    let mut filter = with_expired(filter);
    let old = doc! { "$lt": ["$claimed", { "$subtract": ["$$NOW", CLAIM_MILLIS] }] };
    filter.insert(
        "$or",
        vec![
            doc! { "claim": { "$exists": false } },
            doc! { "$expr": old },
        ],
    );
    filter
}

/// Claims an expired session.
pub(crate) fn claim(claim: &Stamp) -> Vec<Document> {
    vec![doc! { "$set": { "claim": bytes(claim.as_bytes()), "claimed": "$$NOW" } }]
}

/// The expired ones of what `filter` matches that have this claim.
pub(crate) fn with_claim(mut filter: Document, claim: &Stamp) -> Document {
    filter.insert("claim", bytes(claim.as_bytes()));
    with_expired(filter)
}

/// What is read: the fields `of` a session, and the time at the server. What is left and how old a
/// session is, and whether it lives, is worked out here: it takes the server longer.
fn read(of: impl Into<Bson>) -> Document {
    doc! { "_id": 0, "now": "$$NOW", "session": of.into() }
}

/// All of a session.
pub(crate) fn record_fields() -> Document {
    read("$$ROOT")
}

/// What is read to say how a write went.
pub(crate) fn brief_fields() -> Document {
    read(doc! { "_id": "$_id", "v": "$v", "stamp": "$stamp", "deadline": "$deadline" })
}

/// What is read of a session that ends.
pub(crate) fn ended_fields() -> Document {
    read(doc! { "_id": "$_id", "owner": "$owner", "born": "$born" })
}

/// What is read for a listing.
pub(crate) fn info_fields() -> Document {
    // An expression that fails would fail for all that are listed.
    let is_binary = doc! { "$eq": [{ "$type": "$data" }, "binData"] };
    read(doc! {
        "_id": "$_id",
        "v": "$v",
        "owner": "$owner",
        "idle": "$idle",
        "absolute": "$absolute",
        "born": "$born",
        "deadline": "$deadline",
        "size": { "$cond": [is_binary, { "$binarySize": "$data" }, Bson::Null] },
    })
}

pub(crate) fn bytes(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}
