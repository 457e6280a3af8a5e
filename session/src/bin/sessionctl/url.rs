//! Where the URL of a store comes from. It may hold a password, so it is never shown.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use session_store::SessionStore;

use crate::arguments::{StoreOption, StoreUrl};
use crate::exit::Failure;
use crate::hide;

/// The variable that names the store where no argument does.
const VARIABLE: &str = "SESSION_STORE_URL";

/// A URL as an argument gives it: itself, `@FILE` or `env:NAME`.
#[derive(Clone)]
pub(crate) struct UrlArgument(String);

/// A store's URL.
#[derive(Clone)]
pub(crate) struct Url(String);

/// Whether a store that is not set up yet is set up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// Leave tables and indexes as they are, unless the URL says otherwise: a command that looks into
    /// a store must not make one by a slip of the pen.
    Never,
    /// Create or upgrade what is missing, unless the URL says otherwise.
    Always,
}

impl FromStr for UrlArgument {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UrlArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlArgument(…)")
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({}:…)", self.scheme())
    }
}

impl UrlArgument {
    pub(crate) fn read(&self) -> Result<Url, Failure> {
        if let Some(file) = self.0.strip_prefix('@') {
            return Url::from_file(file.as_ref());
        }
        match self.0.strip_prefix("env:") {
            Some(name) => match hide::kept(name) {
                Some(url) => Url::parse(url),
                None => Url::from_variable(name)?
                    .ok_or_else(|| Failure::usage(format!("the variable {name} is not set"))),
            },
            None => Url::parse(&self.0),
        }
    }
}

impl StoreUrl {
    pub(crate) fn read(&self) -> Result<Url, Failure> {
        read(self.url.as_ref(), self.url_file.as_deref())
    }
}

impl StoreOption {
    pub(crate) fn read(&self) -> Result<Url, Failure> {
        read(self.url.as_ref(), self.url_file.as_deref())
    }
}

/// `clap` has seen to it that not both are given.
fn read(argument: Option<&UrlArgument>, file: Option<&Path>) -> Result<Url, Failure> {
    match (argument, file) {
        (Some(argument), _) => argument.read(),
        (None, Some(file)) => Url::from_file(file),
        (None, None) => Url::from_variable(VARIABLE)?.ok_or_else(|| {
            Failure::usage(format!(
                "no store is named: give its URL, --url-file FILE, or the variable {VARIABLE}"
            ))
        }),
    }
}

