//! Lists in header fields (RFC 9110 §5.6.1), whose elements may have quoted strings.

/// The parts of `bytes` between separators that no quoted string holds, without the spaces around
/// them. A string that does not end reaches to the end.
pub(crate) fn split(bytes: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = bytes.split(move |byte| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match byte {
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            byte => return *byte == separator && !is_quoted,
        }
        false
    });
    parts.map(<[u8]>::trim_ascii)
}

/// What a token or a quoted string stands for.
pub(crate) fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""))
    else {
        return value.to_vec();
    };
    let mut is_escaped = false;
    let content = inner.iter().filter(|byte| {
        is_escaped = **byte == b'\\' && !is_escaped;
        !is_escaped
    });
    content.copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_separates_nothing() {
        let parts = |text: &'static str| split(text.as_bytes(), b',').collect::<Vec<_>>();
        assert_eq!(parts("a, b ,,c"), [&b"a"[..], b"b", b"", b"c"]);
        assert_eq!(parts(r#"a="x,y", b"#), [&br#"a="x,y""#[..], b"b"]);
        assert_eq!(parts(r#"a="x\",y", b"#), [&br#"a="x\",y""#[..], b"b"]);
        assert_eq!(
            parts(r#"a\,b"#),
            [&br"a\"[..], b"b"],
            "no string, no escape"
        );
        assert_eq!(parts(r#"a="x, b"#), [&br#"a="x, b"#[..]]);
    }

    #[test]
    fn escapes_are_taken_out() {
        assert_eq!(unquoted(br#""ht\tps""#), b"https");
        assert_eq!(unquoted(br#""a\\b\"""#), br#"a\b""#);
        assert_eq!(unquoted(b"https"), b"https");
        assert_eq!(unquoted(b"\""), b"\"");
    }
}
