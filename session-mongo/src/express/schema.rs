//! The layout: filters, expressions and projections. The server computes all times.

use bytes::{BufMut, Bytes, BytesMut};
use mongodb::bson::{Bson, Document, doc};
use session_core::{Error, Result, Ttl};
use session_express::Found;

use crate::check::Layout;
use crate::record::between;

/// The first byte of a value: whether a string or a document follows.
const TEXT: u8 = b'T';
const DOCUMENT: u8 = b'D';

/// The layout of connect-mongo.
pub(super) const LAYOUT: Layout = Layout {
    fields: &["session"],
    filter: of_this_layout,
    indexes: &["expires_1"],
};

/// Matches all documents of this layout, corrupt or not, but none of another program with a field
/// `session`: either it has one of connect-mongo's types, or `expires` exists.
pub(super) fn of_this_layout() -> Document {
    let typed = doc! { "session": { "$type": ["string", "object"] } };
    let is_there = doc! { "$exists": true };
    let dated = doc! { "session": is_there.clone(), "expires": is_there };
    doc! { "_id": { "$type": "string" }, "$or": [typed, dated] }
}

/// Matches documents that have not expired by the server's clock. An `expires` that is not a date
/// has expired, as in connect-mongo.
pub(super) fn live() -> Document {
    let later = doc! { "$gt": ["$expires", "$$NOW"] };
    doc! { "$or": [
        { "expires": { "$exists": false } },
        { "expires": { "$type": "date" }, "$expr": { "$and": [is_date(), later] } },
    ] }
}

/// Matches documents that have expired by the server's clock.
pub(super) fn expired() -> Document {
    let earlier = doc! { "$lte": ["$expires", "$$NOW"] };
    doc! { "$expr": { "$and": [is_date(), earlier] }, "expires": { "$type": "date" } }
}

/// Needed in addition to `$type`, which also matches an array that contains a date.
fn is_date() -> Document {
    doc! { "$eq": [{ "$type": "$expires" }, "date"] }
}

/// The expiry of a session that lives for `ttl` from now, by the server's clock.
pub(super) fn expires(ttl: Ttl) -> Bson {
    match ttl.left() {
        Some(left) => {
            let millis = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            doc! { "$add": ["$$NOW", millis.clamp(1, 1 << 46)] }.into()
        }
        None => "$$REMOVE".into(),
    }
}

/// The content of the field `session` for a value.
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

/// The value for the content of a field `session`.
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

/// A projection of the session, its dates and the server's time. The client computes the
/// differences, because a failing expression in a projection would fail a whole listing.
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
