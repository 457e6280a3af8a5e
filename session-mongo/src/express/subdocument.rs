//! Sessions as documents: what connect-mongo keeps with `stringify: false`.
//!
//! A document is read as JavaScript's `JSON.stringify` shows it. A save keeps unchanged values
//! exactly, including dates, and writes changed values as Node's driver would. It refuses a value
//! that BSON can't represent; the error names the session key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mongodb::bson::{Bson, DateTime, Document};
use serde_json::{Map, Number, Value, json};
use session_core::{Data, Error, Result};
use session_express::check_parsed;

/// JavaScript's `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// How deeply a value may be nested.
const MAX_DEPTH: usize = 127;

/// Why a name is refused: a NUL ends it in BSON.
const NUL: &str = "a name contains a NUL character";

const COOKIE: &str = "cookie";
const EXPIRES: &str = "expires";

/// Converts a document to the session's JSON.
pub(super) fn to_json(session: &Document) -> Bytes {
    let mut json = Data::default();
    for (key, value) in session {
        json.set(key, encode(&to_javascript(value)));
    }
    json.encode()
}

/// Converts a session's JSON to a document; `old` is the stored one.
pub(super) fn from_json(json: &Bytes, old: Option<&Document>) -> Result<Document> {
    let mut session = variables(json, old)?;
    // JavaScript stores a date here, not its text.
    if let Ok(cookie) = session.get_document_mut(COOKIE)
        && let Some(Bson::String(expires)) = cookie.get(EXPIRES)
        && let Ok(date) = DateTime::parse_rfc3339_str(expires)
    {
        cookie.insert(EXPIRES, date);
    }
    Ok(session)
}

/// The values of `json`, each taken from `old` if it is unchanged.
fn variables(json: &Bytes, old: Option<&Document>) -> Result<Document> {
    let json = Data::decode(json)?;
    if json.has_unnamed() {
        return Err(refused("\u{fffd}", "the key is half a surrogate pair"));
    }
    let mut document = Document::new();
    for (key, new) in json.iter() {
        let old_value = old.and_then(|old| old.get(key));
        let value = changed(key, new, old_value).map_err(|reason| refused(key, &reason))?;
        document.insert(key, value);
    }
    Ok(document)
}

fn changed(key: &str, new: &Bytes, old_value: Option<&Bson>) -> std::result::Result<Bson, String> {
    if key.contains('\0') {
        return Err(NUL.to_owned());
    }
    match old_value {
        Some(old_value) if encode(&to_javascript(old_value)) == new => Ok(old_value.clone()),
        old_value => {
            check_parsed(new, MAX_DEPTH, check_whole)?;
            merged(new, old_value)
        }
    }
}

/// Converts `new`, taking unchanged parts from `old_value`.
fn merged(new: &Bytes, old_value: Option<&Bson>) -> std::result::Result<Bson, String> {
    let old_value = match old_value {
        Some(old_value) if encode(&to_javascript(old_value)) == new => {
            return Ok(old_value.clone());
        }
        Some(Bson::Document(old_value)) if new.starts_with(b"{") => old_value,
        _ => return parsed(new),
    };
    let new = Data::decode(new).map_err(|error| error.to_string())?;
    let pairs = new.iter().map(|(key, new)| match key.contains('\0') {
        true => Err(NUL.to_owned()),
        false => Ok((key.to_owned(), merged(new, old_value.get(key))?)),
    });
    pairs
        .collect::<std::result::Result<_, _>>()
        .map(Bson::Document)
}

/// The error for a value that BSON can't represent. `reason` does not show the value.
fn refused(key: &str, reason: &str) -> Error {
    Error::unwritable(key, "BSON value", reason)
}

fn parsed(json: &[u8]) -> std::result::Result<Bson, String> {
    let value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    stored(value).map_err(str::to_owned)
}

/// Refuses an integer that BSON can't hold. Checked in the text, because a `Value` may have rounded
/// it.
fn check_whole(text: &str) -> std::result::Result<(), String> {
    match text.parse::<i64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!(
            "a whole number is beyond {} and {}",
            i64::MIN,
            i64::MAX
        )),
    }
}

fn encode(value: &Value) -> Bytes {
    serde_json::to_vec(value).map_or(Bytes::from_static(b"null"), Bytes::from)
}

