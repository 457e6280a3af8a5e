//! The principal a session belongs to.

use std::fmt;
use std::sync::Arc;

use crate::{Error, Result};

/// The principal a session belongs to, such as a user's id: 1 to 1,024 bytes of any text.
///
/// It is what "my devices" lists and "log out everywhere" ends. It is stored readably and shown
/// in logs and listings, so use an internal id rather than an e-mail address.
///
/// Functions that need one take whatever converts into it: `&str`, `&String`, `String`, `&Owner`,
/// `Owner`, and an integer (as its decimal digits). Give other ids as text, such as
/// `uuid.to_string()`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use session_core::{Owner, Sessions};
/// # let sessions = Sessions::new(session_memory::MemoryStore::new());
///
/// let owner = Owner::new("user-1769")?;
/// sessions.start().sign_in(&owner).await?;
/// sessions.start().sign_in("user-1769").await?;                // the same owner
/// assert_eq!(sessions.owned_by(&owner).await?.len(), 2);
/// assert!(Owner::new("").is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// The longest owner any store must take, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// An owner named `name`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) over 1,024 bytes,
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if empty.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(Error::misconfigured("an owner must not be empty"));
        }
        Error::check_size("owner", name.len(), Self::MAX_BYTES)?;
        Ok(Self(name.into()))
    }

    /// The owner's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Owner {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<String> for Owner {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        Self::new(name)
    }
}

impl TryFrom<&String> for Owner {
    type Error = Error;

    fn try_from(name: &String) -> Result<Self> {
        Self::new(name)
    }
}

impl From<&Owner> for Owner {
    fn from(owner: &Owner) -> Self {
        owner.clone()
    }
}

/// Numbers as users' ids: decimal digits.
macro_rules! from_integer {
    ($($integer:ty)*) => {
        $(impl From<$integer> for Owner {
            fn from(id: $integer) -> Self {
                Self(id.to_string().into())
            }
        })*
    };
}
from_integer!(u32 u64 i32 i64);

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:?})", &*self.0)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
