//! The commands of the hot path, put together as bytes.
//!
//! What is the same in each is made once. `save` is [`schema::write`] without a new id, and
//! `save_all` the same for many: tests compare them.

use std::sync::LazyLock;

use mongodb::bson::raw::{RawArrayBuf, RawBson, RawDocumentBuf, cstr};
use mongodb::bson::{Bson, Document, doc, rawdoc, serialize_to_raw_document_buf};
use mongodb::options::{ReadConcern, WriteConcern};
use session_core::batch::Save;
use session_core::{Anchor, Draft, SessionId, Stamp, Timeout};

use crate::schema::{self, SID_INDEX};

/// The fields that a find gives.
pub(crate) type Fields = LazyLock<RawDocumentBuf>;

pub(crate) static RECORD: Fields = LazyLock::new(|| found(schema::record_fields()));
pub(crate) static BRIEF: Fields = LazyLock::new(|| found(schema::brief_fields()));

static LIVE: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::is_live()));
static FOLLOW: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::follow()));
static WRITE_OWN: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::write_own()));

fn found(mut fields: Document) -> RawDocumentBuf {
    fields.insert("_id", 0);
    raw(&fields)
}

/// A document as bytes. One of ours always can be.
fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap_or_default()
}

/// Finds the sessions `ids`, live or expired, all in the first reply.
pub(crate) fn find<'i>(
    collection: &str,
    ids: impl ExactSizeIterator<Item = &'i SessionId>,
    fields: &Fields,
    concern: Option<&ReadConcern>,
) -> RawDocumentBuf {
    let limit = i32::try_from(ids.len()).unwrap_or(i32::MAX);
    let mut command = rawdoc! {
        "find": collection,
        "filter": { "sid": one_of(ids) },
        "projection": LazyLock::force(fields).clone(),
        "limit": limit,
        // Or it would be 101 of them.
        "batchSize": limit,
        "singleBatch": true,
    };
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("readConcern"), concern);
    }
    command
}

/// What matches any of `ids`.
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

/// Runs update statements, each for itself.
pub(crate) fn update(
    collection: &str,
    statements: impl Iterator<Item = RawDocumentBuf>,
    concern: Option<&WriteConcern>,
) -> RawDocumentBuf {
    let mut updates = RawArrayBuf::new();
    for statement in statements {
        updates.push(statement);
    }
    let mut command = rawdoc! { "update": collection, "updates": updates, "ordered": false };
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("writeConcern"), concern);
    }
    command
}

/// An update statement of these parts.
pub(crate) fn statement(
    filter: &Document,
    pipeline: Vec<Document>,
    upsert: bool,
) -> RawDocumentBuf {
    let statement = doc! { "q": filter, "u": pipeline, "upsert": upsert, "hint": SID_INDEX };
    raw(&statement)
}

/// Touches the sessions `ids`, as one update statement.
pub(crate) fn touch<'i>(
    ids: impl ExactSizeIterator<Item = &'i SessionId>,
    idle: Timeout,
) -> RawDocumentBuf {
    let mut pipeline = RawArrayBuf::new();
    for stage in schema::touch(idle) {
        pipeline.push(raw(&stage));
    }
    rawdoc! {
        "q": { "sid": one_of(ids), "$expr": LIVE.clone() },
        "u": pipeline,
        "multi": true,
        "hint": SID_INDEX,
    }
}

/// Saves as update statements, as few as can be.
///
/// The server takes as long to parse and plan a statement as to write a session. So there is one
/// for all, which looks each session's draft up by its id; those whose limits begin anew, which are
/// rare, go each by itself.
pub(crate) fn saves(items: &[Save]) -> Vec<RawDocumentBuf> {
    let (together, alone): (Vec<_>, Vec<_>) = items
        .iter()
        .partition(|item| items.len() > 1 && item.draft.anchor == Anchor::Keep);
    let mut statements: Vec<_> = alone
        .into_iter()
        .map(|item| save(&item.id, &item.draft, item.expected))
        .collect();
    if !together.is_empty() {
        statements.push(save_all(&together));
    }
    statements
}

/// Saves many sessions whose limits go on, as one update statement.
fn save_all(items: &[&Save]) -> RawDocumentBuf {
    let (mut ids, mut stamps, mut drafts) =
        (RawArrayBuf::new(), RawArrayBuf::new(), RawArrayBuf::new());
    for item in items {
        ids.push(item.id.as_str());
        stamps.push(schema::bytes(item.expected.as_bytes()));
        drafts.push(draft(&item.draft));
    }
    let own = rawdoc! { "$indexOfArray": [{ "$literal": ids.clone() }, "$sid"] };
    let expected = rawdoc! { "$arrayElemAt": [{ "$literal": stamps }, own.clone()] };
    let draft = rawdoc! { "$arrayElemAt": [{ "$literal": drafts }, own] };
    rawdoc! {
        "q": {
            "sid": { "$in": ids },
            "$expr": { "$and": [{ "$eq": ["$stamp", expected] }, LIVE.clone()] },
        },
        "u": [
            { "$set": { "draft": draft } },
            WRITE_OWN.clone(),
            FOLLOW.clone(),
            { "$unset": "draft" },
        ],
        "multi": true,
        "hint": SID_INDEX,
    }
}

