//! Express' secrets, of any length. The first signs; all verify.

use std::fmt;

use zeroize::Zeroize;

/// The secrets in use. Zeroised on drop, redacted in `Debug`.
#[derive(Clone)]
pub(crate) struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    pub(crate) fn new(first: impl AsRef<[u8]>) -> Self {
        Self(vec![first.as_ref().to_vec()])
    }

    pub(crate) fn push(&mut self, previous: impl AsRef<[u8]>) {
        self.0.push(previous.as_ref().to_vec());
    }

    /// The secret that signs.
    pub(crate) fn first(&self) -> &[u8] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// All secrets, the one that signs first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// Whether one of them is empty, so that every client could sign.
    pub(crate) fn any_empty(&self) -> bool {
        self.0.iter().any(Vec::is_empty)
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({}, redacted)", self.0.len())
    }
}
