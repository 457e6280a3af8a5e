//! A SEQUENCE of OCTET STRINGs in DER (X.690); kruptein uses nothing else of DER.

const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// Encodes a sequence of these strings.
pub(super) fn encode(strings: &[&[u8]]) -> Vec<u8> {
    let mut content = Vec::new();
    for string in strings {
        push(&mut content, OCTET_STRING, string);
    }
    let mut sequence = Vec::with_capacity(content.len() + 6);
    push(&mut sequence, SEQUENCE, &content);
    sequence
}

/// Decodes a sequence of exactly `N` strings; `None` for anything else.
pub(super) fn decode<const N: usize>(bytes: &[u8]) -> Option<[&[u8]; N]> {
    let (mut content, rest) = take(bytes, SEQUENCE)?;
    let mut strings: [&[u8]; N] = [&[]; N];
    for string in &mut strings {
        (*string, content) = take(content, OCTET_STRING)?;
    }
    (content.is_empty() && rest.is_empty()).then_some(strings)
}

fn push(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(length @ ..=0x7f) => out.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let zeroes = length.iter().take_while(|byte| **byte == 0).count();
            let length = &length[zeroes..];
            // At most the eight bytes of a usize.
            out.push(0x80 | length.len() as u8);
            out.extend(length);
        }
    }
    out.extend(content);
}

/// The content of the element that `bytes` begin with, if it has the tag `expected`, and the bytes
/// after it.
fn take(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (&tag, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = match first {
        0..=0x7f => (usize::from(first), bytes),
        // 0x80 is no length in DER. Lengths of more than four bytes are refused.
        0x81..=0x84 => {
            let (length, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
            let add = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
            (length.iter().fold(0, add), bytes)
        }
        _ => return None,
    };
    if tag != expected {
        return None;
    }
    bytes.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_every_size() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536, 20_000_000] {
            let long = vec![7; length];
            let encoded = encode(&[b"ab", &long]);
            let head: &[u8] = match length {
                0..128 => &[],
                128..256 => &[0x81],
                256..65_536 => &[0x82],
                _ if length < 1 << 24 => &[0x83],
                _ => &[0x84],
            };
            let at = encoded.len() - length - head.len().max(1);
            assert!(head.is_empty() || encoded[..=at].contains(&head[0]));
            assert_eq!(decode(&encoded), Some([b"ab".as_slice(), &long]));
            assert_eq!(decode::<1>(&encoded), None, "another number of strings");
            assert_eq!(decode::<3>(&encoded), None, "another number of strings");
        }
    }

    #[test]
    fn worked_example() {
        let encoded = encode(&[b"ct", b""]);
        assert_eq!(encoded, [0x30, 6, 4, 2, b'c', b't', 4, 0]);
        let followed = [encoded.as_slice(), &[0]].concat();
        assert_eq!(decode::<2>(&followed), None, "something comes after it");
        assert_eq!(decode::<2>(&encoded[..7]), None, "cut off");
        assert_eq!(decode::<2>(&[0x30, 0x80, 4, 0, 4, 0, 0, 0]), None, "no DER");
        let huge = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 4, 0];
        assert_eq!(decode::<1>(&huge), None, "longer than there are bytes");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = decode::<2>(&bytes);
            let sequence = [&[0x30, bytes.len() as u8 & 0x7f], bytes.as_slice()].concat();
            if let Some(strings) = decode::<2>(&sequence) {
                prop_assert!(strings[0].len() + strings[1].len() < bytes.len());
            }
        }
    }
}
