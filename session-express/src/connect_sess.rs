//! The cookie of Connect 2's `cookieSession`, which Express' first session tutorial describes.

use bytes::Bytes;
use session_core::{Error, Result};

use crate::cookie_text;
use crate::secret::Secrets;
use crate::signature;

/// The prefix of JSON in a cookie.
const JSON: &str = "j:";

/// Reads and writes the cookie of Connect 2: `connect.sess`, the session itself as signed JSON.
///
/// The client can read the cookie, and the cookie contains no expiry time.
#[derive(Clone, Debug)]
pub struct ConnectSess {
    name: String,
    secrets: Secrets,
}

impl ConnectSess {
    /// Creates the format of a cookie named `connect.sess` that is signed with `secret`.
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self {
            name: "connect.sess".to_owned(),
            secrets: Secrets::new(secret),
        }
    }

    /// Adds an older secret, which only verifies. Connect 2 itself has one secret only.
    #[must_use]
    pub fn with_previous(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Sets the cookie's name. Express: `key`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the cookie's name.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        &self.name
    }

    /// Checks the options: refuses an empty secret and a name that is invalid in a cookie.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), which says what to
    /// change.
    pub fn check(&self) -> Result<()> {
        if self.secrets.any_empty() {
            return Err(Error::misconfigured(
                "a secret is empty, so every client could sign: remove it",
            ));
        }
        cookie_text::check_name(&self.name)
    }

    /// Returns the cookie's value for a session of this JSON, which must be UTF-8.
    #[must_use]
    pub fn write(&self, json: &[u8]) -> String {
        let json = std::str::from_utf8(json).unwrap_or("{}");
        signature::write(&self.secrets, &format!("{JSON}{json}"))
    }

    /// Returns the JSON of the session in a cookie, if one of the secrets has signed it.
    #[must_use]
    pub fn read(&self, value: &str) -> Option<Bytes> {
        let signed = signature::read(&self.secrets, value)?;
        let json = signed.strip_prefix(JSON)?;
        Some(Bytes::copy_from_slice(json.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_that_of_connect_2() {
        let cookie = ConnectSess::new("SUPERsekret");
        let golden =
            "s%3Aj%3A%7B%22name%22%3A%22Napoleon%22%7D.cHBwuYgk5zn7B54Oa7MOTLMRpcw3ozdrBCvSaJCE1tM";
        let json = br#"{"name":"Napoleon"}"#;
        assert_eq!(cookie.write(json), golden);
        assert_eq!(cookie.read(golden).as_deref(), Some(&json[..]));
        let rotated = ConnectSess::new("new").with_previous("SUPERsekret");
        assert_eq!(rotated.read(golden).as_deref(), Some(&json[..]));
        assert_eq!(ConnectSess::new("new").read(golden), None);
        assert_eq!(cookie.read(&golden.replace("Napoleon", "Wellington")), None);
        let no_json = signature::write(&Secrets::new("SUPERsekret"), "x");
        assert_eq!(cookie.read(&no_json), None);
    }
}
