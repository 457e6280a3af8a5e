//! What the end of a session is to survive before it is reported.

use std::fmt;

use crate::{Error, Result};

/// What a write has to survive before it counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Confirmation {
    /// The server has answered: the write survives what its own settings say.
    #[default]
    Acknowledged,
    /// Another server has the write too: it survives the loss of the server that answered, if one that
    /// has it takes over.
    Replicated,
    /// The write is on the disk of the server that answered (MongoDB: of a majority): it survives that
    /// the server loses power.
    Durable,
}

impl Confirmation {
    /// In words, after "is".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Replicated => "replicated",
            Self::Durable => "durable",
        }
    }
}

impl Confirmation {
    /// For a store that knows of a write only that it was answered.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for anything more.
    pub fn by_answer(self) -> Result<()> {
        match self {
            Self::Acknowledged => Ok(()),
            Self::Replicated => Err(Error::unsupported("confirming that a write is replicated")),
            Self::Durable => Err(Error::unsupported("confirming that a write is durable")),
        }
    }
}

impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
