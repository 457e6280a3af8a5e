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
    Anchor, Draft, Ended, Error, Lifetime, Owner, Record, Result, SessionId, SessionInfo, Stamp,
    Timeout, Ttl,
};

/// The name of the TTL index.
pub(crate) const TTL_INDEX: &str = "due_ttl";

/// How far `due` may be behind the deadline, in milliseconds.
const DUE_MILLIS: i64 = 60_000;

/// The deadline of a session that has none: the end of the year 9999.
pub(crate) const NEVER: DateTime = DateTime::from_millis(253_402_300_799_999);
/// Less than is left until a deadline that is none: no limit is 6,000 years.
const FAR: Duration = Duration::from_secs(6_000 * 366 * 86_400);

/// The name of the index on session ids. Lookups name it: otherwise the server weighs the TTL index
/// against it, each time.
pub(crate) const SID_INDEX: &str = "sid_unique";

/// How long a claim on an expired session holds; after that its claimer is taken for dead.
const CLAIM_MILLIS: i64 = 60_000;

/// All indexes.
pub(crate) fn indexes(grace: Duration) -> Vec<IndexModel> {
    let simple = || Collation::builder().locale("simple").build();
    let named = |name: &str| IndexOptions::builder().name(name.to_owned()).build();
    let mut sid = named(SID_INDEX);
    sid.unique = Some(true);
    sid.collation = Some(simple());
    let mut owner = named("owner_sparse");
    owner.sparse = Some(true);
    owner.collation = Some(simple());
    let mut due = named(TTL_INDEX);
    due.expire_after = Some(Duration::from_secs(grace_seconds(grace)));
    let index = |keys, options| IndexModel::builder().keys(keys).options(options).build();
    vec![
        index(doc! { "sid": 1 }, sid),
        index(doc! { "owner": 1 }, owner),
        index(doc! { "due": 1 }, due),
    ]
}

/// How many seconds after `due` the TTL index removes: whole ones, rounded up.
pub(crate) fn grace_seconds(grace: Duration) -> u64 {
    DUE_MILLIS.unsigned_abs() / 1_000 + grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

/// The live session `id`.
pub(crate) fn live(id: &SessionId) -> Document {
    with_live(doc! { "sid": id.as_str() })
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
    filter.insert("$expr", is_live());
    filter
}

/// Whether a session is live.
pub(crate) fn is_live() -> Document {
    doc! { "$gt": ["$deadline", "$$NOW"] }
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

pub(crate) fn claimed_by(claim: &Stamp) -> Document {
    doc! { "claim": bytes(claim.as_bytes()) }
}

/// Which session a draft is written over.
#[derive(Clone, Copy)]
pub(crate) enum Over<'i> {
    /// None: it begins now, under this id. Or itself, written before: that goes on as it is.
    Nothing(&'i SessionId),
    /// The one that is matched, which gets this id.
    Renamed(&'i SessionId),
}

/// Writes `draft`.
pub(crate) fn write(over: Over<'_>, draft: &Draft) -> Vec<Document> {
    let idle = millis(draft.lifetime.idle);
    let absolute = millis(draft.lifetime.absolute);
    let mut fields = doc! {
        "data": bytes(&draft.data),
        "stamp": bytes(draft.stamp.as_bytes()),
        "owner": draft.owner.as_ref().map_or("$$REMOVE".into(), |owner| literal(owner.as_str())),
        "idle": idle.clone(),
        "absolute": absolute.clone(),
    };
    let (Over::Nothing(id) | Over::Renamed(id)) = over;
    fields.insert("sid", literal(id.as_str()));
    let (born, deadline) = match (over, draft.anchor) {
        (Over::Nothing(_), _) => {
            let deadline = earlier(idle, "$$NOW".into(), absolute);
            let born = unless_live("$born", "$$NOW".into());
            (Some(born.into()), unless_live("$deadline", deadline.into()))
        }
        (Over::Renamed(_), Anchor::Restart) => {
            let now = Bson::from("$$NOW");
            (Some(now.clone()), earlier(idle, now, absolute))
        }
        (Over::Renamed(_), Anchor::Keep) => (None, earlier(idle, "$born".into(), absolute)),
    };
    if let Some(born) = born {
        fields.insert("born", born);
    }
    fields.insert("deadline", deadline);
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
pub(crate) fn read(of: impl Into<Bson>) -> Document {
    doc! { "now": "$$NOW", "session": of.into() }
}

/// All of a session.
pub(crate) fn record_fields() -> Document {
    read("$$ROOT")
}

/// What is read to say how a write went.
pub(crate) fn brief_fields() -> Document {
    read(doc! { "sid": "$sid", "stamp": "$stamp", "deadline": "$deadline" })
}

/// What is read for a listing.
pub(crate) fn info_fields() -> Document {
    read(doc! {
        "sid": "$sid",
        "owner": "$owner",
        "idle": "$idle",
        "absolute": "$absolute",
        "born": "$born",
        "deadline": "$deadline",
        "size": { "$binarySize": "$data" },
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

    pub(crate) fn sid(&self) -> Option<&'d str> {
        self.session.get_str("sid").ok()
    }

    /// As [`is_live`] says it to the server.
    pub(crate) fn is_live(&self) -> Result<bool> {
        Ok(date(self.session, "deadline")? > self.now)
    }

    pub(crate) fn record(&self) -> Result<Record> {
        let data = self
            .session
            .get_binary("data")
            .map_err(|_| corrupt("data"))?
            .bytes;
        Ok(Record {
            data: bytes::Bytes::copy_from_slice(data),
            stamp: self.stamp()?,
            owner: owner(self.session)?,
            lifetime: lifetime(self.session)?,
            ttl: self.ttl()?,
            age: self.age()?,
            raw: bytes::Bytes::new(),
        })
    }

    pub(crate) fn info(&self) -> Result<SessionInfo> {
        let size = number(self.session, "size")?.unwrap_or_default();
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
        let bytes = self
            .session
            .get_binary("stamp")
            .map_err(|_| corrupt("stamp"))?
            .bytes;
        let bytes = bytes.try_into().map_err(|_| corrupt("stamp"))?;
        Ok(Stamp::from_bytes(bytes))
    }

    pub(crate) fn ttl(&self) -> Result<Ttl> {
        let left = date(self.session, "deadline")?.saturating_duration_since(self.now);
        Ok(match left < FAR {
            true => Ttl::Left(left),
            false => Ttl::Never,
        })
    }

    fn age(&self) -> Result<Duration> {
        // 0 if the server's clock was set back.
        Ok(self
            .now
            .saturating_duration_since(date(self.session, "born")?))
    }
}

fn date(document: &RawDocument, field: &str) -> Result<DateTime> {
    document.get_datetime(field).map_err(|_| corrupt(field))
}

pub(crate) fn ended(info: SessionInfo) -> Ended {
    Ended {
        id: info.id,
        owner: info.owner,
        age: info.age,
    }
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

fn literal(text: &str) -> Bson {
    doc! { "$literal": text }.into()
}

pub(crate) fn bytes(bytes: &[u8]) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    }
}
