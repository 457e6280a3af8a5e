//! A session's variables: a JSON object whose values stay raw until somebody reads them.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use indexmap::IndexMap;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Result};

/// How deeply a value may be nested: what `serde_json` reads without overflowing a stack.
const MAX_DEPTH: usize = 127;

/// One value, as JSON text. Shares the bytes of the record it was read from.
pub(crate) type Raw = Bytes;

/// The variables of one session, in the order they were stored: a JSON object of which only the
/// top level is taken apart.
///
/// Numbers of any size survive, and a value that nobody read is written back byte for byte,
/// because values are cut out of the record and not parsed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(IndexMap<Box<str>, Raw>);

impl Data {
    /// Splits a record into its variables.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for what is no JSON object, has a key twice, or is nested over 127 deep.
    pub fn decode(record: &Bytes) -> Result<Self> {
        let mut json = serde_json::Deserializer::from_slice(record);
        let data = json
            .deserialize_map(Split { record })
            .and_then(|data| json.end().map(|()| data))
            .map_err(|error| Error::corrupt(describe(&error)))?;
        if data.0.values().any(|raw| is_too_deep(raw)) {
            return Err(Error::corrupt(format!(
                "a value is nested over {MAX_DEPTH} deep"
            )));
        }
        Ok(data)
    }

    /// The record that [`decode`](Self::decode) reads back.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let size: usize = self
            .0
            .iter()
            .map(|(key, raw)| key.len() + raw.len() + 6)
            .sum();
        let mut out = BytesMut::with_capacity(size + 2).writer();
        let mut separator = b"{".as_slice();
        for (key, raw) in &self.0 {
            out.get_mut().put_slice(separator);
            // Writing a string into memory can't fail.
            let _ = serde_json::to_writer(&mut out, &**key);
            out.get_mut().put_u8(b':');
            out.get_mut().put_slice(raw);
            separator = b",";
        }
        let mut out = out.into_inner();
        out.put_slice(if self.0.is_empty() { b"{}" } else { b"}" });
        out.freeze()
    }

    /// The JSON text of the value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.0.get(key)
    }

    /// Sets `key` to a value of this JSON text, which is not checked, in its place or at the end.
    pub fn set(&mut self, key: &str, value: Bytes) {
        match self.0.get_mut(key) {
            Some(old) => *old = value,
            None => {
                self.0.insert(key.into(), value);
            }
        }
    }

    /// Removes `key`, and gives what its value was.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        self.0.shift_remove(key)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The keys and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.keys().map(|key| String::from(&**key)).collect()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Shows the keys only: values are the visitors' affair.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The JSON text of `value`, to be stored under `key`.
pub(crate) fn to_raw<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Raw> {
    let raw = serde_json::to_vec(value)
        .map(Raw::from)
        .map_err(|error| Error::value::<T>(key, describe(&error)))?;
    if is_too_deep(&raw) {
        return Err(Error::value::<T>(
            key,
            format!("is nested over {MAX_DEPTH} deep"),
        ));
    }
    Ok(raw)
}

/// The value that `raw`, stored under `key`, stands for.
pub(crate) fn from_raw<T: DeserializeOwned>(key: &str, raw: &Raw) -> Result<T> {
    serde_json::from_slice(raw).map_err(|error| Error::value::<T>(key, describe(&error)))
}

/// What is wrong and where, without the parser's own words: those quote the data.
fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Io => "it can't be written",
        Category::Syntax => "it is not valid JSON",
        Category::Data if error.to_string().starts_with(DUPLICATE) => DUPLICATE,
        Category::Data => "it has another type",
        Category::Eof => "it ends too early",
    };
    match (error.line(), error.column()) {
        (0, _) => what.to_owned(),
        (line, column) => format!("{what} (line {line}, column {column})"),
    }
}

const DUPLICATE: &str = "it has a key twice";

struct Split<'a> {
    record: &'a Bytes,
}

