//! The commands of the hot path, put together as bytes.
//!
//! What is the same in each is made once. `save` writes the fields that [`schema::create`] writes,
//! and `save_all` does the same for many sessions: tests compare them.

use std::collections::HashMap;
use std::sync::LazyLock;

use mongodb::bson::raw::{RawArrayBuf, RawBson, RawDocumentBuf, cstr};
use mongodb::bson::{Binary, Bson, Document, doc, rawdoc, serialize_to_raw_document_buf};
use mongodb::options::{ReadConcern, WriteConcern};
use session_core::backend::{Create, Save, Touch};
use session_core::{Anchor, Credential, Draft, SessionId, Stamp, Timeout};

use crate::schema;

/// The fields that a find gives.
pub(crate) type Fields = LazyLock<RawDocumentBuf>;

pub(crate) static RECORD: Fields = LazyLock::new(|| raw(&schema::record_fields()));
pub(crate) static BRIEF: Fields = LazyLock::new(|| raw(&schema::brief_fields()));

static LIVE: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::is_live()));
static FOLLOW: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::follow()));
static WRITE_OWN: LazyLock<RawDocumentBuf> = LazyLock::new(|| raw(&schema::write_own()));

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
        "filter": { "_id": one_of(ids) },
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
    statements: Vec<RawDocumentBuf>,
    concern: Option<&WriteConcern>,
) -> RawDocumentBuf {
    let mut updates = RawArrayBuf::new();
    for statement in statements {
        updates.push(statement);
    }
    let mut command = rawdoc! { "update": collection, "updates": updates, "ordered": false };
    append_concern(&mut command, concern);
    command
}

fn append_concern(command: &mut RawDocumentBuf, concern: Option<&WriteConcern>) {
    if let Some(Ok(concern)) = concern.map(serialize_to_raw_document_buf) {
        command.append(cstr!("writeConcern"), concern);
    }
}

/// Creates sessions, each as an update statement.
pub(crate) fn creates(items: &[Create]) -> Vec<RawDocumentBuf> {
    let create = |Create { id, draft, .. }: &Create| {
        let statement = doc! {
            "q": schema::at(id, draft.stamp),
            "u": schema::create(draft),
            "upsert": true,
        };
        raw(&statement)
    };
    items.iter().map(create).collect()
}

/// Touches sessions, as an update statement for each idle limit.
pub(crate) fn touches(items: &[Touch]) -> Vec<RawDocumentBuf> {
    let mut alike: HashMap<Timeout, Vec<&SessionId>> = HashMap::new();
    for Touch { id, idle, .. } in items {
        alike.entry(*idle).or_default().push(id);
    }
    let touch = |(idle, ids): (Timeout, Vec<&SessionId>)| {
        rawdoc! {
            "q": { "_id": one_of(ids.into_iter()), "$expr": LIVE.clone() },
            "u": touched(idle),
            "multi": true,
        }
    };
    alike.into_iter().map(touch).collect()
}

/// Touches the session `id`, and gives what is read then.
pub(crate) fn touch_one(
    collection: &str,
    id: &SessionId,
    idle: Timeout,
    concern: Option<&WriteConcern>,
) -> RawDocumentBuf {
    let mut command = rawdoc! {
        "findAndModify": collection,
        "query": { "_id": id.as_str(), "$expr": LIVE.clone() },
        "update": touched(idle),
        "fields": LazyLock::force(&BRIEF).clone(),
        "new": true,
    };
    append_concern(&mut command, concern);
    command
}

fn touched(idle: Timeout) -> RawArrayBuf {
    let mut pipeline = RawArrayBuf::new();
    for stage in schema::touch(idle) {
        pipeline.push(raw(&stage));
    }
    pipeline
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
        .map(|item| save(&item.id, &item.draft, item.expected.stamp()))
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
        stamps.push(schema::bytes(item.expected.stamp().as_bytes()));
        drafts.push(draft(&item.draft));
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
            WRITE_OWN.clone(),
            FOLLOW.clone(),
            { "$unset": "draft" },
        ],
        "multi": true,
    }
}

/// A draft, as [`schema::write_own`] finds it.
fn draft(draft: &Draft) -> RawDocumentBuf {
    let mut fields = rawdoc! {
        "data": schema::bytes(&draft.data),
        "stamp": schema::bytes(draft.stamp.as_bytes()),
        "credential": credential(draft),
        "idle": millis(draft.lifetime.idle),
        "absolute": millis(draft.lifetime.absolute),
    };
    if let Some(owner) = &draft.owner {
        fields.append(cstr!("owner"), owner.as_str());
    }
    fields
}

