//! The fields that Express' format lacks: the owner, the absolute limit, and when the session
//! began.
//!
//! They are stored as one more variable, authenticated with Express' secret: if an app lets its
//! visitors name variables, they must not be able to set their owner. The code covers a hash of the
//! session's id, so that a value copied to another session is ignored there. The hash is stored
//! too: an app that regenerates a session and copies its variables (passport's `keepSessionInfo`)
//! copies this one, which must be distinguished from a value whose secret was removed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use session_core::{Error, Result};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::secret::Secrets;

/// The key of the variable that holds the fields that Express' format lacks: `{"owner": text,
/// "began": Unix milliseconds, "absolute": milliseconds, "for": text, "mac": text}`. The first
/// three are optional. `for` is a hash of the session's id, `mac` authenticates the others.
pub const EXTRA_KEY: &str = "_session-express";

/// The authenticated bytes begin with it. The hash differs from that of Express' cookies, so that
/// no signed cookie is a valid code.
const LABEL: &[u8] = b"session-express extra v2\0";
const MAC_BYTES: usize = 24;
const NAME_BYTES: usize = 16;

const UNAUTHENTIC: &str = "no Express secret authenticates its \"_session-express\" (owner, absolute limit): \
    a secret is wrong or was retired too early (keep it with Express::with_previous)";

/// The fields that Express' format lacks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Extra {
    pub(crate) owner: Option<String>,
    pub(crate) began: Option<u64>,
    pub(crate) absolute: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absolute: Option<u64>,
    /// A hash of the name of the session that the value was written for.
    r#for: String,
    mac: String,
}

impl Stored {
    fn new(extra: &Extra, authenticator: Authenticator<'_>) -> Self {
        let mut stored = Self {
            owner: extra.owner.clone(),
            began: extra.began,
            absolute: extra.absolute,
            r#for: authenticator.hashed_name(),
            mac: String::new(),
        };
        stored.mac = stored.mac_by(authenticator.secrets.first());
        stored
    }

    fn mac_by(&self, secret: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha512>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(LABEL);
        let mut text = |text: Option<&str>| {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            mac.update(&length.to_be_bytes());
            mac.update(text.unwrap_or_default().as_bytes());
        };
        text(Some(&self.r#for));
        text(self.owner.as_deref());
        for number in [self.began, self.absolute] {
            mac.update(&[u8::from(number.is_some())]);
            mac.update(&number.unwrap_or_default().to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..MAC_BYTES])
    }

    fn is_authentic(&self, secrets: &Secrets) -> bool {
        let is_by = |secret| {
            let mac = self.mac_by(secret);
            bool::from(mac.as_bytes().ct_eq(self.mac.as_bytes()))
        };
        secrets.iter().any(is_by)
    }
}

/// Makes and checks the authentication codes of one session.
#[derive(Clone, Copy)]
pub(crate) struct Authenticator<'a> {
    secrets: &'a Secrets,
    /// The name that the session is stored under.
    name: &'a str,
}

impl<'a> Authenticator<'a> {
    pub(crate) const fn new(secrets: &'a Secrets, name: &'a str) -> Self {
        Self { secrets, name }
    }

    fn hashed_name(&self) -> String {
        let hash = Sha256::digest(self.name);
        URL_SAFE_NO_PAD.encode(&hash[..NAME_BYTES])
    }
}

impl Extra {
    /// Reads a value of [`EXTRA_KEY`]. A value that this library wrote for another session reads as
    /// empty.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if no secret authenticates it.
    /// Reading it as empty would silently drop an absolute limit and an owner.
    pub(crate) fn read(json: &Bytes, authenticator: Authenticator<'_>) -> Result<Self> {
        let stored = serde_json::from_slice(json).ok();
        let stored = stored.filter(|stored: &Stored| stored.is_authentic(authenticator.secrets));
        let stored = stored.ok_or_else(|| Error::corrupt(UNAUTHENTIC))?;
        if stored.r#for != authenticator.hashed_name() {
            return Ok(Self::default());
        }
        Ok(Self {
            owner: stored.owner,
            began: stored.began,
            absolute: stored.absolute,
        })
    }

    /// Encodes the value of [`EXTRA_KEY`].
    pub(crate) fn write(&self, authenticator: Authenticator<'_>) -> Option<Bytes> {
        let stored = serde_json::to_vec(&Stored::new(self, authenticator));
        stored.ok().map(Bytes::from)
    }

    /// Whether there is anything to store: `began` matters only with an absolute limit or an owner.
    pub(crate) const fn is_needed(&self) -> bool {
        self.owner.is_some() || self.absolute.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Extra {
        Extra {
            owner: Some("ann".to_owned()),
            began: Some(1),
            absolute: None,
        }
    }

    fn is_refused(read: Result<Extra>) -> bool {
        read.is_err_and(|error| error.to_string().contains("retired too early"))
    }

    #[test]
    fn a_value_written_for_another_session_reads_as_empty() {
        let secrets = Secrets::new("s");
        let json = ours()
            .write(Authenticator::new(&secrets, "sid"))
            .expect("JSON");
        let read = |name| Extra::read(&json, Authenticator::new(&secrets, name));
        assert_eq!(read("sid").expect("authentic"), ours());
        assert_eq!(read("sie").expect("authentic"), Extra::default());
    }

    #[test]
    fn a_value_that_no_secret_authenticates_is_refused() {
        let secrets = Secrets::new("s");
        let authenticator = Authenticator::new(&secrets, "sid");
        let json = ours().write(authenticator).expect("JSON");
        assert!(is_refused(Extra::read(
            &json,
            Authenticator::new(&Secrets::new("t"), "sid")
        )));
        let mut rotated = Secrets::new("t");
        rotated.push("s");
        let read = Extra::read(&json, Authenticator::new(&rotated, "sid"));
        assert_eq!(read.expect("authentic"), ours());

        let text = String::from_utf8(json.to_vec()).expect("JSON");
        let other = ours()
            .write(Authenticator::new(&secrets, "sie"))
            .expect("JSON");
        let other = String::from_utf8(other.to_vec()).expect("JSON");
        let (_, mac) = other.split_once("\"mac\"").expect("there");
        let (before, _) = text.split_once("\"mac\"").expect("there");
        for forged in [
            text.replace("ann", "bob"),
            text.replace("\"began\":1", "\"began\":2"),
            text.replace("\"began\":1", "\"absolute\":1"),
            text.replace("\"began\":1,", ""),
            text.replace("\"owner\":\"ann\",", ""),
            text.replace(",\"mac\"", ",\"x\":1,\"mac\""),
            text.replace("\"for\":\"", "\"for\":\"x"),
            format!("{before}\"mac\"{mac}"),
            r#"{"owner":"ann"}"#.to_owned(),
            r#"{"owner":"ann","for":"","mac":""}"#.to_owned(),
            "null".to_owned(),
        ] {
            assert_ne!(forged, text);
            assert!(is_refused(Extra::read(&forged.into(), authenticator)));
        }
    }
}
