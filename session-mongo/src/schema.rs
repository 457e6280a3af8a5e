//! The documents, the indexes, and the expressions on them.
//!
//! Times are expressions on `$$NOW`, the server's clock; texts that come from outside are
//! literals, for in an expression `$x` would be a field.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocument, doc, serialize_to_bson};
use mongodb::options::{Collation, IndexOptions, WriteConcern};
use session_core::{
    Anchor, Draft, Ended, Error, Lifetime, Owner, Record, Result, SessionId, SessionInfo, Stamp,
    Timeout, Ttl,
};

/// The name of the TTL index.
pub(crate) const TTL_INDEX: &str = "deadline_ttl";

/// How long a claim on an expired session holds; after that its claimer is taken for dead.
const CLAIM_MILLIS: i64 = 60_000;

/// All indexes.
pub(crate) fn indexes(grace: Duration) -> Vec<IndexModel> {
    let simple = || Collation::builder().locale("simple").build();
    let named = |name: &str| IndexOptions::builder().name(name.to_owned()).build();
    let mut sid = named("sid_unique");
    sid.unique = Some(true);
    sid.collation = Some(simple());
    let mut owner = named("owner_sparse");
    owner.sparse = Some(true);
    owner.collation = Some(simple());
    let mut deadline = named(TTL_INDEX);
    deadline.expire_after = Some(Duration::from_secs(grace_seconds(grace)));
    let index = |keys, options| IndexModel::builder().keys(keys).options(options).build();
    vec![
        index(doc! { "sid": 1 }, sid),
        index(doc! { "owner": 1 }, owner),
        index(doc! { "deadline": 1 }, deadline),
    ]
}

/// Whole seconds, rounded up: that is what a TTL index counts.
pub(crate) fn grace_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

/// The live session `id`.
pub(crate) fn live(id: &SessionId) -> Document {
    with_live(doc! { "sid": id.as_str() })
}

/// The live ones of the sessions `ids`.
pub(crate) fn live_ones<'i>(ids: impl ExactSizeIterator<Item = &'i str>) -> Document {
    let many = ids.len() > 1;
    let mut ids: Vec<Bson> = ids.map(Bson::from).collect();
    with_live(match ids.pop() {
        Some(id) if !many => doc! { "sid": id },
        last => {
            ids.extend(last);
            doc! { "sid": { "$in": ids } }
        }
    })
}

/// The session `id`, if its stamp is `stamp`.
pub(crate) fn at(id: &SessionId, stamp: Stamp) -> Document {
    doc! { "sid": id.as_str(), "stamp": bytes(stamp.as_bytes()) }
}

/// The live session `id`, if its stamp is `stamp`.
pub(crate) fn live_at(id: &SessionId, stamp: Stamp) -> Document {
    with_live(at(id, stamp))
}

/// The live ones of what `filter` matches.
pub(crate) fn with_live(mut filter: Document) -> Document {
    let later = doc! { "$expr": { "$gt": ["$deadline", "$$NOW"] } };
    filter.insert("$or", vec![doc! { "deadline": null }, later]);
    filter
}

