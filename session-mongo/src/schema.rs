//! The documents, the indexes, and the expressions on them.
//!
//! Times are expressions on `$$NOW`, the server's clock; texts that come from outside are
//! literals, for in an expression `$x` would be a field.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, RawDocument, doc};
use mongodb::options::{Collation, IndexOptions};
use session_core::{
    Credential, Draft, Ended, Error, Lifetime, Owner, Record, Result, SessionId, SessionInfo,
    Stamp, Timeout, Ttl, Version,
};

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
const DUE_MILLIS: i64 = 60_000;

/// The deadline of a session that has none: the end of the year 9999.
pub(crate) const NEVER: DateTime = DateTime::from_millis(253_402_300_799_999);
/// Less than is left until a deadline that is none: no limit is 6,000 years.
const FAR: Duration = Duration::from_secs(6_000 * 366 * 86_400);

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

/// Makes a session of `draft`, in a document that is new: it has an `_id` and the draft's stamp.
/// If it is there already, because this was sent before, it goes on as it is.
pub(crate) fn create(draft: &Draft) -> Vec<Document> {
    let idle = millis(draft.lifetime.idle);
    let absolute = millis(draft.lifetime.absolute);
    let owner = draft.owner.as_ref().map(|owner| literal(owner.as_str()));
    let deadline = earlier(idle.clone(), "$$NOW".into(), absolute.clone());
    let fields = doc! {
        "v": literal(LAYOUT),
        "data": bytes(&draft.data),
        "credential": bytes(Credential::stored(draft.credential.as_ref())),
        "owner": owner.unwrap_or_else(|| "$$REMOVE".into()),
        "idle": idle,
        "absolute": absolute,
        "born": unless_live("$born", "$$NOW".into()),
        "deadline": unless_live("$deadline", deadline.into()),
    };
    vec![doc! { "$set": fields }, follow()]
}

/// What a live session has already, or else `new`.
fn unless_live(field: &str, new: Bson) -> Document {
    doc! { "$cond": [is_live(), field, new] }
}

/// Writes over each session the draft in its own field `draft`, and lets its limits go on.
pub(crate) fn write_own() -> Document {
    doc! { "$set": {
        "data": "$draft.data",
        "stamp": "$draft.stamp",
        "credential": "$draft.credential",
        "owner": { "$ifNull": ["$draft.owner", "$$REMOVE"] },
        "idle": "$draft.idle",
        "absolute": "$draft.absolute",
        "deadline": earlier("$draft.idle".into(), "$born".into(), "$draft.absolute".into()),
    } }
}

/// Moves the deadline to `idle` from now, within the absolute limit and never to earlier.
pub(crate) fn touch(idle: Timeout) -> Vec<Document> {
    let touched = earlier(millis(idle), "$born".into(), "$absolute".into());
    let later = doc! { "$max": ["$deadline", touched] };
    vec![doc! { "$set": { "deadline": later } }, follow()]
}

/// The earlier of the idle and the absolute deadline, for a session used just now.
fn earlier(idle: Bson, born: Bson, absolute: Bson) -> Document {
    // `$add` with null is null, and `$min` leaves null out.
    doc! { "$min": [
        { "$add": ["$$NOW", idle] },
        { "$add": [born, absolute] },
        NEVER,
    ] }
}

/// Makes `due` follow the deadline, from which it is less than a minute away and never later. So
/// most writes leave its index alone, which would cost as much as the rest of them.
pub(crate) fn follow() -> Document {
    let near = doc! { "$and": [
        { "$gte": ["$deadline", "$due"] },
        { "$lt": ["$deadline", { "$add": ["$due", DUE_MILLIS] }] },
    ] };
    doc! { "$set": { "due": { "$cond": [near, "$due", "$deadline"] } } }
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

/// A session as it was read.
#[derive(Clone, Copy)]
pub(crate) struct Found<'d> {
    session: &'d RawDocument,
    now: DateTime,
}

impl<'d> Found<'d> {
    pub(crate) fn new(document: &'d RawDocument) -> Result<Self> {
        let session = document.get_document("session");
        Ok(Self {
            session: session.map_err(|_| corrupt("session"))?,
            now: date(document, "now")?,
        })
    }

