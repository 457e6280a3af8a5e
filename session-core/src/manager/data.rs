//! A session's variables: a JSON object whose values stay raw until they are read.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::manager::ordered_map::OrderedMap;
use crate::manager::reserved::{is_kept_by_clear, is_reserved};
use crate::manager::value::{DUPLICATE, describe};
use crate::{Error, Result};

/// One value, as JSON text. Shares the bytes of the record it was read from.
pub(crate) type Raw = Bytes;

/// Room for so many keys is made before a record is read: most sessions have no more.
const USUAL_KEYS: usize = 8;

/// The variables of one session, in the order they were stored: a JSON object of which only the
/// top level is taken apart.
///
/// Numbers of any size survive, and a value that was not read is written back byte for byte,
/// because values are cut out of the record and not parsed. So is a value that is nested too deeply
/// to be read.
///
/// Cheap to clone: clones share their variables until one of them is changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Data(Arc<Variables>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Variables {
    named: OrderedMap<Raw>,
    /// Keys that are no text (JavaScript may write half a surrogate pair) and their values, as they
    /// were written. They can be carried and not named.
    unnamed: Vec<(Raw, Raw)>,
}

/// What a key that is there twice means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twice {
    Corrupt,
    /// The last value counts, at the place of the first.
    Replaced,
}

impl Data {
    /// Splits a record into its variables.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what is no JSON object or has a key
    /// twice.
    pub fn decode(record: &Bytes) -> Result<Self> {
        Self::split(record, Twice::Corrupt)
    }

    /// As [`decode`](Self::decode), for what JavaScript has written: of a key that is there twice,
    /// the last value counts, as `JSON.parse` reads it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for what is no JSON object.
    pub fn decode_as_javascript(record: &Bytes) -> Result<Self> {
        Self::split(record, Twice::Replaced)
    }

    fn split(record: &Bytes, twice: Twice) -> Result<Self> {
        // Checked at once, which takes less than checking each key and value.
        let text = std::str::from_utf8(record).map_err(|_| Error::corrupt("it is not UTF-8"))?;
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(Split { record, twice })
            .and_then(|variables| json.end().map(|()| Self(Arc::new(variables))))
            .map_err(|error| Error::corrupt(describe(&error)))
    }

    /// The record that [`decode`](Self::decode) reads back.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let Variables { named, unnamed } = &*self.0;
        let size: usize = named
            .iter()
            .map(|(key, raw)| key.len() + raw.len() + "\"\":,".len())
            .chain(
                unnamed
                    .iter()
                    .map(|(key, raw)| key.len() + raw.len() + ":,".len()),
            )
            .sum();
        let mut out = Vec::with_capacity(size.max(1) + 1);
        let mut separator = b'{';
        for (key, raw) in named.iter() {
            out.push(separator);
            // Writing a string into memory can't fail.
            let _ = serde_json::to_writer(&mut out, key);
            out.push(b':');
            out.extend_from_slice(raw);
            separator = b',';
        }
        for (key, raw) in unnamed {
            out.push(separator);
            out.extend_from_slice(key);
            out.push(b':');
            out.extend_from_slice(raw);
            separator = b',';
        }
        if self.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        out.into()
    }

    /// The JSON text of the value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.0.named.get(key)
    }

    /// Sets `key` to a value of this JSON text, which is not checked, in its place or at the end.
    pub fn set(&mut self, key: &str, value: Bytes) {
        self.changed().named.insert(key, value);
    }

    /// Sets `key` as [`set`](Self::set) does, before all others.
    pub fn set_first(&mut self, key: &str, value: Bytes) {
        self.changed().named.insert_first(key, value);
    }

    /// Removes `key`, and gives what its value was.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        self.changed().named.remove(key)
    }

    /// Removes what the application has put there: all keys but the reserved ones that a clear
    /// leaves.
    pub(crate) fn clear(&mut self) {
        let variables = self.changed();
        variables.named.retain(is_kept_by_clear);
        variables.unnamed.clear();
    }

    /// The variables, no longer shared with clones.
    fn changed(&mut self) -> &mut Variables {
        Arc::make_mut(&mut self.0)
    }

    /// The keys that are text, and their values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.named.iter()
    }

    /// The keys that are text and the application's own, in their order.
    pub(crate) fn own_keys(&self) -> impl Iterator<Item = &str> {
        self.0.named.keys().filter(|key| !is_reserved(key))
    }

    /// Whether there is another key than this one.
    pub(crate) fn has_more_than(&self, only: &str) -> bool {
        self.has_unnamed() || self.0.named.keys().any(|key| key != only)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.0.named.len()
    }

    pub(crate) fn unnamed(&self) -> &[(Raw, Raw)] {
        &self.0.unnamed
    }

    /// Whether there are keys that are no text, which [`iter`](Self::iter) leaves out: JavaScript
    /// may write half a surrogate pair.
    #[must_use]
    pub fn has_unnamed(&self) -> bool {
        !self.0.unnamed.is_empty()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.named.is_empty() && self.0.unnamed.is_empty()
    }
}

