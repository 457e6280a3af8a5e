//! One value of a session: what it is in JSON, what it stands for, and what is wrong with it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::Raw;
use crate::finite::check_finite;
use crate::{Error, Result};

/// How deeply a value may be nested: what `serde_json` reads without overflowing a stack.
pub(crate) const MAX_DEPTH: usize = 127;

/// A key is there twice.
pub(crate) const DUPLICATE: &str = "it has a key twice";

const NULL: &str = "null";

/// The JSON text of `value`, to be stored under `key`.
pub(crate) fn to_raw<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Raw> {
    let refused = |reason| Error::unwritable::<T>(key, reason);
    let text = serde_json::to_string(value).map_err(|error| refused(describe(&error)))?;
    if is_too_deep(text.as_bytes()) {
        return Err(refused(format!("it is nested over {MAX_DEPTH} deep")));
    }
    // What JSON has no number for is written as null. So only a value with a null in it is looked
    // through for the cause.
    if text.contains(NULL) {
        check_finite(value).map_err(refused)?;
    }
    Ok(Raw::from(text))
}

/// The value that `raw`, stored under `key`, stands for: none for `null`.
pub(crate) fn from_raw<T: DeserializeOwned>(key: &str, raw: &Raw) -> Result<Option<T>> {
    if is_null(raw) {
        return Ok(None);
    }
    let read = serde_json::from_slice(raw).map(Some);
    read.map_err(|error| Error::unreadable::<T>(key, describe(&error)))
}

pub(crate) fn is_null(raw: &Raw) -> bool {
    raw.trim_ascii() == NULL.as_bytes()
}

/// What is wrong and where: the library's own words, without those that show data.
pub(crate) fn describe(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let (line, column) = (error.line(), error.column());
    let place = format!(" at line {line} column {column}");
    let text = error.to_string();
    let words = text.strip_suffix(&place).unwrap_or(&text);
    let reason = match error.classify() {
        Category::Io => "it can't be written".to_owned(),
        // The parser's own words are a fixed list.
        Category::Syntax | Category::Eof => words.to_owned(),
        Category::Data => without_data(words),
    };
    // A field that is not there has no place.
    let has_place = line > 0 && !reason.starts_with(MISSING);
    let place = if has_place { place.as_str() } else { "" };
    format!("{reason}{place}").replace('`', "\"")
}

const MISSING: &str = "missing field";

/// What a type has said of the data it was given, without the data. The names of fields and of
/// types are the program's; everything else may be the visitor's.
fn without_data(words: &str) -> String {
    const FIXED: [&str; 4] = [MISSING, "duplicate field", "invalid length", DUPLICATE];
    const QUOTING: [&str; 4] = [
        "invalid type",
        "invalid value",
        "unknown variant",
        "unknown field",
    ];
    if FIXED.iter().any(|fixed| words.starts_with(fixed)) {
        return words.to_owned();
    }
    let Some(what) = QUOTING.iter().find(|what| words.starts_with(**what)) else {
        return "the type does not accept it".to_owned();
    };
    let found = words[what.len()..].strip_prefix(": ").and_then(kind);
    let found = found.map_or_else(String::new, |kind| format!(": {kind}"));
    // The last one: what was found is quoted before it, whatever is in that.
    match words.rsplit_once(", expected ") {
        Some((_, expected)) => format!("{what}{found}, expected {expected}"),
        None => format!("{what}{found}"),
    }
}

/// The kind of what was found, by the words of `serde::de::Unexpected`.
fn kind(found: &str) -> Option<&'static str> {
    const KINDS: [&str; 16] = [
        "boolean",
        "integer",
        "floating point",
        "character",
        "string",
        "byte array",
        "unit value",
        "Option value",
        "newtype struct",
        "sequence",
        "map",
        "enum",
        "unit variant",
        "newtype variant",
        "tuple variant",
        NULL,
    ];
    KINDS.into_iter().find(|kind| found.starts_with(kind))
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
    use serde_json::value::RawValue;

    #[test]
    fn what_is_written_can_be_read_however_deep_it_is() {
        let nested = |depth: usize| {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            RawValue::from_string(text).expect("JSON")
        };
        let raw = to_raw("a", &nested(MAX_DEPTH)).expect("writable at the limit");
        from_raw::<serde_json::Value>("a", &raw).expect("readable at the limit");
        let error = to_raw("a", &nested(MAX_DEPTH + 1)).expect_err("over it");
        assert!(
            error.to_string().contains("nested over 127 deep"),
            "{error}"
        );
        let quoted = format!("{}\"{}", "[".repeat(500), "[".repeat(500));
        to_raw("a", &quoted).expect("brackets in strings are text");
    }

    #[test]
    fn what_a_type_says_of_data_is_not_repeated() {
        for (words, reason) in [
            ("missing field `qty`", "missing field `qty`"),
            (
                "invalid type: string \"a, expected b\", expected u32",
                "invalid type: string, expected u32",
            ),
            (
                "invalid value: string \"hunter2\", expected a time",
                "invalid value: string, expected a time",
            ),
            (
                "invalid type: hunter2, expected u32",
                "invalid type, expected u32",
            ),
            (
                "unknown variant `hunter2`, expected `A` or `B`",
                "unknown variant, expected `A` or `B`",
            ),
            (
                "unknown variant `hunter2`, there are no variants",
                "unknown variant",
            ),
            (
                "unknown field `hunter2`, expected one of `a`, `b`",
                "unknown field, expected one of `a`, `b`",
            ),
            ("hunter2 is no address", "the type does not accept it"),
        ] {
            assert_eq!(without_data(words), reason, "{words}");
        }
    }
}
