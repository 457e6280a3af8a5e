//! Lengths of time, as arguments and as output.

use std::time::Duration;

/// A length of time from an argument: numbers with the units `ms`, `s`, `m`, `h` and `d`, such as
/// `90s` or `1h30m`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time such as 90s, 30m, 1h30m or 7d");
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(unit_at);
        let next_at = after.find(|c: char| c.is_ascii_digit());
        let (unit, next) = after.split_at(next_at.unwrap_or(after.len()));
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = number.checked_mul(unit).ok_or_else(wrong)?;
        millis = millis.checked_add(part).ok_or_else(wrong)?;
        rest = next;
    }
    match text.is_empty() {
        true => Err(wrong()),
        false => Ok(Duration::from_millis(millis)),
    }
}

/// The length of time in its two greatest units: `3d 4h`, `12m 5s`, `40s`, `250ms`.
pub(crate) fn show(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let Some(first) = units.iter().position(|(number, _)| *number > 0) else {
        return format!("{}ms", span.as_millis());
    };
    let shown = units[first..].iter().take(2);
    let shown: Vec<_> = shown
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number}{unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, seconds, shown) in [
            ("90s", 90, "1m 30s"),
            ("1h30m", 5_400, "1h 30m"),
            ("7d", 604_800, "7d"),
            ("1d1s", 86_401, "1d"),
            ("0s", 0, "0ms"),
        ] {
            let span = parse(text).expect("a length of time");
            assert_eq!((span, &*show(span)), (Duration::from_secs(seconds), shown));
        }
        for text in ["", "5", "5y", "h", "-5s", "99999999999999999999d"] {
            parse(text).expect_err("none");
        }
    }
}
