//! Why no primary was found.

use std::io;

use redis::{ErrorKind, RedisError};

use super::Primary;
use crate::error::{io_error, is_login_refusal, tls_refusal};

/// What the Sentinels that did not name a primary have said.
#[derive(Default)]
pub(super) struct Failures {
    /// The addresses of those that do not know the group.
    unknown: Vec<String>,
    failed: Vec<(String, RedisError)>,
}

impl Failures {
    pub(super) fn add_unknown(&mut self, address: String) {
        self.unknown.push(address);
    }

    pub(super) fn add(&mut self, address: String, error: RedisError) {
        self.failed.push((address, error));
    }

    /// One error for all of them: one that a change of settings mends comes first.
    pub(super) fn into_error(self, group: &str) -> RedisError {
        let misconfigured =
            |what, detail| RedisError::from((ErrorKind::InvalidClientConfig, what, detail));
        if !self.unknown.is_empty() {
            let detail = format!("{group:?} at {}", self.unknown.join(", "));
            return misconfigured("the Sentinels do not know the group", detail);
        }
        let said: Vec<String> = self
            .failed
            .iter()
            .map(|(at, error)| format!("{at}: {error}"))
            .collect();
        let said = said.join("; ");
        let errors = || self.failed.iter().map(|(_, error)| error);
        if errors().any(is_login_refusal) {
            return misconfigured("a Sentinel refuses the user name or password", said);
        }
        if errors().any(|error| error.code() == Some("NOPERM")) {
            return misconfigured("a Sentinel refuses the right to ask for the primary", said);
        }
        if let Some(settings) =
            errors().find(|error| error.kind() == ErrorKind::InvalidClientConfig)
        {
            return settings.clone();
        }
        let kind = match errors().any(|error| tls_refusal(error).is_some()) {
            true => io::ErrorKind::InvalidData,
            false => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, format!("no Sentinel answers: {said}")).into()
    }
}

/// A network error with the address of the primary.
pub(super) fn at(primary: &Primary, error: RedisError) -> RedisError {
    match io_error(&error).map(io::Error::kind) {
        Some(kind) => {
            let text = format!("{}: {error}", primary.address());
            io::Error::new(kind, text).into()
        }
        None => error,
    }
}