/// Shows the keys only: values are the visitors' affair.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.named.keys()).finish()
    }
}

struct Split<'a> {
    record: &'a Bytes,
    twice: Twice,
}

impl<'de> Visitor<'de> for Split<'_> {
    type Value = Variables;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Variables, A::Error> {
        let mut variables = Variables {
            named: OrderedMap::with_capacity(USUAL_KEYS),
            unnamed: Vec::new(),
        };
        let cut = |raw: &'de RawValue| self.record.slice_ref(raw.get().as_bytes());
        while let Some(key) = map.next_key::<&'de RawValue>()? {
            let value = cut(map.next_value()?);
            match name(key.get()) {
                Some(name) => {
                    let was = variables.named.insert(&name, value);
                    if was.is_some() && self.twice == Twice::Corrupt {
                        return Err(A::Error::custom(DUPLICATE));
                    }
                }
                None => variables.unnamed.push((cut(key), value)),
            }
        }
        Ok(variables)
    }
}

/// The key that this JSON string, which is well-formed, stands for; `None` if it is no text.
fn name(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().contains(&b'\\') {
        false => json.get(1..json.len().checked_sub(1)?).map(Cow::Borrowed),
        true => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::manager::value::{from_raw, to_raw};
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
        assert_eq!(
            from_raw::<u64>("u64", &read("u64")).ok(),
            Some(Some(u64::MAX))
        );
        assert_eq!(
            from_raw::<i128>("i128", &read("i128")).ok(),
            Some(Some(i128::MIN))
        );
        assert_eq!(read("odd"), r#"{ "a" : 1.0E+2 }"#);
    }

    #[test]
    fn what_is_no_object_is_corrupt_and_says_so_without_showing_it() {
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
        ] {
            let error = decode(Bytes::copy_from_slice(json)).expect_err("corrupt");
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_value_of_any_depth_is_carried() {
        for depth in [1, 127, 128, 400_000] {
            let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let json = format!(r#"{{"user":"u","deep":{nested}}}"#);
            let data = decode(json.clone()).expect("valid");
            assert_eq!(data.encode(), json.as_bytes());
            let user = data.get("user").expect("there");
            assert_eq!(from_raw("user", user).ok(), Some(Some("u".to_owned())));
            let deep = data.get("deep").expect("there");
            let read = from_raw::<serde_json::Value>("deep", deep);
            match depth <= 127 {
                true => drop(read.expect("readable")),
                false => {
                    let error = read.expect_err("too deep").to_string();
                    assert!(error.contains("recursion limit exceeded"), "{error}");
                }
            }
        }
    }

    #[test]
    fn javascript_takes_the_last_of_a_key_and_has_keys_that_are_no_text() {
        let json = br#"{"a":1,"b":2,"\ud800":{"x":1},"\u0061":3,"\ud83e\udd80":4}"#;
        let data = Data::decode_as_javascript(&Bytes::from_static(json)).expect("valid");
        let kept = r#"{"a":3,"b":2,"🦀":4,"\ud800":{"x":1}}"#;
        assert_eq!(data.encode(), kept.as_bytes());
        assert!(data.own_keys().eq(["a", "b", "🦀"]));
        let again = decode(kept).expect("valid");
        assert_eq!(again, data);
        let alone = decode(r#"{"\udfff":1}"#).expect("valid");
        assert!(!alone.is_empty() && alone.own_keys().next().is_none());
        assert!(alone.has_unnamed() && !decode("{}").expect("valid").has_unnamed());
        assert_eq!(alone.encode(), br#"{"\udfff":1}"#.as_slice());
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
                prop_assert_eq!(&from_raw::<String>(key, raw).expect("a string").expect("one"), value);
            }
        }
    }
}
