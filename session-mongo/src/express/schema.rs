//! The documents, and the expressions on them. Times are computed by the server.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use mongodb::bson::{Bson, Document, doc};
use session_core::{Error, Result, Ttl};
use session_express::Found;

/// What a value begins with: whether a string or a document follows.
const TEXT: u8 = b'T';
const DOCUMENT: u8 = b'D';

/// Whether a document has not expired, by the server's clock.
pub(super) fn live() -> Document {
    let later = doc! { "$gt": ["$expires", "$$NOW"] };
    doc! { "$or": [{ "expires": { "$exists": false } }, { "$expr": later }] }
}

/// Whether a document has expired, by the server's clock. What is missing sorts before every date.
pub(super) fn expired() -> Document {
    let earlier = doc! { "$lte": ["$expires", "$$NOW"] };
    doc! { "$expr": earlier, "expires": { "$type": "date" } }
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

/// What is read: the session, what is left of it, and how long ago it was written.
pub(super) fn fields() -> Document {
    doc! {
        "session": 1,
        "left": { "$subtract": ["$expires", "$$NOW"] },
        "ago": { "$subtract": ["$$NOW", "$lastModified"] },
    }
}

pub(super) fn found(document: &Document) -> Result<Found> {
    let millis = |field| match document.get(field) {
        Some(Bson::Int64(millis)) => {
            Some(Duration::from_millis(u64::try_from(*millis).unwrap_or(0)))
        }
        _ => None,
    };
    Ok(Found {
        value: value(document.get("session"))?,
        left: millis("left").map_or(Ttl::Never, Ttl::Left),
        modified: millis("ago"),
    })
}
