//! The statement of each operation, with its values, as raw BSON.
//!
//! The fields of a session are listed once, in [`Values`]. With the driver's `Document` instead of
//! raw BSON, building a single save takes 62,300 client instructions instead of 33,600, and each
//! save of a batch of 64 takes 14,500 instead of 11,900 (callgrind, 300 bytes of data): 1 to 3 % of
//! the client's time.

use std::collections::HashMap;
use std::sync::LazyLock;

use mongodb::bson::raw::{RawArrayBuf, RawBinaryRef, RawBson, RawBsonRef, RawDocumentBuf, cstr};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Document, rawdoc, serialize_to_raw_document_buf};
use mongodb::options::{ReadConcern, WriteConcern};
use session_core::backend::{Create, Save, Touch};
use session_core::{Anchor, Credential, Description, Draft, SessionId, Timeout};

use crate::schema::{self, DUE_MILLIS, NEVER, VERSION};

/// The projection of a find.
pub(crate) type Fields = LazyLock<RawDocumentBuf>;

pub(crate) static RECORD_FIELDS: Fields = LazyLock::new(|| raw(&schema::record_fields()));
pub(crate) static BRIEF_FIELDS: Fields = LazyLock::new(|| raw(&schema::brief_fields()));

static LIVE: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::is_live()));

/// Writes into each session the draft in its field `draft`, without restarting the limits.
static SET_OWN_DRAFT: LazyLock<RawDocumentBuf> =
    LazyLock::new(|| rawdoc! { "$set": set(&Values::OWN_DRAFT, Anchor::Keep) });

/// Sets `due` to the deadline if it is later, or earlier by a minute or more. So most writes leave
/// the index on `due` alone, whose update would cost as much as the rest of the write.
static UPDATE_DUE: LazyLock<RawDocumentBuf> = LazyLock::new(|| {
    let near = rawdoc! { "$and": [
        { "$gte": ["$deadline", "$due"] },
        { "$lt": ["$deadline", { "$add": ["$due", DUE_MILLIS] }] },
    ] };
    rawdoc! { "$set": { "due": { "$cond": [near, "$due", "$deadline"] } } }
});

/// A document as raw BSON, which can't fail for our documents.
fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap_or_default()
}

/// Finds the sessions `ids`, live or expired, in one reply.
pub(crate) fn find<'i>(
    collection: &str,
    ids: impl ExactSizeIterator<Item = &'i SessionId>,
    fields: &Fields,
    concern: Option<&ReadConcern>,
) -> RawDocumentBuf {
    let limit = i32::try_from(ids.len()).unwrap_or(i32::MAX);
    let mut command = rawdoc! {
        "find": collection,
        "filter": { "_id": one_of(ids) },
        "projection": LazyLock::force(fields).clone(),
        "limit": limit,
        // The default is 101.
        "batchSize": limit,
        "singleBatch": true,
    };
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("readConcern"), concern);
    }
    command
}

/// Matches any of `ids`.
fn one_of<'i>(ids: impl ExactSizeIterator<Item = &'i SessionId>) -> RawBson {
    let count = ids.len();
    let mut list = RawArrayBuf::new();
    for id in ids {
        if count == 1 {
            return id.as_str().into();
        }
        list.push(id.as_str());
    }
    rawdoc! { "$in": list }.into()
}

/// Runs update statements independently of each other.
pub(crate) fn update(
    collection: &str,
    statements: Vec<RawDocumentBuf>,
    concern: Option<&WriteConcern>,
) -> RawDocumentBuf {
    let updates = RawArrayBuf::from_iter(statements);
    let mut command = rawdoc! { "update": collection, "updates": updates, "ordered": false };
    append_concern(&mut command, concern);
    command
}

fn append_concern(command: &mut RawDocumentBuf, concern: Option<&WriteConcern>) {
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("writeConcern"), concern);
    }
}

/// Creates sessions: an update statement for each.
pub(crate) fn creates(items: &[Create]) -> Vec<RawDocumentBuf> {
    let create = |Create { id, draft, .. }: &Create| {
        rawdoc! {
            "q": raw(&schema::with_stamp(id, draft.stamp)),
            "u": RawArrayBuf::from_iter(create_stages(draft)),
            "upsert": true,
        }
    };
    items.iter().map(create).collect()
}

/// Creates a session: the pipeline for the driver's update.
pub(crate) fn create(draft: &Draft) -> Vec<Document> {
    let stages = create_stages(draft).into_iter().map(Document::try_from);
    stages.filter_map(Result::ok).collect()
}

/// Makes a session of `draft` in a new document, which has an `_id` and the draft's stamp. If an
/// earlier attempt has created the session, its times are unchanged.
fn create_stages(draft: &Draft) -> [RawDocumentBuf; 2] {
    let values = Values::of(draft);
    let mut set = rawdoc! { "v": { "$literal": VERSION } };
    values.append_to(&mut set);
    let (began, new): (RawBson, _) = match draft.past {
        None => (
            "$$NOW".into(),
            earlier("$$NOW", values.idle, values.absolute),
        ),
        Some(_) => {
            let age = RawBson::from(millis(draft.age_at_create().into()));
            let left = millis(draft.left_at_create());
            (
                rawdoc! { "$subtract": ["$$NOW", age] }.into(),
                earlier("$$NOW", left, RawBsonRef::Null),
            )
        }
    };
    set.append(cstr!("born"), unless_live("$born", began));
    set.append(cstr!("deadline"), unless_live("$deadline", new));
    [rawdoc! { "$set": set }, UPDATE_DUE.clone()]
}