impl Url {
    fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        match text.contains(':') {
            true => Ok(Self(text.to_owned())),
            false => Err(Failure::usage(
                "a store is named by a URL, such as sqlite:sessions.db or redis://127.0.0.1/",
            )),
        }
    }

    fn from_file(file: &Path) -> Result<Self, Failure> {
        let at = format!("the URL in the file {}", file.display());
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read {at}: {error}")))?;
        Self::parse(&text).map_err(|failure| failure.at(&at))
    }

    fn from_variable(name: &str) -> Result<Option<Self>, Failure> {
        match std::env::var(name) {
            Ok(text) => Self::parse(&text)
                .map(Some)
                .map_err(|failure| failure.at(&format!("the variable {name}"))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failure::usage(format!("the variable {name} is no UTF-8")))
            }
        }
    }

    /// What may be shown of it.
    pub(crate) fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The whole URL, with its password: for `session_store::connect` and the like only.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Where the store is: the URL without user, password and the options that do not name a place.
    pub(crate) fn place(&self) -> String {
        const PLACES: [&str; 4] = ["prefix", "collection", "table", "schema"];
        // A password may hold an `@` and a `?`; what follows the last `@` holds none.
        let (scheme, rest) = (self.scheme(), &self.0[self.scheme().len()..]);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let rest = rest.split('#').next().unwrap_or_default();
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_place = |pair: &&str| PLACES.contains(&pair.split('=').next().unwrap_or_default());
        let named: Vec<_> = query.split('&').filter(is_place).collect();
        let place = place.trim_start_matches([':', '/']);
        match named.is_empty() {
            true => format!("{scheme}:{place}"),
            false => format!("{scheme}:{place}?{}", named.join("&")),
        }
    }

    /// Whether the URL has this option with this value.
    pub(crate) fn says(&self, option: &str, value: &str) -> bool {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let said = format!("{option}={value}");
        query.split('&').any(|pair| pair == said)
    }

    /// The same URL with this option of ours, unless it has it already.
    pub(crate) fn with_default(&self, option: &str, value: &str) -> Self {
        let (url, fragment) = self.0.split_at(self.0.find('#').unwrap_or(self.0.len()));
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let is_option = |pair: &str| pair.split('=').next() == Some(option);
        if query.split('&').any(is_option) {
            return self.clone();
        }
        let sign = match (url.contains('?'), query.is_empty()) {
            (false, _) => "?",
            (true, true) => "",
            (true, false) => "&",
        };
        Self(format!("{url}{sign}{option}={value}{fragment}"))
    }

    /// The same URL with this option of ours in the place of any that it has.
    pub(crate) fn with(&self, option: &str, value: &str) -> Self {
        let (url, fragment) = self.0.split_at(self.0.find('#').unwrap_or(self.0.len()));
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let others = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(option);
        let others: Vec<&str> = query.split('&').filter(others).collect();
        let query = match others.is_empty() {
            true => String::new(),
            false => format!("?{}", others.join("&")),
        };
        Self(format!("{base}{query}{fragment}")).with_default(option, value)
    }

    /// Connects to the store, which another process has to share: one in this process' memory is
    /// refused.
    pub(crate) async fn connect(&self, set_up: SetUp) -> Result<Arc<dyn SessionStore>, Failure> {
        if self.scheme() == "memory" {
            return Err(Failure::usage(
                "a store in memory belongs to the process that has it: no other can look into it",
            ));
        }
        let url = match set_up {
            SetUp::Never => self.with_default("migrate", "false"),
            SetUp::Always => self.clone(),
        };
        Ok(session_store::connect(url.secret()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn an_option_is_added_once_and_where_options_stand() {
        for (given, with) in [
            ("sqlite:a.db", "sqlite:a.db?migrate=false"),
            ("mysql://h/db?", "mysql://h/db?migrate=false"),
            ("mysql://h/db?table=t", "mysql://h/db?table=t&migrate=false"),
            ("mysql://h/db?migrate=true", "mysql://h/db?migrate=true"),
            ("redis://h/#insecure", "redis://h/?migrate=false#insecure"),
        ] {
            assert_eq!(url(given).with_default("migrate", "false").secret(), with);
        }
    }

    #[test]
    fn an_option_takes_the_place_of_one_that_is_there() {
        for (given, with) in [
            ("mysql://h/db?table=a", "mysql://h/db?table=t"),
            (
                "mysql://h/db?x=1&table=a&y=2#f",
                "mysql://h/db?x=1&y=2&table=t#f",
            ),
            ("mysql://h/db", "mysql://h/db?table=t"),
        ] {
            assert_eq!(url(given).with("table", "t").secret(), with);
        }
    }

    #[test]
    fn a_place_has_no_password() {
        for (given, place) in [
            (
                "redis://u:p@ss?@h:1/2?prefix=a&timeout=5s",
                "redis:h:1/2?prefix=a",
            ),
            ("sqlite:/var/a.db?migrate=true", "sqlite:var/a.db"),
            (
                "mysql://h/db?ssl-mode=required&table=t",
                "mysql:h/db?table=t",
            ),
        ] {
            assert_eq!(url(given).place(), place);
        }
        assert!(url("mysql://h/db?migrate=false").says("migrate", "false"));
        assert!(!url("mysql://h/db").says("migrate", "false"));
    }

    #[test]
    fn a_url_shows_its_scheme_only() {
        let secret = "redis://user:pass-word@host/";
        assert_eq!(format!("{:?}", url(secret)), "Url(redis:…)");
        let argument: UrlArgument = secret.parse().expect("any text");
        assert_eq!(format!("{argument:?}"), "UrlArgument(…)");
    }
}
