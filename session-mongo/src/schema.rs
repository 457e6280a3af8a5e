//! The layout: indexes, filters and projections.
//!
//! Times are expressions on `$$NOW`, the server's clock.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use mongodb::options::{Collation, IndexOptions};
use session_core::{Owner, SessionId, Stamp};

/// The version of the layout, in the field `v` of each document. A document of another version is
/// corrupt.
pub(crate) const VERSION: i32 = 4;

/// The name of the TTL index.
pub(crate) const TTL_INDEX: &str = "due_ttl";

/// The name of the owner index. Queries for an owner name it, because the server might choose the
/// index on `_id`.
pub(crate) const OWNER_INDEX: &str = "owner_id";

/// The name that MongoDB gives the index on `_id`.
pub(crate) const ID_INDEX: &str = "_id_";

/// How far `due` may be before the deadline, in milliseconds.
pub(crate) const DUE_MILLIS: i64 = 60_000;

/// The deadline of a session that has none: the end of the year 9999.
pub(crate) const NEVER: DateTime = DateTime::from_millis(253_402_300_799_999);

/// How long a claim on an expired session is valid: then its report is not confirmed any more.
const CLAIM_MILLIS: i64 = 60_000;

/// All indexes but the one on `_id`. The TTL index removes a session `seconds` after `due`.
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

/// How many seconds after `due` the TTL index removes a session.
pub(crate) fn grace_seconds(grace: Duration) -> u64 {
    DUE_MILLIS.unsigned_abs() / 1_000 + whole_seconds(grace)
}

/// A grace in whole seconds, rounded up.
pub(crate) fn whole_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

/// The grace of a TTL index that removes sessions `seconds` after `due`.
pub(crate) fn grace_of(seconds: u64) -> Duration {
    Duration::from_secs(seconds.saturating_sub(DUE_MILLIS.unsigned_abs() / 1_000))
}

/// Matches all documents of this layout, corrupt or not, but none of another program with fields
/// `v` and `stamp`: either both have the right type, or all other fields of a session exist.
pub(crate) fn of_this_layout() -> Document {
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

/// Matches the session `id`.
pub(crate) fn with_id(id: &SessionId) -> Document {
    doc! { "_id": id.as_str() }
}

/// Matches the session `id` if its stamp is `stamp`.
pub(crate) fn with_stamp(id: &SessionId, stamp: Stamp) -> Document {
    doc! { "_id": id.as_str(), "stamp": bytes(stamp.as_bytes()) }
}

/// Matches the sessions of `owner`.
pub(crate) fn with_owner(owner: &Owner) -> Document {
    doc! { "owner": owner.as_str() }
}

/// Restricts `filter` to live sessions.
pub(crate) fn with_live(mut filter: Document) -> Document {
    filter.insert("$expr", is_live());
    filter
}

/// Whether a session is live.
pub(crate) fn is_live() -> Document {
    doc! { "$gt": ["$deadline", "$$NOW"] }
}

/// Restricts `filter` to sessions that have not expired: live ones, and corrupt ones without a
/// deadline.
pub(crate) fn with_unexpired(mut filter: Document) -> Document {
    let unknown = doc! { "$ne": [{ "$type": "$deadline" }, "date"] };
    filter.insert("$expr", doc! { "$or": [is_live(), unknown] });
    filter
}

/// Restricts `filter` to expired sessions.
pub(crate) fn with_expired(mut filter: Document) -> Document {
    // A missing deadline would sort before every date.
    filter.insert("deadline", doc! { "$type": "date" });
    let expired = ["$due", "$deadline"].map(|field| doc! { "$lte": [field, "$$NOW"] });
    filter.insert("$expr", doc! { "$and": expired.to_vec() });
    filter
}

/// Restricts `filter` to expired sessions that no reaper has claimed.
pub(crate) fn with_unclaimed(filter: Document) -> Document {
    let mut filter = with_expired(filter);
    let lapsed = doc! { "$lt": ["$claimed", { "$subtract": ["$$NOW", CLAIM_MILLIS] }] };
    // From before the clock was set back.
    let late = doc! { "$gt": ["$claimed", { "$add": ["$$NOW", CLAIM_MILLIS] }] };
    filter.insert(
        "$or",
        vec![
            doc! { "claim": { "$exists": false } },
            doc! { "$expr": { "$or": [lapsed, late] } },
        ],
    );
    filter
}

/// Claims an expired session.
pub(crate) fn claim(claim: &Stamp) -> Vec<Document> {
    vec![doc! { "$set": { "claim": bytes(claim.as_bytes()), "claimed": "$$NOW" } }]
}

/// Restricts `filter` to expired sessions with this claim.
pub(crate) fn with_claim(mut filter: Document, claim: &Stamp) -> Document {
    filter.insert("claim", bytes(claim.as_bytes()));
    with_expired(filter)
}

/// Restricts `filter` to expired sessions with a claim, whichever reaper's.
pub(crate) fn with_any_claim(mut filter: Document) -> Document {
    filter.insert("claim", doc! { "$exists": true });
    with_expired(filter)
}

/// A projection of a session and the server's time. The client computes remaining time, age and
/// whether the session is live, because the server would take longer.
fn projection(session: impl Into<Bson>) -> Document {
    doc! { "_id": 0, "now": "$$NOW", "session": session.into() }
}

/// A projection of the whole session.
pub(crate) fn record_fields() -> Document {
    projection("$$ROOT")
}

/// A projection of the fields that show the outcome of a write.
pub(crate) fn brief_fields() -> Document {
    projection(doc! { "_id": "$_id", "v": "$v", "stamp": "$stamp", "deadline": "$deadline" })
}

/// A projection of the fields for an [`Ended`](session_core::Ended).
pub(crate) fn ended_fields() -> Document {
    projection(doc! { "_id": "$_id", "owner": "$owner", "born": "$born" })
}

/// A projection of the fields for a [`SessionInfo`](session_core::SessionInfo).
pub(crate) fn info_fields() -> Document {
    // An expression that fails for one document would fail the whole listing.
    let is_binary = doc! { "$eq": [{ "$type": "$data" }, "binData"] };
    projection(doc! {
        "_id": "$_id",
        "v": "$v",
        "owner": "$owner",
        "description": "$description",
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