/// Converts a value as `JSON.stringify` does after Node's driver has read it.
fn to_javascript(value: &Bson) -> Value {
    match value {
        Bson::Double(number) => double(*number),
        Bson::String(text) | Bson::Symbol(text) => text.as_str().into(),
        Bson::Array(values) => values.iter().map(to_javascript).collect(),
        Bson::Document(document) => {
            let pairs = document
                .iter()
                .map(|(key, value)| (key.clone(), to_javascript(value)));
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
        // Objects whose properties `JSON.stringify` does not show.
        _ => json!({}),
    }
}

/// A date as JavaScript shows it, always with milliseconds.
fn iso(date: DateTime) -> Value {
    let text = date.try_to_rfc3339_string().unwrap_or_default();
    let millis = date.timestamp_millis().rem_euclid(1_000);
    let seconds = text.get(..19).unwrap_or_default();
    format!("{seconds}.{millis:03}Z").into()
}

/// Converts a double. JavaScript has one type of number, and writes integers without a point;
/// Node's driver stores integers beyond 32 bits as doubles. Within 32 bits it stores integers as
/// such, so a double there was inserted as one, and is shown with a point: the same number to
/// JavaScript, and the inserted type to a Rust program. The same holds for negative zero.
fn double(number: f64) -> Value {
    let is_written_as_double = number as i32 as f64 == number;
    if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER as f64 && !is_written_as_double {
        return (number as i64).into();
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Converts a value as Node's driver does, except that integers beyond JavaScript's stay integers.
fn stored(value: Value) -> std::result::Result<Bson, &'static str> {
    Ok(match value {
        Value::Null => Bson::Null,
        Value::Bool(is) => Bson::Boolean(is),
        Value::String(text) => Bson::String(text),
        Value::Array(values) => {
            let values = values.into_iter().map(stored);
            Bson::Array(values.collect::<std::result::Result<_, _>>()?)
        }
        Value::Object(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| match key.contains('\0') {
                    true => Err(NUL),
                    false => Ok((key, stored(value)?)),
                });
            Bson::Document(pairs.collect::<std::result::Result<_, _>>()?)
        }
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => match i32::try_from(whole) {
                Ok(whole) => Bson::Int32(whole),
                Err(_) if whole.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() => {
                    Bson::Int64(whole)
                }
                Err(_) => Bson::Double(whole as f64),
            },
            (None, Some(double)) if !number.is_u64() => Bson::Double(double),
            _ => return Err("a number is beyond BSON's"),
        },
    })
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
            "whole": 3.0, "late": 1_795_543_046_092.0, "half": 0.5, "not": f64::NAN, "big": 9_007_199_254_740_993_i64,
            "at": date(0), "id": id, "list": [1, "ü", { "a": true }], "gone": Bson::Undefined,
        };
        assert_eq!(
            to_json(&session),
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-24T17:57:26.092Z","secure":null},"whole":3.0,"late":1795543046092,"half":0.5,"not":null,"big":9007199254740993,"at":"1970-01-01T00:00:00.000Z","id":"070707070707070707070707","list":[1,"ü",{"a":true}],"gone":null}"#
        );
    }

    #[test]
    fn unchanged_values_are_kept_exactly() {
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
            r#"{"i":2147483647,"d":2147483648,"n":-1.5,"safe":9007199254740991,"big":9007199254740993}"#,
            None,
        );
        assert_eq!(
            session,
            doc! {
                "i": 2_147_483_647, "d": 2_147_483_648.0, "n": -1.5, "safe": 9_007_199_254_740_991.0,
                "big": 9_007_199_254_740_993_i64,
            }
        );
    }

    /// Writes `json` and reads it back.
    fn again(json: &str) -> String {
        let bytes = written(json, None).to_vec().expect("bytes");
        let session = Document::from_reader(&bytes[..]).expect("a document");
        String::from_utf8(to_json(&session).to_vec()).expect("text")
    }

    #[test]
    fn integers_are_kept_exactly() {
        let safe = [
            MAX_SAFE_INTEGER - 1,
            MAX_SAFE_INTEGER,
            MAX_SAFE_INTEGER + 1,
            MAX_SAFE_INTEGER + 2,
        ];
        for number in [0, 1, i64::from(i32::MAX), i64::from(i32::MAX) + 1, i64::MAX]
            .into_iter()
            .chain(safe)
        {
            for number in [number, -number, (-number).wrapping_sub(1)] {
                let json = format!(r#"{{"n":{number}}}"#);
                assert_eq!(again(&json), json);
            }
        }
    }

    #[test]
    fn a_value_that_bson_cannot_represent_is_refused_by_name() {
        for (value, reason) in [
            ("9223372036854775808", "beyond"),
            ("18446744073709551615", "beyond"),
            ("-9223372036854775809", "beyond"),
            ("100000000000000000001", "beyond"),
            (r#"["a\"1",{"deep":18446744073709551615}]"#, "beyond"),
            ("1e400", "number out of range"),
            (r#""\ud800""#, "hex escape"),
            (r#"{"a\u0000b":1}"#, "NUL"),
            (r#"[{"a":{"\u0000":1}}]"#, "NUL"),
            (r#"{"\ud800":1}"#, "hex escape"),
            (r#"[{"x":{"\ud800":1}}]"#, "hex escape"),
            (r#"{"x":1,"x":2}"#, "twice"),
            (r#"[{"x":{"y":1,"\u0079":2}}]"#, "twice"),
        ] {
            for json in [
                format!(r#"{{"fine":1,"cart":{value}}}"#),
                format!(r#"{{"cart":{{"in it":{value}}}}}"#),
            ] {
                let old = doc! { "cart": { "in it": 1 } };
                let deep = doc! { "cart": { "in it": { "x": 1 } } };
                for old in [None, Some(&old), Some(&deep)] {
                    let error = from_json(&Bytes::from(json.clone()), old).expect_err("refused");
                    let text = error.to_string();
                    let is_named = text.contains(r#"session key "cart""#);
                    assert!(is_named && text.contains(reason), "{json}: {text}");
                    assert_eq!(error.kind(), session_core::ErrorKind::Value, "{text}");
                }
            }
        }
        let named = from_json(&Bytes::from_static(br#"{"a\u0000b":1}"#), None);
        assert!(named.expect_err("refused").to_string().contains("NUL"));
        let unnamed = from_json(&Bytes::from_static(br#"{"fine":1,"\ud800":1}"#), None);
        let unnamed = unnamed.expect_err("refused").to_string();
        assert!(unnamed.contains("half a surrogate pair"), "{unnamed}");
        let text = r#"{"text":"18446744073709551615 \"99999999999999999999","e":1e30,"d":12345678901234567890.5}"#;
        written(text, None);
    }

    #[test]
    fn a_double_is_shown_as_inserted_and_kept() {
        for number in [
            "3.0",
            "-3.0",
            "0.0",
            "-0.0",
            "2147483647.0",
            "-2147483648.0",
            "0.5",
        ] {
            let json = format!(r#"{{"n":{number},"list":[{{"n":{number}}}]}}"#);
            assert_eq!(again(&json), json);
            let session = written(&json, None);
            assert!(matches!(session.get("n"), Some(Bson::Double(_))));
            assert_eq!(written(&json, Some(&session)), session);
        }
        // An integer in its place is an integer.
        let old = doc! { "n": 3.0 };
        assert_eq!(written(r#"{"n":3}"#, Some(&old)), doc! { "n": 3 });
        // Node's driver has no other way to write these.
        for whole in ["2147483648", "-2147483649", "1795543046092"] {
            let json = format!(r#"{{"n":{whole}}}"#);
            assert!(matches!(
                written(&json, None).get("n"),
                Some(Bson::Double(_))
            ));
            assert_eq!(again(&json), json);
        }
    }

    #[test]
    fn extreme_dates_are_shown_and_kept() {
        for date in [DateTime::MIN, DateTime::MAX] {
            let session = doc! { "at": date, "cookie": { "expires": date } };
            let json = to_json(&session);
            let json = std::str::from_utf8(&json).expect("text");
            assert_eq!(written(json, Some(&session)), session, "{json}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(20_000))]
        #[test]
        fn every_double_is_read_back(bits in proptest::prelude::any::<u64>()) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let json = serde_json::to_string(&number).expect("finite");
                let read = again(&format!(r#"{{"n":{json}}}"#));
                let read: Value = serde_json::from_str(&read).expect("JSON");
                let read = read["n"].as_f64().expect("a number");
                proptest::prop_assert_eq!(read.to_bits(), bits, "{}", json);
            }
        }

        #[test]
        fn every_double_between_0_and_1_is_read_back(number in 0.0..1.0_f64) {
            let json = format!(r#"{{"n":{}}}"#, serde_json::to_string(&number).expect("finite"));
            let read: Value = serde_json::from_str(&again(&json)).expect("JSON");
            proptest::prop_assert_eq!(read["n"].as_f64(), Some(number));
        }
    }

    #[test]
    fn extreme_doubles_are_read_back() {
        for number in [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::MIN,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            f64::from_bits(1),
            0.975_326_292_508_770_3,
            9_007_199_254_740_992.0,
            1e21,
            1e300,
            9_223_372_036_854_775_808.0,
            -9_223_372_036_854_775_808.0,
            18_446_744_073_709_551_616.0,
        ] {
            let json = serde_json::to_string(&number).expect("finite");
            let read: Value =
                serde_json::from_str(&again(&format!(r#"{{"n":{json}}}"#))).expect("JSON");
            let read = read["n"].as_f64().expect("a number");
            assert_eq!(read.to_bits(), f64::to_bits(number), "{json}");
        }
    }
}