/// The expired ones of what `filter` matches.
pub(crate) fn with_expired(mut filter: Document) -> Document {
    // Null sorts before every date, and stands for never.
    filter.insert("deadline", doc! { "$type": "date" });
    filter.insert("$expr", doc! { "$lte": ["$deadline", "$$NOW"] });
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

pub(crate) fn claimed_by(claim: &Stamp) -> Document {
    doc! { "claim": bytes(claim.as_bytes()) }
}

/// Writes `draft` under `id`. A document that is new, or whose draft says so, begins now.
pub(crate) fn write(id: &SessionId, draft: &Draft) -> Vec<Document> {
    let born: Bson = match draft.anchor {
        Anchor::Keep => doc! { "$ifNull": ["$born", "$$NOW"] }.into(),
        Anchor::Restart => "$$NOW".into(),
    };
    let fields = doc! {
        "sid": literal(id.as_str()),
        "data": bytes(&draft.data),
        "stamp": bytes(draft.stamp.as_bytes()),
        "owner": draft.owner.as_ref().map_or("$$REMOVE".into(), |owner| literal(owner.as_str())),
        "idle": millis(draft.lifetime.idle),
        "absolute": millis(draft.lifetime.absolute),
        "born": born,
    };
    let deadline = deadline_after_use(millis(draft.lifetime.idle));
    vec![
        doc! { "$set": fields },
        doc! { "$set": { "deadline": deadline } },
    ]
}

/// Creates a session, as a statement of an `update`: it matches the same draft written before, or
/// nothing; any other session of this id makes the insert fail on the unique index.
pub(crate) fn create_statement(id: &SessionId, draft: &Draft) -> Document {
    statement(at(id, draft.stamp), write(id, draft), true)
}

/// Saves a session, as a statement of an `update`.
pub(crate) fn save_statement(id: &SessionId, draft: &Draft, expected: Stamp) -> Document {
    statement(live_at(id, expected), write(id, draft), false)
}

/// Touches a session, as a statement of an `update`.
pub(crate) fn touch_statement(id: &SessionId, idle: Timeout) -> Document {
    statement(live(id), touch(idle), false)
}

fn statement(filter: Document, pipeline: Vec<Document>, upsert: bool) -> Document {
    doc! { "q": filter, "u": pipeline, "upsert": upsert }
}

/// An `update` of these statements, each for itself.
pub(crate) fn update_command(
    collection: &str,
    statements: impl Iterator<Item = Document>,
    concern: Option<&WriteConcern>,
) -> Document {
    let updates: Vec<Document> = statements.collect();
    let mut command = doc! { "update": collection, "updates": updates, "ordered": false };
    if let Some(concern) = concern.and_then(|concern| serialize_to_bson(concern).ok()) {
        command.insert("writeConcern", concern);
    }
    command
}

/// Moves the deadline to `idle` from now, within the absolute limit and never to earlier.
pub(crate) fn touch(idle: Timeout) -> Vec<Document> {
    let touched = deadline_after_use(millis(idle));
    let never = doc! { "$or": [
        { "$eq": ["$deadline", null] },
        { "$eq": [touched.clone(), null] },
    ] };
    let later = doc! { "$max": ["$deadline", touched] };
    vec![doc! { "$set": { "deadline": { "$cond": [never, null, later] } } }]
}

/// The earlier of the idle and the absolute deadline, for a session used just now; null for never.
fn deadline_after_use(idle: Bson) -> Document {
    // `$add` with null is null, and `$min` leaves null out.
    doc! { "$min": [
        { "$add": ["$$NOW", idle] },
        { "$add": ["$born", "$absolute"] },
    ] }
}

/// What is read of a session, with the times as durations from now.
pub(crate) fn record_fields() -> Document {
    let mut fields = times();
    fields.extend(doc! { "data": 1, "stamp": 1, "owner": 1 });
    fields
}

/// What is read for a listing.
pub(crate) fn info_fields() -> Document {
    let mut fields = times();
    fields.extend(doc! { "sid": 1, "owner": 1, "size": { "$binarySize": "$data" } });
    fields
}

/// What is left after a touch.
pub(crate) fn ttl_field() -> Document {
    doc! { "_id": 0, "ttl": { "$subtract": ["$deadline", "$$NOW"] } }
}

fn times() -> Document {
    doc! {
        "idle": 1,
        "absolute": 1,
        "ttl": { "$subtract": ["$deadline", "$$NOW"] },
        "age": { "$subtract": ["$$NOW", "$born"] },
    }
}

pub(crate) fn record(document: &RawDocument) -> Result<Record> {
    let data = document
        .get_binary("data")
        .map_err(|_| corrupt("data"))?
        .bytes;
    Ok(Record {
        data: bytes::Bytes::copy_from_slice(data),
        stamp: stamp(document)?,
        owner: owner(document)?,
        lifetime: lifetime(document)?,
        ttl: ttl(document)?,
        age: age(document)?,
    })
}

pub(crate) fn info(document: &RawDocument) -> Result<SessionInfo> {
    let size = number(document, "size")?.unwrap_or_default();
    Ok(SessionInfo {
        id: id(document)?,
        owner: owner(document)?,
        lifetime: lifetime(document)?,
        ttl: ttl(document)?,
        age: age(document)?,
        size: usize::try_from(size).unwrap_or_default(),
    })
}

pub(crate) fn ended(info: SessionInfo) -> Ended {
    Ended {
        id: info.id,
        owner: info.owner,
        age: info.age,
    }
}

pub(crate) fn stamp(document: &RawDocument) -> Result<Stamp> {
    let bytes = document
        .get_binary("stamp")
        .map_err(|_| corrupt("stamp"))?
        .bytes;
    let bytes = bytes.try_into().map_err(|_| corrupt("stamp"))?;
    Ok(Stamp::from_bytes(bytes))
}

pub(crate) fn ttl(document: &RawDocument) -> Result<Ttl> {
    Ok(Timeout::from_millis(number(document, "ttl")?).into())
}

fn id(document: &RawDocument) -> Result<SessionId> {
    let id = document.get_str("sid").map_err(|_| corrupt("sid"))?;
    SessionId::from_stored(id).map_err(|_| corrupt("sid"))
}

fn owner(document: &RawDocument) -> Result<Option<Owner>> {
    match document.get("owner").map_err(|_| corrupt("owner"))? {
        None => Ok(None),
        Some(owner) => {
            let owner = owner.as_str().and_then(|owner| Owner::new(owner).ok());
            owner.map(Some).ok_or_else(|| corrupt("owner"))
        }
    }
}

fn lifetime(document: &RawDocument) -> Result<Lifetime> {
    let idle = Timeout::from_millis(number(document, "idle")?);
    let absolute = Timeout::from_millis(number(document, "absolute")?);
    Ok(Lifetime::new(idle, absolute))
}

fn age(document: &RawDocument) -> Result<Duration> {
    let age = number(document, "age")?.ok_or_else(|| corrupt("born"))?;
    Ok(Duration::from_millis(age))
}

/// A number of milliseconds or bytes, `None` for null; clocks that were set back give 0.
fn number(document: &RawDocument, field: &str) -> Result<Option<u64>> {
    let value = document.get(field).map_err(|_| corrupt(field))?;
    let number = match value {
        None => return Ok(None),
        Some(value) if value.as_null().is_some() => return Ok(None),
        Some(value) => value.as_i64().or_else(|| value.as_i32().map(i64::from)),
    };
    let number = number.ok_or_else(|| corrupt(field))?;
    Ok(Some(u64::try_from(number).unwrap_or_default()))
}

fn corrupt(field: &str) -> Error {
    Error::corrupt(format!("the document has no usable field {field:?}"))
}

fn millis(timeout: Timeout) -> Bson {
    timeout.millis().map_or(Bson::Null, |millis| {
        // So far from overflowing a date that the server can still add to it: 140,000 years.
        Bson::Int64(millis.min(1 << 52) as i64)
    })
}

fn literal(text: &str) -> Bson {
    doc! { "$literal": text }.into()
}

pub(crate) fn bytes(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}
