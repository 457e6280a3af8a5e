//! The `Cookie` header of a request (RFC 6265bis §5.8.3): all values of one name.

use http::HeaderValue;

/// The values of all cookies `name` in the lines of the request's header, in the order they came
/// in, which may be no text.
///
/// Everything else in the header is skipped, undecoded: other applications' cookies are not ours to
/// judge.
pub(crate) fn values<'h>(
    lines: &'h [HeaderValue],
    name: &'h str,
) -> impl Iterator<Item = &'h [u8]> {
    let pairs = (lines.iter()).flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (trimmed(&pair[..at]), trimmed(&pair[at + 1..]));
        (key == name.as_bytes()).then(|| unquoted(value))
    })
}

/// The first value, if it is text and not empty: Express looks at no other.
pub(crate) fn first<'h>(lines: &'h [HeaderValue], name: &'h str) -> Option<&'h str> {
    let first = std::str::from_utf8(values(lines, name).next()?).ok()?;
    (!first.is_empty()).then_some(first)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(|byte| !is_space(byte));
    let end = bytes.iter().rposition(|byte| !is_space(byte));
    match (start, end) {
        (Some(start), Some(end)) => &bytes[start..=end],
        _ => &[],
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others() {
        let mut lines = Vec::new();
        for line in [
            "a=1; id=one; ; =x; noequals",
            "id=\"two\";id = three ;ID=no",
            "xid=no; id=",
        ] {
            lines.push(HeaderValue::from_static(line));
        }
        for line in [&b"id=\xff"[..], b"\xff; id=four; b=\xff"] {
            lines.push(HeaderValue::from_bytes(line).expect("opaque"));
        }
        let found: Vec<&[u8]> = values(&lines, "id").collect();
        assert_eq!(
            found,
            [&b"one"[..], b"two", b"three", b"", b"\xff", b"four"]
        );
        assert_eq!(first(&lines, "id"), Some("one"));
    }
}
