//! The URL of a group of Sentinels.

use redis::Client;
use session_core::{Error, Result};

use super::Sentinel;
use crate::url::{decode, open, parse};

/// The port of a Sentinel.
const PORT: u16 = 26379;

/// The user name and password of the Sentinels.
#[derive(Default)]
pub(crate) struct SentinelLogin {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl Sentinel {
    /// Reads `user:password@host:port,host:port/group/db`, which is what follows `redis+sentinel://`.
    /// `scheme` is that of a server (`redis` or `rediss`), `query` has the driver's options.
    pub(crate) fn from_url(
        scheme: &str,
        rest: &str,
        query: &str,
        login: &SentinelLogin,
    ) -> Result<Self> {
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (format!("{user}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (group, database) = path.split_once('/').unwrap_or((path, ""));
        let group = decode(group);
        if group.is_empty() {
            return Err(Error::misconfigured(
                "the URL names no group of the Sentinels: redis+sentinel://host1,host2/group",
            ));
        }
        let sentinel = |host| login.client(&format!("{scheme}://{}?{query}", with_port(host)));
        let sentinels: Result<Vec<Client>> = hosts.split(',').map(sentinel).collect();
        // The host stands for that of the primary.
        let server = parse(&format!("{scheme}://{user}primary/{database}?{query}"))?;
        Ok(Self::new(sentinels?, group, open(server)?))
    }
}

impl SentinelLogin {
    fn client(&self, url: &str) -> Result<Client> {
        let info = parse(url)?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        open(info.set_redis_settings(settings))
    }
}

/// The host with the port of a Sentinel, if it has none.
fn with_port(host: &str) -> String {
    let name = host.rfind(']').map_or(host, |end| &host[end..]);
    match name.contains(':') {
        true => host.to_owned(),
        false => format!("{host}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    fn sentinel(rest: &str) -> Result<Sentinel> {
        let login = SentinelLogin {
            user: None,
            password: Some("p".to_owned()),
        };
        Sentinel::from_url("redis", rest, "", &login)
    }

    #[test]
    fn hosts_group_and_database_are_read() {
        let read = sentinel("u:a%2Fb@one,two:7,[::1],[::2]:9/my%20group/3").expect("a URL");
        assert_eq!(
            read.place(),
            "Redis primary of \"my group\" (Sentinels at one:26379, two:7, ::1:26379, ::2:9)"
        );
        let settings = read.server.get_connection_info().redis_settings();
        assert_eq!((settings.username(), settings.db()), (Some("u"), 3));
        assert_eq!(settings.password(), Some("a/b"));
        let settings = read.sentinels[1].get_connection_info().redis_settings();
        assert_eq!(
            (settings.username(), settings.password()),
            (None, Some("p"))
        );
        let settings = sentinel("h/g").expect("a URL").server;
        let settings = settings.get_connection_info().redis_settings().clone();
        assert_eq!((settings.password(), settings.db()), (None, 0));
    }

    #[test]
    fn a_url_that_names_no_group_or_no_sentinel_is_refused() {
        for (rest, named) in [
            ("u:hunter2@h", "no group"),
            ("u:hunter2@h/", "no group"),
            ("u:hunter2@one,,two/g", "invalid Redis URL"),
            ("u:hunter2@/g", "invalid Redis URL"),
            ("u:hunter2@h/g/x", "database number"),
            ("u:hunter2@h/g/1/2", "database number"),
        ] {
            let error = sentinel(rest).map(drop).expect_err(rest);
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{rest}");
            let text = format!("{error} {error:?}");
            assert!(text.contains(named) && !text.contains("hunter2"), "{text}");
        }
    }
}
