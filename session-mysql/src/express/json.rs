//! Checks values before they are stored in a column of MySQL's type `JSON`.
//!
//! The server stores the parsed value, not the text. Every double and every 64-bit integer is kept
//! exactly. (MariaDB's `JSON` is text.)

use bytes::Bytes;
use session_core::Result;
use session_express::{check_parsed, check_record};

/// The most levels of objects and lists of a document. The record is the first.
const MAX_DEPTH: usize = 100;

/// Refuses a record with a value that the column would change. The error names the session key.
pub(super) fn check(record: &Bytes) -> Result<()> {
    check_record(record, "value in a JSON column of MySQL", |_, value| {
        check_parsed(value, MAX_DEPTH - 1, check_whole)
    })
}

/// A larger integer would become a double, and a negative zero would lose its sign.
fn check_whole(text: &str) -> std::result::Result<(), String> {
    match text {
        "-0" => Err("-0 would become 0: write -0.0".to_owned()),
        _ if text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok() => Ok(()),
        _ => Err(format!(
            "a whole number is beyond {} and {}",
            i64::MIN,
            u64::MAX
        )),
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
            (i64::MIN.to_string(), true),
            ("-9223372036854775809".to_owned(), false),
            (u64::MAX.to_string(), true),
            ("18446744073709551616".to_owned(), false),
            ("[{\"n\":-18446744073709551615}]".to_owned(), false),
            ("-0.0".to_owned(), true),
            ("-0".to_owned(), false),
            ("1e308".to_owned(), true),
            ("1e400".to_owned(), false),
            ("\"\\ud800\"".to_owned(), false),
            ("{\"a\":1,\"a\":1}".to_owned(), false),
            (levels(99), true),
            (levels(100), false),
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
                text.contains("\"cart\"") && text.contains("JSON column"),
                "{text}"
            );
        }
        check(&Bytes::from_static(br#"{"\udfff":1}"#)).expect_err("no key of the column's");
    }
}
