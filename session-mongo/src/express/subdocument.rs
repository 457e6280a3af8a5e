//! Sessions as documents: what connect-mongo keeps with `stringify: false`.
//!
//! A document is read as JavaScript's `JSON.stringify` shows it. Written back, what did not change
//! stays as it was, dates and all; what did is written as Node's driver would write it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Map, Number, Value, json};
use session_core::{Data, Error, Result};

/// The largest integer that a number in JavaScript counts to.
const SAFE: i64 = 9_007_199_254_740_991;

const COOKIE: &str = "cookie";
const EXPIRES: &str = "expires";

/// The JSON of a session that is kept as this document.
pub(super) fn to_json(session: &Document) -> Bytes {
    let mut json = Data::default();
    for (key, value) in session {
        json.set(key, text(&shown(value)));
    }
    json.encode()
}

/// The document for a session of this JSON, which was `old` before.
pub(super) fn from_json(json: &Bytes, old: Option<&Document>) -> Result<Document> {
    let mut session = merged(json, old)?;
    // JavaScript keeps a date here, and not its text.
    if let Ok(cookie) = session.get_document_mut(COOKIE)
        && let Some(Bson::String(expires)) = cookie.get(EXPIRES)
        && let Ok(date) = DateTime::parse_rfc3339_str(expires)
    {
        cookie.insert(EXPIRES, date);
    }
    Ok(session)
}

/// The values of `json`, each as it was in `old` if that shows the same.
fn merged(json: &Bytes, old: Option<&Document>) -> Result<Document> {
    let mut document = Document::new();
    for (key, new) in Data::decode(json)?.iter() {
        let was = old.and_then(|old| old.get(key));
        let value = match was {
            Some(was) if text(&shown(was)) == new => was.clone(),
            Some(Bson::Document(was)) if new.starts_with(b"{") => {
                Bson::Document(merged(new, Some(was))?)
            }
            _ => stored(parsed(new)?),
        };
        document.insert(key, value);
    }
    Ok(document)
}

fn parsed(json: &[u8]) -> Result<Value> {
    serde_json::from_slice(json).map_err(|_| Error::corrupt("a value is no JSON"))
}

fn text(value: &Value) -> Bytes {
    serde_json::to_vec(value).map_or(Bytes::from_static(b"null"), Bytes::from)
}

/// What `JSON.stringify` makes of a value that Node's driver has read.
fn shown(value: &Bson) -> Value {
    match value {
        Bson::Double(number) => double(*number),
        Bson::String(text) | Bson::Symbol(text) => text.as_str().into(),
        Bson::Array(values) => values.iter().map(shown).collect(),
        Bson::Document(document) => {
            let pairs = document
                .iter()
                .map(|(key, value)| (key.clone(), shown(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Bson::Boolean(is) => (*is).into(),
        Bson::Int32(number) => (*number).into(),
        Bson::Int64(number) => (*number).into(),
        Bson::DateTime(date) => date
            .try_to_rfc3339_string()
            .map_or(Value::Null, |_| iso(*date)),
        Bson::ObjectId(id) => id.to_hex().into(),
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Binary(binary) => STANDARD.encode(&binary.bytes).into(),
        Bson::Decimal128(number) => json!({ "$numberDecimal": number.to_string() }),
        // Objects without properties that JSON would show.
        _ => json!({}),
    }
}

/// A date as JavaScript shows it: with milliseconds, always.
fn iso(date: DateTime) -> Value {
    let text = date.try_to_rfc3339_string().unwrap_or_default();
    let millis = date.timestamp_millis().rem_euclid(1_000);
    let seconds = text.get(..19).unwrap_or_default();
    format!("{seconds}.{millis:03}Z").into()
}

/// JavaScript has one kind of number, and writes whole ones without a point.
fn double(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= SAFE as f64 {
        return (number as i64).into();
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// What Node's driver writes for a value; whole numbers beyond its own are kept whole.
fn stored(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(is) => Bson::Boolean(is),
        Value::String(text) => Bson::String(text),
        Value::Array(values) => Bson::Array(values.into_iter().map(stored).collect()),
        Value::Object(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| (key, stored(value)));
            Bson::Document(pairs.collect())
        }
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) if i32::try_from(whole).is_ok() => Bson::Int32(whole as i32),
            (Some(whole), _) if whole.abs() > SAFE => Bson::Int64(whole),
            (_, Some(double)) => Bson::Double(double),
            _ => Bson::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::doc;
    use mongodb::bson::oid::ObjectId;

    fn date(unix_millis: i64) -> DateTime {
        DateTime::from_millis(unix_millis)
    }

    fn written(json: &str, old: Option<&Document>) -> Document {
        from_json(&Bytes::copy_from_slice(json.as_bytes()), old).expect("JSON")
    }

    #[test]
    fn documents_are_shown_as_javascript_shows_them() {
        let id = ObjectId::from_bytes([7; 12]);
        let session = doc! {
            "cookie": { "originalMaxAge": 60_000, "expires": date(1_795_543_046_092), "secure": Bson::Null },
            "whole": 3.0, "half": 0.5, "not": f64::NAN, "big": 9_007_199_254_740_993_i64,
            "at": date(0), "id": id, "list": [1, "ü", { "a": true }], "gone": Bson::Undefined,
        };
        assert_eq!(
            to_json(&session),
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-24T17:57:26.092Z","secure":null},"whole":3,"half":0.5,"not":null,"big":9007199254740993,"at":"1970-01-01T00:00:00.000Z","id":"070707070707070707070707","list":[1,"ü",{"a":true}],"gone":null}"#
        );
    }

    #[test]
    fn what_did_not_change_stays_as_it_was() {
        let session = doc! {
            "cookie": { "originalMaxAge": 60_000.0, "expires": date(0), "x": date(1) },
            "at": date(0), "id": ObjectId::from_bytes([7; 12]), "n": 1.0,
            "cart": { "since": date(5), "items": [1] },
        };
        assert_eq!(
            written(
                std::str::from_utf8(&to_json(&session)).expect("JSON"),
                Some(&session)
            ),
            session
        );
        let json = to_json(&session);
        let json = std::str::from_utf8(&json).expect("JSON");
        let json = json
            .replace(
                r#""expires":"1970-01-01T00:00:00.000Z""#,
                r#""expires":"2026-11-24T17:57:26.092Z""#,
            )
            .replace("[1]", "[1,2]");
        let changed = written(&json, Some(&session));
        let cookie = changed.get_document("cookie").expect("a document");
        assert_eq!(
            cookie.get_datetime("expires").ok(),
            Some(&date(1_795_543_046_092))
        );
        assert_eq!(cookie.get_datetime("x").ok(), Some(&date(1)));
        let cart = changed.get_document("cart").expect("a document");
        assert_eq!(
            cart.get_datetime("since").ok(),
            Some(&date(5)),
            "beside what changed"
        );
        assert_eq!(cart.get_array("items").ok().map(Vec::len), Some(2));
        assert_eq!(changed.get_datetime("at").ok(), Some(&date(0)));
    }

    #[test]
    fn numbers_are_written_as_node_writes_them() {
        let session = written(
            r#"{"i":2147483647,"d":2147483648,"n":-1.5,"safe":9007199254740991,"big":9007199254740993,"u":18446744073709551615}"#,
            None,
        );
        assert_eq!(
            session,
            doc! {
                "i": 2_147_483_647, "d": 2_147_483_648.0, "n": -1.5, "safe": 9_007_199_254_740_991.0,
                "big": 9_007_199_254_740_993_i64, "u": 18_446_744_073_709_551_615.0,
            }
        );
    }
}
