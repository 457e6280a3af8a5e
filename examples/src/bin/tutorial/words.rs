//! Times as people read them.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A time in its two largest units, such as `29 days 23 h`. Fractions of a second are cut off.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let largest = UNITS.iter().position(|(_, size)| seconds >= *size);
    let largest = largest.unwrap_or(UNITS.len() - 1);
    let count = |at: usize| {
        let (unit, size) = UNITS[at];
        let above = if at == 0 { u64::MAX } else { UNITS[at - 1].1 };
        (seconds % above / size, unit)
    };
    let show = |(n, unit): (u64, &str)| match (n, unit) {
        (1, "day") => "1 day".to_owned(),
        (n, "day") => format!("{n} days"),
        (n, unit) => format!("{n} {unit}"),
    };
    let first = show(count(largest));
    match (largest + 1 < UNITS.len()).then(|| count(largest + 1)) {
        Some(second) if second.0 > 0 => format!("{first} {}", show(second)),
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_two_largest_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (1_799, "29 min 59 s"),
            (43_200, "12 h"),
            (43_199, "11 h 59 min"),
            (86_400, "1 day"),
            (2_591_999, "29 days 23 h"),
            (86_400 + 59, "1 day"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
