//! Signed cookie values in the format of the packages cookie-signature and cookie.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::Secrets;

/// The characters that JavaScript's `encodeURIComponent` encodes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The prefix of a signed value.
const SIGNED: &str = "s:";

/// The cookie's value: `value` and its signature by the first secret, percent-encoded.
pub(crate) fn write(secrets: &Secrets, value: &str) -> String {
    let signed = format!("{SIGNED}{value}.{}", mac(secrets.first(), value));
    utf8_percent_encode(&signed, ENCODED).to_string()
}

/// The value that one of the secrets has signed.
pub(crate) fn read(secrets: &Secrets, cookie: &str) -> Option<String> {
    let decoded = decoded(cookie);
    let (value, signature) = decoded.strip_prefix(SIGNED)?.rsplit_once('.')?;
    // The encoded signatures are compared, not their bytes, so only one spelling is valid.
    let signs = |secret| mac(secret, value).as_bytes().ct_eq(signature.as_bytes());
    let signed = secrets.iter().any(|secret| bool::from(signs(secret)));
    signed.then(|| value.to_owned())
}

fn mac(secret: &[u8], value: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(value.as_bytes());
    STANDARD_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Decodes a value as the package cookie does: a malformed one stays as it is.
fn decoded(cookie: &str) -> Cow<'_, str> {
    let mut rest = cookie.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest[at + 1..].first_chunk::<2>() {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => rest = &rest[at + 3..],
            _ => return cookie.into(),
        }
    }
    let decoded = percent_decode_str(cookie).decode_utf8();
    decoded.unwrap_or_else(|_| cookie.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From express-session's own tests, and one checked with an independent HMAC.
    const GOLDEN: [(&str, &str); 4] = [
        (
            "x8_4i3md4GT-YSO5u41ROgZDabcdefgh",
            "s%3Ax8_4i3md4GT-YSO5u41ROgZDabcdefgh.Wwx8NNvQ2pEEhtB5xntCu8iIgTyBBlCOhzMn562Wt%2Fk",
        ),
        (
            "apple",
            "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU",
        ),
        ("%", "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g"),
        (
            "/foo",
            "s%3A%2Ffoo.paEKBtAHbV5s1IB8B2zPnzAgYmmnRPIqObW4VRYj%2FMQ",
        ),
    ];

    fn secrets() -> Secrets {
        Secrets::new("keyboard cat")
    }

    #[test]
    fn values_are_those_of_express() {
        for (sid, cookie) in GOLDEN {
            assert_eq!(write(&secrets(), sid), cookie);
            assert_eq!(read(&secrets(), cookie).as_deref(), Some(sid));
            let unencoded = decoded(cookie).into_owned();
            assert_eq!(read(&secrets(), &unencoded).as_deref(), Some(sid));
        }
    }

    #[test]
    fn the_first_secret_signs_and_all_verify() {
        let mut rotated = Secrets::new("new");
        rotated.push("keyboard cat");
        let (sid, cookie) = GOLDEN[0];
        assert_eq!(read(&rotated, cookie).as_deref(), Some(sid));
        assert_eq!(read(&Secrets::new("new"), cookie), None);
        let signed = write(&rotated, sid);
        assert_eq!(read(&Secrets::new("new"), &signed).as_deref(), Some(sid));
    }

    #[test]
    fn an_unsigned_or_changed_value_is_refused() {
        let (_, cookie) = GOLDEN[0];
        let plain = decoded(cookie).into_owned();
        for length in 0..plain.len() {
            assert_eq!(read(&secrets(), &plain[..length]), None, "cut at {length}");
        }
        for wrong in [
            format!("{plain}="),
            plain.replace("s:", "S:"),
            plain.replace("s:", ""),
            plain.replace('/', "_"),
            plain.replace('.', ""),
            String::new(),
            "s:".to_owned(),
            "s:.".to_owned(),
        ] {
            assert_eq!(read(&secrets(), &wrong), None, "{wrong}");
        }
    }

    #[test]
    fn malformed_encoding_is_taken_literally() {
        for raw in ["%", "%4", "%zz", "a%", "%c3%28", "%ff", "é%"] {
            assert_eq!(decoded(raw), raw);
        }
        assert_eq!(decoded("%41%c3%a9"), "Aé");
    }
}
