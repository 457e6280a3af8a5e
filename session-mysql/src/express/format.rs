//! What a table must be like to hold Express' records, and how records are converted to fit it.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;

use super::json;
use super::schema::Names;
use session_sql::{Column, Dialect as _, Difference, Table};

use crate::Mysql;

/// The length of an id of express-session.
const ID_CHARACTERS: u64 = 32;
/// A smaller column is not meant for sessions.
const MIN_DATA_BYTES: u64 = 4_096;
/// The size of a `MEDIUMTEXT`, in bytes.
pub(super) const MEDIUMTEXT_BYTES: usize = (1 << 24) - 1;

/// How records are stored in the columns of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// The most bytes that the data column holds.
    pub(super) max_bytes: usize,
    /// Whether JSON is written in ASCII, because the character set does not have all characters.
    pub(super) is_ascii: bool,
    /// Whether ids are in a column of bytes.
    pub(super) is_bytes: bool,
    /// Whether the server stores parsed values, in a column of type `JSON`.
    pub(super) is_parsed: bool,
}

/// The format of a table as this crate and express-mysql-session create it.
impl Default for Format {
    fn default() -> Self {
        Self {
            max_bytes: MEDIUMTEXT_BYTES,
            is_ascii: false,
            is_bytes: false,
            is_parsed: false,
        }
    }
}

impl Format {
    /// # Errors
    /// The difference that makes the table unusable.
    pub(super) fn of(table: &Table, names: &Names) -> Result<Self, Difference> {
        table.check_not_view()?;
        let sid = table.column::<Mysql>(&names.sid)?;
        let is_text = ["char", "varchar", "varbinary"].contains(&base_type(sid));
        if !is_text || sid.characters < Some(ID_CHARACTERS) {
            return Err(format!("{}, which can't hold a session id", typed(sid)));
        }
        if !table.is_unique_key(&names.sid) {
            let sid = Mysql::quoted(&names.sid);
            return Err(format!("has no primary key or unique index on {sid} alone"));
        }
        let expires = table.column::<Mysql>(&names.expires)?;
        if !["int unsigned", "bigint", "bigint unsigned"].contains(&&*expires.sql_type) {
            return Err(format!("{}, not INT UNSIGNED", typed(expires)));
        }
        let mut format = Self::of_data(table.column::<Mysql>(&names.data)?)?;
        format.is_bytes = sid.charset.is_empty();
        table.check_others::<Mysql>(&[&names.sid, &names.expires, &names.data])?;
        Ok(format)
    }

    fn of_data(data: &Column) -> Result<Self, Difference> {
        let holds = match base_type(data) {
            "json" => Some(u64::MAX),
            "varchar" | "varbinary" => data.characters,
            "text" | "mediumtext" | "longtext" | "blob" | "mediumblob" | "longblob" => {
                let width = match &*data.charset {
                    "ucs2" | "utf16" | "utf16le" => 2,
                    "utf32" => 4,
                    _ => 1,
                };
                data.bytes.map(|bytes| bytes / width)
            }
            _ => None,
        };
        match holds.filter(|bytes| *bytes >= MIN_DATA_BYTES) {
            None => Err(format!(
                "{}, which can't hold a session's data: make it MEDIUMTEXT",
                typed(data)
            )),
            Some(bytes) => Ok(Self {
                max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                is_ascii: !["", "utf8mb4", "binary"].contains(&&*data.charset),
                is_bytes: false,
                is_parsed: base_type(data) == "json",
            }),
        }
    }

    /// Converts `json` to what is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](session_core::ErrorKind::Value) for a value that the column would
    /// change.
    pub(super) fn seal(self, json: Bytes) -> session_core::Result<Bytes> {
        if self.is_parsed {
            json::check(&json)?;
        }
        Ok(match std::str::from_utf8(&json) {
            Ok(text) if self.is_ascii && !text.is_ascii() => escaped(text).into(),
            _ => json,
        })
    }

    /// Converts a stored value back to JSON.
    pub(super) fn open(self, value: &Bytes) -> Bytes {
        match std::str::from_utf8(value) {
            Ok(text) if self.is_ascii => match unescaped(text) {
                Cow::Borrowed(_) => value.clone(),
                Cow::Owned(text) => text.into(),
            },
            _ => value.clone(),
        }
    }
}

fn base_type(column: &Column) -> &str {
    let kind = column.sql_type.split('(').next();
    kind.unwrap_or_default()
}

fn typed(column: &Column) -> String {
    let name = Mysql::quoted(&column.name);
    format!("has a column {name} of type {}", column.sql_type)
}

/// Writes JSON in ASCII. Other characters occur only inside strings, where they can be escaped.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string can't fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// Undoes [`escaped`].
fn unescaped(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let (c, length) = match character(escape) {
            Some(found) => found,
            None => {
                // Another escape: the backslash and the character after it.
                let length = 1 + escape.chars().nth(1).map_or(0, char::len_utf8);
                text.push_str(&escape[..length]);
                rest = &escape[length..];
                continue;
            }
        };
        text.push(c);
        rest = &escape[length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// The character whose escape `escape` begins with, unless it is ASCII, and the length of that
/// escape.
fn character(escape: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let first = unit(escape)?;
    if let Some(c) = char::from_u32(first.into()) {
        return (!c.is_ascii()).then_some((c, 6));
    }
    let second = unit(&escape[6..])?;
    let c = char::decode_utf16([first, second]).next()?.ok()?;
    Some((c, 12))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASCII: Format = Format {
        max_bytes: MEDIUMTEXT_BYTES,
        is_ascii: true,
        is_bytes: false,
        is_parsed: false,
    };

    #[test]
    fn json_in_ascii_is_read_back_unchanged() {
        for json in [
            "{}",
            r#"{"a":"\\u00e9 \"\u0000\n\\"}"#,
            r#"{"é":"🦀 漢字","a":"\\é\"é\\\\é"}"#,
            "\"\u{2028}\u{10ffff}\u{80}\"",
        ] {
            let sealed = ASCII.seal(Bytes::from(json)).expect("no JSON column");
            assert!(sealed.is_ascii(), "{sealed:?}");
            assert_eq!(ASCII.open(&sealed), json);
            let as_it_is = Format::default().seal(Bytes::from(json));
            assert_eq!(as_it_is.expect("no JSON column"), json);
        }
    }

    #[test]
    fn lone_surrogates_and_odd_escapes_are_unchanged() {
        for json in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            r#""\udc00\ud83d""#,
            r#""\u00""#,
            r#""\u+0e9""#,
            r#""\u0041\n""#,
            "\"\\",
            "\"\\é",
        ] {
            assert_eq!(ASCII.open(&Bytes::from(json)), json);
        }
        let open = ASCII.open(&Bytes::from(r#""\u00e9\uD83E\uDD80""#));
        assert_eq!(open, "\"é🦀\"");
    }
}
