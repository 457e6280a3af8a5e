//! One value of a session: what it is in JSON, what it stands for, and what is wrong with it.

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manager::data::Raw;
use crate::manager::finite::check_finite;
use crate::{Error, Result};

/// How deeply a value may be nested: what `serde_json` reads without overflowing a stack.
pub(crate) const MAX_DEPTH: usize = 127;

/// A key is there twice.
pub(crate) const DUPLICATE: &str = "it has a key twice";

const NULL: &str = "null";

/// The JSON text of `value`, to be stored under `key`.
pub(crate) fn to_raw<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Raw> {
    let refused = |reason| Error::unwritable(key, type_name::<T>(), reason);
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
    read.map_err(|error| Error::unreadable(key, type_name::<T>(), describe(&error)))
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
/// types are the program's; everything else may be the visitor's. So only what has the very form
/// of `serde`'s own messages is kept: a type may have others, and they may begin like those.
fn without_data(words: &str) -> String {
    const OTHER: &str = "the type does not accept it";
    const KINDS: [(&str, Shown); 8] = [
        (MISSING, shown_name),
        ("duplicate field", shown_name),
        ("invalid length", shown_length),
        ("invalid type", shown_unexpected),
        ("invalid value", shown_unexpected),
        ("unknown variant", shown_names),
        ("unknown field", shown_names),
        (DUPLICATE, |_| None),
    ];
    let mut all = KINDS.iter();
    let found = all.find_map(|(what, shown)| Some((what, shown, words.strip_prefix(*what)?)));
    found.map_or_else(
        || OTHER.to_owned(),
        |(what, shown, rest)| format!("{what}{}", shown(rest).unwrap_or_default()),
    )
}

/// What is kept of the words that come after the first ones.
type Shown = fn(&str) -> Option<String>;

const EXPECTED: &str = ", expected ";

/// A field's name, and nothing after it.
fn shown_name(rest: &str) -> Option<String> {
    is_name(rest.strip_prefix(' ')?).then(|| rest.to_owned())
}

/// A length, and what was expected.
fn shown_length(rest: &str) -> Option<String> {
    let (length, _) = rest.strip_prefix(' ')?.split_once(EXPECTED)?;
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| rest.to_owned())
}

/// The kind of what was found, and what was expected.
fn shown_unexpected(rest: &str) -> Option<String> {
    let found = rest.strip_prefix(": ")?;
    let (kind, shown) = KINDS
        .iter()
        .find_map(|kind| Some((*kind, found.strip_prefix(*kind)?)))?;
    let expected = after_shown(shown)?.strip_prefix(EXPECTED)?;
    Some(format!(": {kind}{EXPECTED}{expected}"))
}

/// The kinds by the words of `serde::de::Unexpected`, and those of `serde_json`.
const KINDS: [&str; 18] = [
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
    "struct variant",
    "number",
    NULL,
];

/// What comes after the value that is shown: one in backticks, a quoted text, or none.
fn after_shown(shown: &str) -> Option<&str> {
    if let Some(value) = shown.strip_prefix(" `") {
        // A character may be a backtick itself.
        let first = value.chars().next()?.len_utf8();
        let end = first + value.get(first..)?.find('`')?;
        return value.get(end + 1..);
    }
    let Some(text) = shown.strip_prefix(" \"") else {
        return Some(shown);
    };
    let mut is_escaped = false;
    let end = text.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    });
    text.get(end? + 1..)
}

/// The names that a type knows, without the one that it does not.
fn shown_names(rest: &str) -> Option<String> {
    // The last one: the name that was found comes before it, whatever is in that. A type without
    // names has no such list, and ends otherwise.
    let (_, names) = rest.rsplit_once("`, expected ")?;
    are_names(names).then(|| format!("{EXPECTED}{names}"))
}

/// Whether it is a list of names as `serde` has them: one, one or another, or one of several.
fn are_names(text: &str) -> bool {
    match text.strip_prefix("one of ") {
        Some(names) => names.split(", ").all(is_name),
        None => text.splitn(2, " or ").all(is_name),
    }
}

