//! The commands of the hot path, put together as bytes.
//!
//! What is the same in each is made once. `save` is [`schema::write`] without a new id: a test
//! compares them.

use std::sync::LazyLock;

use mongodb::bson::raw::{RawArrayBuf, RawBson, RawDocumentBuf, cstr};
use mongodb::bson::{Document, doc, rawdoc, serialize_to_raw_document_buf};
use mongodb::options::{ReadConcern, WriteConcern};
use session_core::{Anchor, Draft, SessionId, Stamp};

use crate::schema::{self, SID_INDEX};

/// The fields that a find gives.
pub(crate) type Fields = LazyLock<RawDocumentBuf>;

pub(crate) static RECORD: Fields = LazyLock::new(|| with_sid(schema::record_fields()));
pub(crate) static STAMP: Fields = LazyLock::new(|| with_sid(doc! { "stamp": 1 }));
pub(crate) static TTL: Fields = LazyLock::new(|| with_sid(schema::ttl_field()));

static LIVE: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::is_live()));
static FOLLOW: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::follow()));

fn with_sid(mut fields: Document) -> RawDocumentBuf {
    fields.insert("sid", 1);
    raw(&fields)
}

/// A document as bytes. One of ours always can be.
fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap_or_default()
}

/// Finds the live ones of `ids`, all in the first reply.
pub(crate) fn find<'i>(
    collection: &str,
    ids: impl ExactSizeIterator<Item = &'i SessionId>,
    fields: &Fields,
    concern: Option<&ReadConcern>,
) -> RawDocumentBuf {
    let count = ids.len();
    let mut list = RawArrayBuf::new();
    let mut one = None;
    for id in ids {
        match count {
            1 => one = Some(RawBson::from(id.as_str())),
            _ => list.push(id.as_str()),
        }
    }
    let sid = one.unwrap_or_else(|| rawdoc! { "$in": list }.into());
    let mut command = rawdoc! {
        "find": collection,
        "filter": { "sid": sid, "$expr": LIVE.clone() },
        "projection": LazyLock::force(fields).clone(),
        // One more than there can be, so that the cursor ends with the first reply.
        "batchSize": i32::try_from(count + 1).unwrap_or(i32::MAX),
    };
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("readConcern"), concern);
    }
    command
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

/// Saves a session, as an update statement.
pub(crate) fn save(id: &SessionId, draft: &Draft, expected: Stamp) -> RawDocumentBuf {
    let millis = |timeout| match schema::millis(timeout) {
        mongodb::bson::Bson::Int64(millis) => RawBson::Int64(millis),
        _ => RawBson::Null,
    };
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
}
