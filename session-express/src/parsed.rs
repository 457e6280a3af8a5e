//! A check of JSON for databases that parse it and do not keep its text.

use std::collections::HashSet;

use bytes::Bytes;
use session_core::{Data, Error};

/// Refuses a record with a value that `check` refuses, which gets each session key and its JSON. The
/// error names the key and `column`, as in "value in a JSON column of MySQL".
///
/// # Errors
/// [`ErrorKind::Value`](session_core::ErrorKind::Value); also for a key that is half a surrogate pair,
/// which has no name.
pub fn check_record(
    record: &Bytes,
    column: &'static str,
    check: impl Fn(&str, &[u8]) -> Result<(), String>,
) -> session_core::Result<()> {
    let refused = |key: &str, reason: String| Error::unwritable(key, column, reason);
    let record = Data::decode(record)?;
    for (key, value) in record.iter() {
        check(key, value).map_err(|reason| refused(key, reason))?;
    }
    match record.has_unnamed() {
        true => Err(refused(
            "\u{fffd}",
            "the key is half a surrogate pair".to_owned(),
        )),
        false => Ok(()),
    }
}

/// Refuses a value that a database would change or refuse when it parses the value: one with half a
/// surrogate pair, a key twice in one object, a number beyond a double, more than `max_depth`
/// levels of objects and lists, or a whole number that `check_whole` refuses.
///
/// `json` must be well-formed, as every value of a session is.
///
/// # Errors
/// The reason, without the value.
pub fn check_parsed(
    json: &[u8],
    max_depth: usize,
    check_whole: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let mut nesting = Nesting {
        levels: Vec::new(),
        is_key: false,
        max_depth,
    };
    let mut rest = json;
    while let Some(&first) = rest.first() {
        let token = match first {
            b'"' => &rest[..text_length(rest)],
            b'-' | b'0'..=b'9' => &rest[..rest.iter().take_while(|&b| is_of_number(b)).count()],
            _ => &rest[..1],
        };
        match first {
            b'"' => nesting.text(token)?,
            b'-' | b'0'..=b'9' => check_number(token, &check_whole)?,
            mark => nesting.mark(mark)?,
        }
        rest = &rest[token.len()..];
    }
    Ok(())
}

/// The objects and lists around the current token.
struct Nesting {
    /// The keys so far of each object; `None` for a list.
    levels: Vec<Option<HashSet<String>>>,
    /// Whether a string that comes next is a key.
    is_key: bool,
    max_depth: usize,
}

impl Nesting {
    fn mark(&mut self, mark: u8) -> Result<(), String> {
        match mark {
            b'{' => self.levels.push(Some(HashSet::new())),
            b'[' => self.levels.push(None),
            b'}' | b']' => drop(self.levels.pop()),
            b':' => self.is_key = false,
            _ => {}
        }
        if matches!(mark, b'{' | b'[' | b',') {
            self.is_key = matches!(self.levels.last(), Some(Some(_)));
        }
        match self.levels.len() > self.max_depth {
            true => Err(format!("it is nested over {} deep", self.max_depth)),
            false => Ok(()),
        }
    }

    fn text(&mut self, json: &[u8]) -> Result<(), String> {
        if !self.is_key && !json.contains(&b'\\') {
            return Ok(());
        }
        // The parser's messages show no data.
        let text: String = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let keys = self.levels.last_mut().and_then(Option::as_mut);
        match keys.filter(|_| self.is_key) {
            Some(keys) if keys.contains(&text) => Err("it has a key twice".to_owned()),
            keys => {
                keys.map(|keys| keys.insert(text));
                Ok(())
            }
        }
    }
}

/// The length of the string that `json` begins with, with its quotes.
fn text_length(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    json.len()
}

const fn is_of_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

fn check_number(
    token: &[u8],
    check_whole: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let text = std::str::from_utf8(token).unwrap_or_default();
    if !text.contains(['.', 'e', 'E']) {
        return check_whole(text);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        _ => Err("number out of range".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(json: &str) -> Result<(), String> {
        check_parsed(json.as_bytes(), 3, |whole| match whole {
            "13" => Err("unlucky".to_owned()),
            _ => Ok(()),
        })
    }

    #[test]
    fn a_value_that_a_parser_would_change_is_refused_with_the_reason() {
        for (json, reason) in [
            (r#""\ud800""#, "hex escape"),
            (r#"{"\udfff":1}"#, "hex escape"),
            (r#"[{"a":["\ud83dx"]}]"#, "hex escape"),
            ("1e400", "out of range"),
            (r#"{"a":[-1E+309]}"#, "out of range"),
            ("13", "unlucky"),
            (r#"["13",{"13":13}]"#, "unlucky"),
            (r#"{"a":1,"b":2,"a":3}"#, "twice"),
            (r#"[{"a":{"b":1,"\u0062":{}}}]"#, "twice"),
            (r#"{"a":{"a":1},"b":"x", "b" : 1}"#, "twice"),
            ("[[[[]]]]", "nested over 3 deep"),
            (r#"{"a":[{"b":{}}]}"#, "nested over 3 deep"),
        ] {
            let error = check(json).expect_err(json);
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn other_values_are_accepted() {
        for json in [
            "null",
            "-0.0",
            "1.5e300",
            "[[[]],[[1,2]]]",
            r#"{"a":{"a":"a"},"b":["a","a",{"a":"13"}]}"#,
            r#""13 \"13\\ \ud83e\udd80 ]]]] {\"a\":13""#,
            "[ 1 , true, false,\n{ \"e\" : 1.3 } ]",
        ] {
            assert_eq!(check(json), Ok(()), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(json in "[-\\[\\]{}:,\"\\\\u0dDe.1 ]{0,40}") {
            let _ = check(&json);
        }
    }
}
