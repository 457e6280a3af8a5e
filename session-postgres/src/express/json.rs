//! Checks values before they are stored in a column of type `jsonb`.
//!
//! The server stores the parsed value. Numbers are decimal there, so every double and every whole number
//! is kept exactly.

use bytes::Bytes;
use session_core::Result;
use session_express::{check_parsed, check_record};

/// The most levels of objects and lists; the server's limit depends on its `max_stack_depth`.
const MAX_DEPTH: usize = 1_000;

/// Refuses a record with a value that the column would change or refuse. The error names the session
/// key.
pub(super) fn check(record: &Bytes) -> Result<()> {
    check_record(
        record,
        "value in a jsonb column of PostgreSQL",
        |key, value| {
            if key.contains('\0') {
                return Err(NUL.to_owned());
            }
            check_parsed(value, MAX_DEPTH - 1, |_| Ok(()))?;
            check_tokens(value)
        },
    )
}

const NUL: &str = "a text contains a NUL";

/// Looks for what a decimal number or a text of PostgreSQL's can't hold.
fn check_tokens(json: &[u8]) -> std::result::Result<(), String> {
    let mut rest = json;
    while let Some(&first) = rest.first() {
        let length = match first {
            b'"' => text(rest)?,
            b'-' => negative(rest)?,
            _ => 1,
        };
        rest = &rest[length..];
    }
    Ok(())
}

/// The length of the text that `json` begins with.
fn text(json: &[u8]) -> std::result::Result<usize, String> {
    let mut at = 1;
    while at < json.len() && json[at] != b'"' {
        if json[at..].starts_with(b"\\u0000") {
            return Err(NUL.to_owned());
        }
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    Ok((at + 1).min(json.len()))
}

/// The length of the negative number that `json` begins with.
fn negative(json: &[u8]) -> std::result::Result<usize, String> {
    let is_of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let length = json.iter().take_while(|byte| is_of_number(byte)).count();
    let digits = json[1..length].iter();
    let mut digits = digits.take_while(|digit| !matches!(digit, b'e' | b'E'));
    match digits.all(|digit| matches!(digit, b'0' | b'.')) {
        true => Err("-0 would become 0".to_owned()),
        false => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn a_value_that_the_column_would_change_is_refused_by_name() {
        let levels = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for (value, is_kept) in [
            ("-9223372036854775809".to_owned(), true),
            ("18446744073709551616".to_owned(), true),
            ("-0".to_owned(), false),
            ("[1,-0.00]".to_owned(), false),
            ("-0e5".to_owned(), false),
            ("[-0.5,-1e0,-5e-324,-100]".to_owned(), true),
            ("\"-0 \\\" -0\"".to_owned(), true),
            ("1e308".to_owned(), true),
            ("1e400".to_owned(), false),
            ("\"\\ud800\"".to_owned(), false),
            ("\"\\u0000\"".to_owned(), false),
            ("{\"a\":[\"x\\u0000\"]}".to_owned(), false),
            ("{\"\\u0000\":1}".to_owned(), false),
            ("\"\\\\u0000\"".to_owned(), true),
            ("\"\\u00001\\\\\"".to_owned(), false),
            ("{\"a\":1,\"a\":1}".to_owned(), false),
            (levels(999), true),
            (levels(1_000), false),
        ] {
            let record = format!("{{\"cookie\":{{}},\"cart\":{value}}}");
            let error = match check(&record.into()) {
                Ok(()) => {
                    assert!(is_kept, "{value}");
                    continue;
                }
                Err(error) => error,
            };
            assert!(!is_kept, "{value}: {error}");
            assert_eq!(error.kind(), ErrorKind::Value);
            let text = error.to_string();
            assert!(
                text.contains("\"cart\"") && text.contains("jsonb column"),
                "{text}"
            );
        }
        check(&Bytes::from_static(br#"{"\udfff":1}"#)).expect_err("no key of the column's");
        check(&Bytes::from_static(br#"{"\u0000":1}"#)).expect_err("no key of the column's");
    }
}