/// A draft, as [`schema::write_own`] finds it.
fn draft(draft: &Draft) -> RawDocumentBuf {
    let mut fields = rawdoc! {
        "data": schema::bytes(&draft.data),
        "stamp": schema::bytes(draft.stamp.as_bytes()),
        "idle": millis(draft.lifetime.idle),
        "absolute": millis(draft.lifetime.absolute),
    };
    if let Some(owner) = &draft.owner {
        fields.append(cstr!("owner"), owner.as_str());
    }
    fields
}

fn millis(timeout: Timeout) -> RawBson {
    match schema::millis(timeout) {
        Bson::Int64(millis) => RawBson::Int64(millis),
        _ => RawBson::Null,
    }
}

/// Saves a session, as an update statement.
fn save(id: &SessionId, draft: &Draft, expected: Stamp) -> RawDocumentBuf {
    let idle = millis(draft.lifetime.idle);
    let absolute = millis(draft.lifetime.absolute);
    let mut set = rawdoc! {
        "data": schema::bytes(&draft.data),
        "stamp": schema::bytes(draft.stamp.as_bytes()),
    };
    match &draft.owner {
        Some(owner) => set.append(cstr!("owner"), rawdoc! { "$literal": owner.as_str() }),
        None => set.append(cstr!("owner"), "$$REMOVE"),
    }
    set.append(cstr!("idle"), idle.clone());
    set.append(cstr!("absolute"), absolute.clone());
    let born = match draft.anchor {
        Anchor::Keep => "$born",
        Anchor::Restart => {
            set.append(cstr!("born"), "$$NOW");
            "$$NOW"
        }
    };
    let deadline = rawdoc! { "$min": [
        { "$add": ["$$NOW", idle] },
        { "$add": [born, absolute] },
        schema::NEVER,
    ] };
    set.append(cstr!("deadline"), deadline);
    rawdoc! {
        "q": {
            "sid": id.as_str(),
            "stamp": schema::bytes(expected.as_bytes()),
            "$expr": LIVE.clone(),
        },
        "u": [{ "$set": set }, FOLLOW.clone()],
        "upsert": false,
        "hint": SID_INDEX,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::{Lifetime, Owner, SessionToken, Timeout};

    use super::*;
    use crate::schema::Over;

    #[test]
    fn a_save_as_bytes_is_the_one_that_schema_describes() {
        let id = SessionToken::generate().id();
        let stamp = Stamp::generate();
        let hour = Duration::from_secs(3_600);
        for lifetime in [
            Lifetime::new(hour, 12 * hour),
            Lifetime::new(Timeout::Never, Timeout::Never),
        ] {
            for anchor in [Anchor::Keep, Anchor::Restart] {
                for owner in [None, Some(Owner::new("$u").expect("good"))] {
                    let draft = Draft::new("data", lifetime)
                        .with_owner(owner)
                        .with_anchor(anchor);
                    let mut pipeline = schema::write(Over::Renamed(&id), &draft);
                    let set = pipeline[0].get_document_mut("$set").expect("a stage");
                    set.remove("sid").expect("a rename sets it");
                    let slow = statement(&schema::live_at(&id, stamp), pipeline, false);
                    let fast = save(&id, &draft, stamp);
                    let text = |raw: &RawDocumentBuf| {
                        Document::try_from(raw.as_ref())
                            .expect("a document")
                            .to_string()
                    };
                    assert_eq!(text(&fast), text(&slow));
                }
            }
        }
    }

    #[test]
    fn a_save_of_many_writes_what_a_save_of_one_does() {
        let hour = Duration::from_secs(3_600);
        let lifetime = Lifetime::new(hour, 12 * hour);
        let own = Draft::new("data", lifetime).with_owner(Owner::new("u").ok());
        let one = schema::write(Over::Renamed(&SessionToken::generate().id()), &own);
        let mut one = one[0].get_document("$set").expect("a stage").clone();
        one.remove("sid").expect("a rename sets it");
        let all = schema::write_own();
        let all = all.get_document("$set").expect("a stage");
        let fields = |set: &Document| set.keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(all), fields(&one));
        let draft = Document::try_from(draft(&own).as_ref()).expect("a document");
        let mut deadline = all.get("deadline").expect("written").to_string();
        for (field, value) in &draft {
            let place = format!("$draft.{field}");
            let of_draft = all.get(field).expect("written").to_string();
            assert!(of_draft.contains(&place), "{field}: {of_draft}");
            deadline = deadline.replace(&format!("{place:?}"), &value.to_string());
        }
        assert_eq!(deadline, one.get("deadline").expect("written").to_string());
    }

    #[test]
    fn saves_are_one_statement_but_for_those_whose_limits_begin_anew() {
        let save = |anchor| Save {
            id: SessionToken::generate().id(),
            draft: Draft::new("data", Lifetime::default()).with_anchor(anchor),
            expected: Stamp::generate(),
        };
        let (goes_on, anew) = (Anchor::Keep, Anchor::Restart);
        for (anchors, statements) in [
            (vec![goes_on], 1),
            (vec![goes_on; 9], 1),
            (vec![goes_on, anew, goes_on, anew], 3),
            (vec![goes_on, anew], 2),
        ] {
            let items: Vec<Save> = anchors.into_iter().map(save).collect();
            assert_eq!(saves(&items).len(), statements);
        }
    }
}