/// The field's value in a live session, else `new`.
fn unless_live(field: &str, new: impl Into<RawBson>) -> RawDocumentBuf {
    rawdoc! { "$cond": [LIVE.clone(), field, new] }
}

/// Touches sessions: an update statement for each idle limit.
pub(crate) fn touches(items: &[Touch]) -> Vec<RawDocumentBuf> {
    let mut alike: HashMap<Timeout, Vec<&SessionId>> = HashMap::new();
    for Touch { id, idle, .. } in items {
        alike.entry(*idle).or_default().push(id);
    }
    let touch = |(idle, ids): (Timeout, Vec<&SessionId>)| {
        rawdoc! {
            "q": { "_id": one_of(ids.into_iter()), "$expr": LIVE.clone() },
            "u": touch_stages(idle),
            "multi": true,
        }
    };
    alike.into_iter().map(touch).collect()
}

/// Touches the session `id` and returns its [`BRIEF_FIELDS`].
pub(crate) fn touch_one(
    collection: &str,
    id: &SessionId,
    idle: Timeout,
    concern: Option<&WriteConcern>,
) -> RawDocumentBuf {
    let mut command = rawdoc! {
        "findAndModify": collection,
        "query": { "_id": id.as_str(), "$expr": LIVE.clone() },
        "update": touch_stages(idle),
        "fields": LazyLock::force(&BRIEF_FIELDS).clone(),
        "new": true,
    };
    append_concern(&mut command, concern);
    command
}

/// Moves the deadline to `idle` from now, within the absolute limit and never to an earlier time.
fn touch_stages(idle: Timeout) -> RawArrayBuf {
    let touched = earlier("$born", millis(idle), RawBsonRef::String("$absolute"));
    let set = rawdoc! { "$set": { "deadline": { "$max": ["$deadline", touched] } } };
    RawArrayBuf::from_iter([set, UPDATE_DUE.clone()])
}

/// Saves sessions, in as few update statements as possible.
///
/// The server takes as long to parse and plan a statement as to write a session. So one statement
/// saves all and looks up each session's draft by its id. Saves that restart the limits are rare
/// and have a statement each.
pub(crate) fn saves(items: &[Save]) -> Vec<RawDocumentBuf> {
    let (together, singly): (Vec<_>, Vec<_>) = items
        .iter()
        .partition(|item| items.len() > 1 && item.draft.anchor == Anchor::Keep);
    let mut statements: Vec<_> = singly.into_iter().map(save).collect();
    if !together.is_empty() {
        statements.push(save_all(&together));
    }
    statements
}

/// Saves many sessions without restarting their limits: one update statement.
fn save_all(items: &[&Save]) -> RawDocumentBuf {
    let (mut ids, mut stamps, mut drafts) =
        (RawArrayBuf::new(), RawArrayBuf::new(), RawArrayBuf::new());
    for item in items {
        ids.push(item.id.as_str());
        stamps.push(binary(item.expected.stamp().as_bytes()));
        let mut draft = RawDocumentBuf::new();
        Values::stored(&item.draft).append_to(&mut draft);
        drafts.push(draft);
    }
    let own = rawdoc! { "$indexOfArray": [{ "$literal": ids.clone() }, "$_id"] };
    let expected = rawdoc! { "$arrayElemAt": [{ "$literal": stamps }, own.clone()] };
    let draft = rawdoc! { "$arrayElemAt": [{ "$literal": drafts }, own] };
    rawdoc! {
        "q": {
            "_id": { "$in": ids },
            "$expr": { "$and": [{ "$eq": ["$stamp", expected] }, LIVE.clone()] },
        },
        "u": [
            { "$set": { "draft": draft } },
            SET_OWN_DRAFT.clone(),
            UPDATE_DUE.clone(),
            { "$unset": "draft" },
        ],
        "multi": true,
    }
}

/// Saves a session: an update statement.
fn save(
    Save {
        id,
        draft,
        expected,
        ..
    }: &Save,
) -> RawDocumentBuf {
    rawdoc! {
        "q": {
            "_id": id.as_str(),
            "stamp": binary(expected.stamp().as_bytes()),
            "$expr": LIVE.clone(),
        },
        "u": [{ "$set": set(&Values::of(draft), draft.anchor) }, UPDATE_DUE.clone()],
    }
}

