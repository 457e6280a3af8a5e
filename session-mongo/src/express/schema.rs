//! The documents, and the expressions on them. Times are computed by the server.

use bytes::{BufMut, Bytes, BytesMut};
use mongodb::bson::{Bson, Document, doc};
use session_core::{Error, Result, Ttl};
use session_express::Found;

use crate::check::Shape;
use crate::found::between;

/// What a value begins with: whether a string or a document follows.
const TEXT: u8 = b'T';
const DOCUMENT: u8 = b'D';

/// What connect-mongo's documents have, and the index it makes.
pub(super) const SHAPE: Shape = Shape {
    fields: &["session"],
    ours,
    indexes: &["expires_1"],
};

/// All documents of this layout, damaged or not, and none of another program that keeps, say, an id
/// in a field `session`: it is of one of connect-mongo's types, or damaged beside its end.
pub(super) fn ours() -> Document {
    let typed = doc! { "session": { "$type": ["string", "object"] } };
    let is_there = doc! { "$exists": true };
    let dated = doc! { "session": is_there.clone(), "expires": is_there };
    doc! { "_id": { "$type": "string" }, "$or": [typed, dated] }
}

/// Whether a document has not expired, by the server's clock. What is no date is over, as
/// connect-mongo has it.
pub(super) fn live() -> Document {
    let later = doc! { "$gt": ["$expires", "$$NOW"] };
    doc! { "$or": [
        { "expires": { "$exists": false } },
        { "expires": { "$type": "date" }, "$expr": { "$and": [is_date(), later] } },
    ] }
}

/// Whether a document has expired, by the server's clock.
pub(super) fn expired() -> Document {
    let earlier = doc! { "$lte": ["$expires", "$$NOW"] };
    doc! { "$expr": { "$and": [is_date(), earlier] }, "expires": { "$type": "date" } }
}

/// In a query, a list with a date in it counts as one too.
fn is_date() -> Document {
    doc! { "$eq": [{ "$type": "$expires" }, "date"] }
}

/// When a session ends that lives for `ttl` from now, by the server's clock.
pub(super) fn expires(ttl: Ttl) -> Bson {
    match ttl.left() {
        Some(left) => {
            let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            doc! { "$add": ["$$NOW", millis.clamp(1, 1 << 46)] }.into()
        }
        None => "$$REMOVE".into(),
    }
}

/// The field `session` for a value.
pub(super) fn stored(value: &Bytes) -> Result<Bson> {
    let unreadable = || Error::corrupt("the field \"session\" can't be read");
    let rest = value.get(1..).ok_or_else(unreadable)?;
    match value[0] {
        DOCUMENT => {
            let document = Document::from_reader(rest).map_err(|_| unreadable())?;
            Ok(Bson::Document(document))
        }
        _ => {
            let text = std::str::from_utf8(rest).map_err(|_| unreadable())?;
            Ok(Bson::String(text.to_owned()))
        }
    }
}

/// The value that is in a field `session`.
pub(super) fn value(session: Option<&Bson>) -> Result<Bytes> {
    let unreadable = || Error::corrupt("the field \"session\" is neither text nor a document");
    let mut value = BytesMut::new();
    match session {
        Some(Bson::String(text)) => {
            value.put_u8(TEXT);
            value.put_slice(text.as_bytes());
        }
        Some(Bson::Document(document)) => {
            value.put_u8(DOCUMENT);
            let bytes = document.to_vec().map_err(|_| unreadable())?;
            value.put_slice(&bytes);
        }
        _ => return Err(unreadable()),
    }
    Ok(value.freeze())
}

/// What is read: the session, when it ends, when it was written, and what time it is at the server.
/// The differences are worked out here: there, one that fails fails for all that are listed.
pub(super) fn fields() -> Document {
    doc! { "session": 1, "expires": 1, "lastModified": 1, "now": "$$NOW" }
}

pub(super) fn found(document: &Document) -> Result<Found> {
    let date = |field| document.get_datetime(field).copied().ok();
    let now =
        date("now").ok_or_else(|| Error::corrupt("the document has no usable field \"now\""))?;
    Ok(Found {
        value: value(document.get("session"))?,
        left: date("expires").map_or(Ttl::Never, |end| Ttl::Left(between(now, end))),
        modified: date("lastModified").map(|then| between(then, now)),
    })
}