impl<'de> Visitor<'de> for Split<'_> {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Data, A::Error> {
        let mut values = IndexMap::new();
        while let Some(key) = map.next_key::<Box<str>>()? {
            let raw: &'de RawValue = map.next_value()?;
            let raw = self.record.slice_ref(raw.get().as_bytes());
            if values.insert(key, raw).is_some() {
                return Err(A::Error::custom(DUPLICATE));
            }
        }
        Ok(Data(values))
    }
}

/// Whether valid JSON is nested deeper than [`MAX_DEPTH`].
fn is_too_deep(json: &[u8]) -> bool {
    let opening = |byte: &&u8| matches!(byte, b'[' | b'{');
    // Nearly every value has too few brackets to be deep, and counting them is far cheaper.
    if json.iter().filter(opening).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest > MAX_DEPTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    fn decode(json: impl Into<Bytes>) -> Result<Data> {
        Data::decode(&json.into())
    }

    #[test]
    fn numbers_of_any_size_survive_and_unread_values_are_kept_byte_for_byte() {
        let json = r#"{"u64":18446744073709551615,"i128":-170141183460469231731687303715884105728,"big":3.141592653589793238462643383279502884197,"odd":{ "a" : 1.0E+2 },"lone":"\ud800","empty":""}"#;
        let data = decode(json).expect("valid");
        assert_eq!(data.encode(), json.as_bytes());
        let read = |key: &str| data.get(key).cloned().expect("there");
        assert_eq!(from_raw::<u64>("u64", &read("u64")).ok(), Some(u64::MAX));
        assert_eq!(
            from_raw::<i128>("i128", &read("i128")).ok(),
            Some(i128::MIN)
        );
        assert_eq!(read("odd"), r#"{ "a" : 1.0E+2 }"#);
    }

    #[test]
    fn what_is_no_object_is_corrupt_and_says_so_without_showing_it() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(400_000), "]".repeat(400_000));
        for json in [
            b"".as_slice(),
            b"null",
            b"[]",
            b"\"hunter2\"",
            b"12",
            b"{",
            b"{\"a\":1",
            b"{\"a\":1}x",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":1,\"\\u0061\":2}",
            b"{\"a\":hunter2}",
            b"{\"\xff\":1}",
            b"{\"a\":\"\xff\"}",
            b"{a:1}",
            b"\0\0\0",
            deep.as_bytes(),
        ] {
            let error = decode(Bytes::copy_from_slice(json)).expect_err("corrupt");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn depth_is_limited_alike_when_reading_and_writing() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let at = nested(MAX_DEPTH);
        let data = decode(format!(r#"{{"a":{at}}}"#)).expect("just allowed");
        let raw = data.get("a").expect("there");
        let value: serde_json::Value = from_raw("a", raw).expect("readable at the limit");
        to_raw("a", &value).expect("writable at the limit");
        assert!(decode(format!(r#"{{"a":{}}}"#, nested(MAX_DEPTH + 1))).is_err());
        let over = serde_json::Value::Array(vec![value]);
        assert!(to_raw("a", &over).is_err());
        let quoted = format!(r#"{{"a":"{}\"{}"}}"#, "[".repeat(500), "[".repeat(500));
        decode(quoted).expect("brackets in strings are text");
    }

    #[test]
    fn errors_and_debug_show_no_values() {
        let data = decode(r#"{"password":"hunter2"}"#).expect("valid");
        let error = from_raw::<u32>("password", data.get("password").expect("there"))
            .expect_err("another type");
        let shown = format!("{data:?} {error} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains("u32") && shown.contains("password"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_object_or_corrupt(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            match decode(bytes) {
                Ok(data) => prop_assert!(Data::decode(&data.encode()).is_ok()),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }

        #[test]
        fn what_is_set_comes_back(entries in proptest::collection::btree_map(".*", ".*", 0..8)) {
            let mut data = Data::default();
            for (key, value) in &entries {
                data.set(key, to_raw(key, value).expect("a string"));
            }
            let back = Data::decode(&data.encode()).expect("own encoding");
            prop_assert_eq!(&back, &data);
            for (key, value) in &entries {
                let raw = back.get(key).expect("there");
                prop_assert_eq!(&from_raw::<String>(key, raw).expect("a string"), value);
            }
        }
    }
}
