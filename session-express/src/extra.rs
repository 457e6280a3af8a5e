//! What Express has no room for: the owner, the absolute limit, and when the session began.
//!
//! It is kept as one more variable, authenticated by Express' secret: an app that lets its visitors
//! name variables must not let them name their owner. The code covers the session's id, so that
//! what one session has is nothing in another.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha512;
use subtle::ConstantTimeEq;

use crate::secret::Secrets;

/// The key under which is kept what Express has no room for: `{"owner": text, "began": Unix
/// milliseconds, "absolute": milliseconds, "mac": text}`, each but the last only if there is one.
pub const EXTRA_KEY: &str = "_session-express";

/// What is authenticated begins with it. The hash is another than that of Express' cookies, so no
/// cookie that an app signs for a visitor is a code.
const LABEL: &[u8] = b"session-express extra v1\0";
const MAC_BYTES: usize = 24;

/// What Express has no room for.
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
    mac: String,
}

/// Makes and checks the codes of one session.
#[derive(Clone, Copy)]
pub(crate) struct Seal<'a> {
    secrets: &'a Secrets,
    /// The name that the session is filed under.
    name: &'a str,
}

impl<'a> Seal<'a> {
    pub(crate) const fn new(secrets: &'a Secrets, name: &'a str) -> Self {
        Self { secrets, name }
    }

    fn mac(&self, secret: &[u8], extra: &Extra) -> String {
        let mut mac =
            Hmac::<Sha512>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(LABEL);
        let mut text = |text: Option<&str>| {
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            mac.update(&length.to_be_bytes());
            mac.update(text.unwrap_or_default().as_bytes());
        };
        text(Some(self.name));
        text(extra.owner.as_deref());
        for number in [extra.began, extra.absolute] {
            mac.update(&[u8::from(number.is_some())]);
            mac.update(&number.unwrap_or_default().to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..MAC_BYTES])
    }
}

impl Extra {
    /// What is in this value of [`EXTRA_KEY`], if this library has put it there for this session.
    pub(crate) fn read(json: &Bytes, seal: Seal<'_>) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(json).ok()?;
        let extra = Self {
            owner: stored.owner,
            began: stored.began,
            absolute: stored.absolute,
        };
        let is_by = |secret| {
            let mac = seal.mac(secret, &extra);
            bool::from(mac.as_bytes().ct_eq(stored.mac.as_bytes()))
        };
        let is_ours = seal.secrets.iter().any(is_by);
        is_ours.then_some(extra)
    }

    /// The value of [`EXTRA_KEY`] for it.
    pub(crate) fn write(&self, seal: Seal<'_>) -> Option<Bytes> {
        let stored = Stored {
            owner: self.owner.clone(),
            began: self.began,
            absolute: self.absolute,
            mac: seal.mac(seal.secrets.first(), self),
        };
        serde_json::to_vec(&stored).ok().map(Bytes::from)
    }

    /// When a session began matters to its absolute limit, and to the age that is shown with an
    /// owner.
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

    #[test]
    fn what_was_written_for_another_session_or_by_another_hand_is_nothing() {
        let secrets = Secrets::new("s");
        let seal = Seal::new(&secrets, "sid");
        let json = ours().write(seal).expect("JSON");
        assert_eq!(Extra::read(&json, seal), Some(ours()));
        assert_eq!(Extra::read(&json, Seal::new(&secrets, "sie")), None);
        assert_eq!(
            Extra::read(&json, Seal::new(&Secrets::new("t"), "sid")),
            None
        );
        let mut rotated = Secrets::new("t");
        rotated.push("s");
        assert_eq!(Extra::read(&json, Seal::new(&rotated, "sid")), Some(ours()));

        let text = String::from_utf8(json.to_vec()).expect("JSON");
        for forged in [
            text.replace("ann", "bob"),
            text.replace("\"began\":1", "\"began\":2"),
            text.replace("\"began\":1", "\"absolute\":1"),
            text.replace("\"began\":1,", ""),
            text.replace("\"owner\":\"ann\",", ""),
            text.replace(",\"mac\"", ",\"x\":1,\"mac\""),
            r#"{"owner":"ann"}"#.to_owned(),
            r#"{"owner":"ann","mac":""}"#.to_owned(),
            "null".to_owned(),
        ] {
            assert_eq!(Extra::read(&forged.into(), seal), None);
        }
    }
}
