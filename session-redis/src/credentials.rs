//! Where the user name and the password of a connection come from.

use std::error::Error as StdError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{ErrorKind, RedisConnectionInfo, RedisResult};

use crate::certificates::read;

/// The user name and password of now, or why there are none.
type Answer = Result<(String, String), Box<dyn StdError + Send + Sync>>;

/// Where the user name and the password of a connection come from.
#[derive(Clone, Default)]
pub(crate) enum Credentials {
    /// The URL or the caller's client.
    #[default]
    Client,
    /// The password comes from a file, the user name from the URL or client.
    File(PathBuf),
    Callback(Arc<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>),
}

impl Credentials {
    pub(crate) fn callback<W>(ask: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Future<Output = Answer> + Send + 'static,
    {
        Self::Callback(Arc::new(move || Box::pin(ask())))
    }

    /// `settings` with the user name and password of now.
    pub(crate) async fn apply(
        &self,
        settings: RedisConnectionInfo,
    ) -> RedisResult<RedisConnectionInfo> {
        match self {
            Self::Client => Ok(settings),
            Self::File(path) => Ok(settings.set_password(password(path)?)),
            Self::Callback(ask) => {
                let (user, password) = ask().await.map_err(|error| {
                    let text = format!("cannot get the user name and password: {error}");
                    std::io::Error::other(text)
                })?;
                let settings = settings.set_password(password);
                Ok(match user.is_empty() {
                    true => settings,
                    false => settings.set_username(user),
                })
            }
        }
    }
}

/// The password in a file, without the line's end.
fn password(path: &Path) -> RedisResult<String> {
    let refuse = |why: &str| {
        let what = "invalid password file";
        let detail = format!("{}: {why}", path.display());
        redis::RedisError::from((ErrorKind::InvalidClientConfig, what, detail))
    };
    let text = String::from_utf8(read(path)?).map_err(|_| refuse("it is not UTF-8"))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(refuse("it is empty"));
    }
    Ok(password.to_owned())
}

/// Shows where they come from.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("Client"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Callback(_) => f.write_str("Callback"),
        }
    }
}