    /// The text of its id.
    pub(crate) fn id(&self) -> Option<&'d str> {
        self.session.get_str("_id").ok()
    }

    /// Where it is in the order of ids. MongoDB's old symbols are among the texts.
    pub(crate) fn place(&self) -> Option<&'d str> {
        let id = self.session.get("_id").ok()??;
        id.as_str().or_else(|| id.as_symbol())
    }

    /// Whether it is live, as [`is_live`] says it to the server; an error if so, but of another
    /// layout.
    pub(crate) fn is_live(&self) -> Result<bool> {
        let is_live = date(self.session, "deadline")? > self.now;
        if is_live {
            self.check_layout()?;
        }
        Ok(is_live)
    }

    pub(crate) fn check_layout(&self) -> Result<()> {
        match self.session.get_i32("v") {
            Ok(LAYOUT) => Ok(()),
            _ => Err(corrupt("v")),
        }
    }

    pub(crate) fn record(&self) -> Result<Record> {
        Ok(Record {
            data: bytes::Bytes::copy_from_slice(binary(self.session, "data")?),
            version: Version::new(self.stamp()?),
            credential: Credential::from_stored(binary(self.session, "credential")?)?,
            owner: owner(self.session)?,
            lifetime: lifetime(self.session)?,
            ttl: self.ttl()?,
            age: self.age()?,
        })
    }

    pub(crate) fn info(&self) -> Result<SessionInfo> {
        self.check_layout()?;
        let size = self.session.get_i32("size").map_err(|_| corrupt("data"))?;
        Ok(SessionInfo {
            id: id(self.session)?,
            owner: owner(self.session)?,
            lifetime: lifetime(self.session)?,
            ttl: self.ttl()?,
            age: self.age()?,
            size: usize::try_from(size).unwrap_or_default(),
        })
    }

    pub(crate) fn stamp(&self) -> Result<Stamp> {
        let stamp = binary(self.session, "stamp")?.try_into();
        Ok(Stamp::from_bytes(stamp.map_err(|_| corrupt("stamp"))?))
    }

    pub(crate) fn ttl(&self) -> Result<Ttl> {
        let left = between(self.now, date(self.session, "deadline")?);
        Ok(match left < FAR {
            true => Ttl::Left(left),
            false => Ttl::Never,
        })
    }

    fn age(&self) -> Result<Duration> {
        // 0 if the server's clock was set back.
        Ok(between(date(self.session, "born")?, self.now))
    }

    /// The session's end, with what can be read of it.
    pub(crate) fn ended(&self) -> Result<Ended> {
        Ok(self.end_of(&id(self.session)?))
    }

    /// The same, of the session that is known to be `id`.
    pub(crate) fn end_of(&self, id: &SessionId) -> Ended {
        ended(id.clone(), self.session, Some(self.now))
    }
}

/// The end of the session `id` at the time `now`, if that is known, with what can be read of it.
pub(crate) fn ended(id: SessionId, session: &RawDocument, now: Option<DateTime>) -> Ended {
    let born = date(session, "born").ok();
    Ended {
        id,
        owner: owner(session).unwrap_or_default(),
        age: now.zip(born).map(|(now, born)| between(born, now)),
    }
}

/// From `one` to `other`; 0 if that is earlier. The driver's own difference overflows.
pub(crate) fn between(one: DateTime, other: DateTime) -> Duration {
    let millis = i128::from(other.timestamp_millis()) - i128::from(one.timestamp_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn binary<'d>(document: &'d RawDocument, field: &str) -> Result<&'d [u8]> {
    let binary = document.get_binary(field).map_err(|_| corrupt(field))?;
    Ok(binary.bytes)
}

fn date(document: &RawDocument, field: &str) -> Result<DateTime> {
    document.get_datetime(field).map_err(|_| corrupt(field))
}

fn id(document: &RawDocument) -> Result<SessionId> {
    let id = document.get_str("_id").map_err(|_| corrupt("_id"))?;
    SessionId::from_stored(id).map_err(|_| corrupt("_id"))
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

/// A number of milliseconds or bytes, `None` for null.
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

pub(crate) fn millis(timeout: Timeout) -> Bson {
    timeout.millis().map_or(Bson::Null, |millis| {
        // So far from overflowing a date that the server can still add to it: 140,000 years.
        Bson::Int64(millis.min(1 << 52) as i64)
    })
}

fn literal(value: impl Into<Bson>) -> Bson {
    doc! { "$literal": value.into() }.into()
}

pub(crate) fn bytes(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}

#[cfg(test)]
mod tests;