fn credential(draft: &Draft) -> Binary {
    schema::bytes(Credential::stored(draft.credential.as_ref()))
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
        "credential": credential(draft),
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
            "_id": id.as_str(),
            "stamp": schema::bytes(expected.as_bytes()),
            "$expr": LIVE.clone(),
        },
        "u": [{ "$set": set }, FOLLOW.clone()],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::{Lifetime, Owner, SessionToken, Timeout};

    use super::*;

    fn drafts() -> Vec<Draft> {
        let hour = Duration::from_secs(3_600);
        let mut drafts = Vec::new();
        for lifetime in [
            Lifetime::new(hour, 12 * hour),
            Lifetime::new(Timeout::Never, Timeout::Never),
        ] {
            for owner in [None, Some(Owner::new("$u").expect("good"))] {
                for credential in [&b""[..], b"a credential"] {
                    let credential = Credential::from_stored(credential).expect("it fits");
                    let draft = Draft::new("data", lifetime).with_owner(owner.clone());
                    drafts.push(draft.with_credential(credential));
                }
            }
        }
        drafts
    }

    fn document(raw: &RawDocumentBuf) -> Document {
        Document::try_from(raw.as_ref()).expect("a document")
    }

    /// The fields that a save of one session sets.
    fn saved(draft: &Draft) -> Document {
        let id = SessionToken::generate().id();
        let statement = document(&save(&id, draft, Stamp::generate()));
        let stages = statement.get_array("u").expect("a pipeline");
        assert_eq!(stages[1].as_document(), Some(&schema::follow()));
        let set = stages[0].as_document().expect("a stage");
        set.get_document("$set").expect("it sets").clone()
    }

    fn names(fields: &Document) -> Vec<&str> {
        let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_save_writes_what_a_create_does() {
        for draft in drafts() {
            let pipeline = schema::create(&draft);
            let mut created = pipeline[0].get_document("$set").expect("it sets").clone();
            let id = SessionToken::generate().id();
            let stamp = schema::at(&id, draft.stamp).remove("stamp");
            created.insert("stamp", stamp.expect("of the new document"));
            created.remove("v").expect("as it stays");
            let saved = saved(&draft.with_anchor(Anchor::Restart));
            assert_eq!(names(&saved), names(&created));
            for (field, value) in created {
                let value = match field.as_str() {
                    // If it is not there yet.
                    "born" | "deadline" => {
                        let unless_live = value.as_document().expect("a condition");
                        unless_live.get_array("$cond").expect("three parts")[2].clone()
                    }
                    _ => value,
                };
                assert_eq!(saved.get(&field), Some(&value), "{field}");
            }
        }
    }

    #[test]
    fn a_save_keeps_or_restarts_the_age() {
        for draft in drafts() {
            let keep = saved(&draft);
            let restart = saved(&draft.with_anchor(Anchor::Restart));
            assert_eq!(keep.get("born"), None);
            assert_eq!(restart.get_str("born").ok(), Some("$$NOW"));
            let deadline = |fields: &Document| fields.get("deadline").expect("set").to_string();
            let restarted = deadline(&keep).replace("$born", "$$NOW");
            assert_eq!(deadline(&restart), restarted);
        }
    }

    #[test]
    fn a_save_of_many_writes_what_a_save_of_one_does() {
        let all = schema::write_own();
        let all = all.get_document("$set").expect("a stage");
        for own in drafts() {
            let one = saved(&own);
            assert_eq!(names(all), names(&one));
            let draft = document(&draft(&own));
            let mut deadline = all.get("deadline").expect("written").to_string();
            for (field, value) in &draft {
                let place = format!("$draft.{field}");
                let of_draft = all.get(field).expect("written").to_string();
                assert!(of_draft.contains(&place), "{field}: {of_draft}");
                deadline = deadline.replace(&format!("{place:?}"), &value.to_string());
                let of_one = match field.as_str() {
                    "owner" => &Bson::from(doc! { "$literal": value.clone() }),
                    _ => value,
                };
                assert_eq!(one.get(field), Some(of_one), "{field}");
            }
            assert_eq!(deadline, one.get("deadline").expect("written").to_string());
        }
    }

    #[test]
    fn saves_are_one_statement_but_for_those_whose_limits_begin_anew() {
        let save = |anchor| {
            let draft = Draft::new("data", Lifetime::default()).with_anchor(anchor);
            let id = SessionToken::generate().id();
            Save::new(id, draft, Stamp::generate().into())
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
