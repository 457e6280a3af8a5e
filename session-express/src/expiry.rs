//! Times in records: Unix milliseconds and ISO texts, by this server's clock, as Express writes
//! them.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// The Unix time in milliseconds, by this server's clock.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, millis)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The instant as JavaScript's `toISOString` writes it, at most the end of the year 9999.
pub(crate) fn iso(unix_millis: u64) -> String {
    const MAX: i64 = 253_402_300_799_999;
    let millis = i64::try_from(unix_millis).unwrap_or(MAX).min(MAX);
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_javascript_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_543_046_092, "2026-11-24T17:57:26.092Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso(millis), text);
        }
    }
}
