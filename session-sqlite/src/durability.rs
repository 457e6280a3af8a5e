//! What a power failure may undo.

use std::str::FromStr;

use session_core::Error;

/// What a power failure, or a crash of the operating system, may undo. A crash of the program undoes
/// nothing either way, and the file stays consistent either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: a write is on the disk when it is reported (`PRAGMA synchronous = FULL`). Writes
    /// that wait for a disk are committed together.
    #[default]
    Full,
    /// The last writes, up to those since the last checkpoint of the write-ahead log: users may
    /// have to sign in again, and a session that was destroyed may be there again
    /// (`PRAGMA synchronous = NORMAL`). Faster, because only checkpoints wait for the disk.
    Normal,
}

impl Durability {
    /// The value of `PRAGMA fullfsync`.
    pub(crate) const fn fullfsync(self) -> &'static str {
        match self {
            Self::Full => "ON",
            Self::Normal => "OFF",
        }
    }
}

/// Reads `full` or `normal`.
impl FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(Error::misconfigured(format!(
                "invalid durability {text:?}: it is full or normal"
            ))),
        }
    }
}