/// The fields that a save sets.
fn set(values: &Values<'_>, anchor: Anchor) -> RawDocumentBuf {
    let mut set = RawDocumentBuf::new();
    values.append_to(&mut set);
    let born = match anchor {
        Anchor::Keep => "$born",
        Anchor::Restart => {
            set.append(cstr!("born"), "$$NOW");
            "$$NOW"
        }
    };
    let deadline = earlier(born, values.idle, values.absolute);
    set.append(cstr!("deadline"), deadline);
    set
}

/// The earlier of the idle and the absolute deadline, for a session used just now.
fn earlier(born: &str, idle: RawBsonRef<'_>, absolute: RawBsonRef<'_>) -> RawDocumentBuf {
    // `$add` with null is null, and `$min` leaves null out.
    rawdoc! { "$min": [
        { "$add": ["$$NOW", idle] },
        { "$add": [born, absolute] },
        NEVER,
    ] }
}

/// The values that a write sets, except the dates.
struct Values<'d> {
    data: RawBsonRef<'d>,
    stamp: RawBsonRef<'d>,
    credential: RawBsonRef<'d>,
    description: DescriptionValue<'d>,
    owner: OwnerValue<'d>,
    idle: RawBsonRef<'d>,
    absolute: RawBsonRef<'d>,
}

/// In an expression an owner must be a literal, because the text `$x` would be a field.
enum OwnerValue<'d> {
    Stored(Option<&'d str>),
    Literal(Option<&'d str>),
    OwnDraft,
}

/// In an expression the field must be removed, and a document to be stored does not have it.
enum DescriptionValue<'d> {
    Stored(Option<&'d Description>),
    Expression(Option<&'d Description>),
    OwnDraft,
}

impl<'d> Values<'d> {
    /// The values of the draft in a session's field `draft`, as expressions.
    const OWN_DRAFT: Self = Self {
        data: RawBsonRef::String("$draft.data"),
        stamp: RawBsonRef::String("$draft.stamp"),
        credential: RawBsonRef::String("$draft.credential"),
        description: DescriptionValue::OwnDraft,
        owner: OwnerValue::OwnDraft,
        idle: RawBsonRef::String("$draft.idle"),
        absolute: RawBsonRef::String("$draft.absolute"),
    };

    /// The values of `draft`, as expressions.
    fn of(draft: &'d Draft) -> Self {
        let owner = draft.owner.as_ref();
        Self::with(
            draft,
            OwnerValue::Literal(owner.map(|owner| owner.as_str())),
            DescriptionValue::Expression(draft.description.as_ref()),
        )
    }

    /// The values of `draft`, as they are stored.
    fn stored(draft: &'d Draft) -> Self {
        let owner = draft.owner.as_ref();
        Self::with(
            draft,
            OwnerValue::Stored(owner.map(|owner| owner.as_str())),
            DescriptionValue::Stored(draft.description.as_ref()),
        )
    }

    fn with(draft: &'d Draft, owner: OwnerValue<'d>, description: DescriptionValue<'d>) -> Self {
        Self {
            data: binary(&draft.data),
            stamp: binary(draft.stamp.as_bytes()),
            credential: binary(Credential::stored(draft.credential.as_ref())),
            description,
            owner,
            idle: millis(draft.lifetime.idle),
            absolute: millis(draft.lifetime.absolute),
        }
    }

    fn append_to(&self, fields: &mut RawDocumentBuf) {
        fields.append(cstr!("data"), self.data);
        fields.append(cstr!("stamp"), self.stamp);
        fields.append(cstr!("credential"), self.credential);
        let name = cstr!("owner");
        match self.owner {
            OwnerValue::Stored(Some(owner)) => fields.append(name, owner),
            OwnerValue::Stored(None) => {}
            OwnerValue::Literal(Some(owner)) => fields.append(name, rawdoc! { "$literal": owner }),
            OwnerValue::Literal(None) => fields.append(name, "$$REMOVE"),
            OwnerValue::OwnDraft => {
                let owner = rawdoc! { "$ifNull": ["$draft.owner", "$$REMOVE"] };
                fields.append(name, owner);
            }
        }
        let name = cstr!("description");
        match self.description {
            DescriptionValue::Stored(None) => {}
            DescriptionValue::Stored(Some(description))
            | DescriptionValue::Expression(Some(description)) => {
                fields.append(name, binary(description.as_bytes()));
            }
            DescriptionValue::Expression(None) => fields.append(name, "$$REMOVE"),
            DescriptionValue::OwnDraft => {
                let description = rawdoc! { "$ifNull": ["$draft.description", "$$REMOVE"] };
                fields.append(name, description);
            }
        }
        fields.append(cstr!("idle"), self.idle);
        fields.append(cstr!("absolute"), self.absolute);
    }
}

fn binary(bytes: &[u8]) -> RawBsonRef<'_> {
    let subtype = BinarySubtype::Generic;
    RawBsonRef::Binary(RawBinaryRef { subtype, bytes })
}

fn millis(timeout: Timeout) -> RawBsonRef<'static> {
    timeout.millis().map_or(RawBsonRef::Null, |millis| {
        // 140,000 years: the server can add it to a date without overflow.
        RawBsonRef::Int64(millis.min(1 << 52) as i64)
    })
}

#[cfg(test)]
mod tests;