/// Whether it is a name in backticks.
fn is_name(text: &str) -> bool {
    let name = text
        .strip_prefix('`')
        .and_then(|text| text.strip_suffix('`'));
    name.is_some_and(|name| !name.contains('`'))
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
    use std::collections::BTreeMap;

    use super::*;
    use serde::Deserialize;
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
            ("missing field `qty` of `hunter2`", "missing field"),
            ("duplicate field `qty`", "duplicate field `qty`"),
            (
                "invalid length 3, expected an array of length 2",
                "invalid length 3, expected an array of length 2",
            ),
            (
                "invalid length of hunter2, expected hunter2",
                "invalid length",
            ),
            (
                r#"invalid type: string "a\", expected \"b", expected u32"#,
                "invalid type: string, expected u32",
            ),
            (
                r#"invalid value: string "hunter2\\", expected a time"#,
                "invalid value: string, expected a time",
            ),
            (
                "invalid value: character ```, expected a letter",
                "invalid value: character, expected a letter",
            ),
            (
                "invalid type: null, expected u32",
                "invalid type: null, expected u32",
            ),
            ("invalid type: hunter2, expected u32", "invalid type"),
            ("invalid value: x, expected hunter2", "invalid value"),
            ("invalid value: string x, expected hunter2", "invalid value"),
            (
                r#"invalid value: string "x, expected hunter2"#,
                "invalid value",
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
            ("unknown field `x, expected hunter2`", "unknown field"),
            ("unknown field `x`, expected hunter2", "unknown field"),
            ("hunter2 is no address", "the type does not accept it"),
        ] {
            assert_eq!(without_data(words), reason, "{words}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its name counts")]
    struct One {
        qty: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only their names count")]
    struct Three {
        a: u32,
        b: u32,
        c: u32,
    }

    #[derive(Debug, Deserialize)]
    enum Never {}

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only their names count")]
    enum Color {
        Red,
        Blue,
    }

    /// A visitor's key or text, whatever is in it, is in no error.
    #[test]
    fn no_name_that_a_type_does_not_know_is_repeated() {
        for nasty in [
            "hunter2",
            "x, expected hunter2",
            "x`, expected `hunter2",
            "x`, expected `hunter2`",
            "x`, expected one of `hunter2`, `b",
            "x`, there are no fields, expected hunter2",
            "`hunter2`, there are no fields",
            "x\n`, expected `hunter2`\n",
            "x\", expected \"hunter2",
            "hunter2 at line 1 column 1",
            "missing field `hunter2`",
            "`",
            "``",
            "",
            ", expected ",
            "`, expected ",
        ] {
            let object = raw(&BTreeMap::from([(nasty, 1)]));
            let text = raw(&nasty);
            for (error, shown) in [
                (from_raw::<Empty>("k", &object).map(drop), ""),
                (
                    from_raw::<One>("k", &object).map(drop),
                    ", expected \"qty\"",
                ),
                (
                    from_raw::<Three>("k", &object).map(drop),
                    ", expected one of \"a\", \"b\", \"c\"",
                ),
                (from_raw::<Never>("k", &text).map(drop), ""),
                (
                    from_raw::<Color>("k", &text).map(drop),
                    ", expected \"Red\" or \"Blue\"",
                ),
            ] {
                let text = error.expect_err("it is unknown").to_string();
                let (_, reason) = text.split_once(": ").expect("a reason");
                let (reason, place) = reason.split_once(" at line 1 column ").expect("a place");
                assert!(place.parse::<u32>().is_ok(), "{place}");
                let whole = ["field", "variant"].map(|what| format!("unknown {what}{shown}"));
                assert!(whole.iter().any(|whole| whole == reason), "{reason}");
            }
        }
    }

    fn raw<T: Serialize>(value: &T) -> Raw {
        to_raw("k", value).expect("JSON")
    }
}
