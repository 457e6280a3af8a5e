//! Messages for the next page.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manager::reserved::FLASH;
use crate::{Result, Session};

/// A message for the next page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// What kind it is, such as `error`: the page decides what that looks like.
    pub kind: String,
    /// The message. It is text: the page must escape it.
    pub text: String,
}

/// Shows the kind and the size of the text, which is for its reader.
impl fmt::Debug for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flash")
            .field("kind", &self.kind)
            .field("text", &format_args!("{} bytes", self.text.len()))
            .finish()
    }
}

impl Session {
    /// Leaves a message for the next page that asks for them. Messages that requests leave at the
    /// same time are all kept. They are stored under the reserved key `_flash`.
    ///
    /// # Errors
    /// None but those of reading what other code has put under that key.
    pub fn flash(&self, kind: impl Into<String>, text: impl Into<String>) -> Result<()> {
        let (kind, text) = (kind.into(), text.into());
        self.push(FLASH.name, Flash { kind, text })
    }

    /// Takes the messages that were left. One that another request leaves meanwhile stays for the
    /// next page.
    ///
    /// # Errors
    /// As [`flash`](Self::flash).
    pub fn take_flashes(&self) -> Result<Vec<Flash>> {
        self.drain(FLASH.name)
    }
}
