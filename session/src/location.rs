//! A store's URL, with our own options taken out of its query.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use session_core::{Error, Result};

/// The options of the built-in backends, whichever they are for: no driver knows them.
const OURS: [&str; 13] = [
    "prefix",
    "ca_file",
    "collection",
    "table",
    "timeout",
    "max_data",
    "migrate",
    "expiry_grace",
    "expiry_reports",
    "connections",
    "readers",
    "durability",
    "max_sessions",
];

/// A store's URL, taken apart: what a function that is registered with
/// [`Schemes`](crate::Schemes) gets.
///
/// It takes its own options out of the query, checks by [`finish`](Self::finish) or
/// [`finish_with`](Self::finish_with) that no wrong one is left, and gives the
/// [rest](Self::driver_url) to its driver. The URL may hold a password, which neither `Debug` nor
/// an error shows.
pub struct Location {
    scheme: String,
    /// Everything before the query.
    base: String,
    /// The options that were not yet taken.
    options: Vec<UrlOption>,
    /// The names that were asked for.
    known: Vec<&'static str>,
    /// What follows the query, with its `#`.
    fragment: String,
    /// Whether an `@` follows the first `?`, which then may be a part of a password.
    is_split_late: bool,
}

struct UrlOption {
    /// As it stands in the URL.
    written: String,
    name: String,
    value: String,
}

impl Location {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let Some((scheme, _)) = url.split_once(':') else {
            return Err(Error::misconfigured(
                "a store is named by a URL, such as memory: or redis://127.0.0.1/",
            ));
        };
        // Not a URL parser's work: MongoDB's URLs name several hosts.
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let is_split_late = query.contains('@');
        let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Self {
            scheme: scheme.to_owned(),
            base: base.to_owned(),
            options: pairs.map(UrlOption::parse).collect(),
            known: Vec::new(),
            fragment: fragment.to_owned(),
            is_split_late,
        })
    }

    /// The URL's scheme, such as `redis`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The URL without the options that were taken out. It may hold a password.
    #[must_use]
    pub fn driver_url(&self) -> String {
        if self.options.is_empty() {
            return format!("{}{}", self.base, self.fragment);
        }
        let written = self.options.iter().map(|option| &*option.written);
        let query = written.collect::<Vec<_>>().join("&");
        format!("{}?{query}{}", self.base, self.fragment)
    }

    /// Fails if what looks like an option may be a part of a password: if an `@` follows, or its
    /// name can't be one.
    pub(crate) fn check_options(&self) -> Result<()> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let is_name = |option: &UrlOption| {
            OURS.contains(&&*option.name) || option.written_name().chars().all(is_allowed)
        };
        let wrong = match self.is_split_late {
            true => "an @ after the first ?",
            false if self.options.iter().all(is_name) => return Ok(()),
            false => "an option whose name can't be right",
        };
        Err(Error::misconfigured(format!(
            "the {} URL has {wrong}. What is there is not shown, for it may be a part of a password: \
             in that, a ? is written %3F and a & %26, and in an option an @ is %40",
            self.scheme
        )))
    }

    /// Takes the option `name` out, as text, without its URL encoding.
    pub fn take(&mut self, name: &'static str) -> Option<String> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        let at = self.options.iter().position(|option| option.name == name)?;
        Some(self.options.remove(at).value)
    }

    /// Takes the option `name` out, as a number or truth value.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if it is none: the message
    /// names the option, its value and `example`.
    pub fn take_parsed<T: FromStr>(
        &mut self,
        name: &'static str,
        example: &str,
    ) -> Result<Option<T>> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| bad_option(name, &text, example))
    }

    /// Takes the option `name` out, as a duration such as `500ms`, `5s`, `10m` or `1h`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) if it is none: the message
    /// names the option and its value.
    pub fn take_duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        parse_duration(&text)
            .map(Some)
            .ok_or_else(|| bad_option(name, &text, "500ms, 5s, 10m or 1h"))
    }

    /// Takes `timeout` out: the longest that a store operation may take.
    ///
    /// # Errors
    /// As [`take_duration`](Self::take_duration).
    pub fn take_timeout(&mut self) -> Result<Option<Duration>> {
        self.take_duration("timeout")
    }

    /// Takes `max_data` out: the most bytes of one session's data.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed).
    pub fn take_max_data(&mut self) -> Result<Option<usize>> {
        self.take_parsed("max_data", "1048576")
    }

    /// Takes `migrate` out: whether the store makes or changes its schema.
    ///
    /// # Errors
    /// As [`take_parsed`](Self::take_parsed).
    pub fn take_migrate(&mut self) -> Result<Option<bool>> {
        self.take_parsed("migrate", "true or false")
    }

    /// Checks what is left for a driver that refuses options it doesn't know: none that was taken
    /// is there twice, and none is a built-in backend's. Call it after the last option was taken.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured), which lists the options that
    /// were asked for.
    pub fn finish(&self) -> Result<()> {
        self.check_taken(&[])
    }

    /// Fails if an option that was taken is there again, or one of a built-in backend that is none of
    /// the `drivers`.
    fn check_taken(&self, drivers: &[&str]) -> Result<()> {
        let is_wrong = |name: &str| {
            self.known.contains(&name) || (OURS.contains(&name) && !drivers.contains(&name))
        };
        match self.options.iter().find(|option| is_wrong(&option.name)) {
            None => Ok(()),
            Some(UrlOption { name, .. }) => Err(self.invalid(name, drivers, ", each once")),
        }
    }

    fn invalid(&self, name: &str, drivers: &[&str], how: &str) -> Error {
        let scheme = &self.scheme;
        let options = [&self.known, drivers].concat().join(", ");
        Error::misconfigured(match options.is_empty() {
            true => format!("invalid option {name:?} in the URL: {scheme} URLs take no options"),
            false => {
                format!("invalid option {name:?} in the URL: {scheme} URLs take {options}{how}")
            }
        })
    }

    /// As [`finish`](Self::finish), for a driver that ignores options it doesn't know: only
    /// `drivers` may be left. With none of them, no option may be left.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_with(&self, drivers: &[&str]) -> Result<()> {
        self.check_taken(drivers)?;
        let mut names = self.options.iter().map(UrlOption::written_name);
        match names.find(|name| !drivers.contains(name)) {
            None => Ok(()),
            Some(name) => Err(self.invalid(name, drivers, "")),
        }
    }
}

/// Shows the scheme: the rest may hold a password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl UrlOption {
    fn parse(pair: &str) -> Self {
        let decoded = form_urlencoded::parse(pair.as_bytes()).next();
        let (name, value) = decoded.unwrap_or_default();
        Self {
            written: pair.to_owned(),
            name: name.into_owned(),
            value: value.into_owned(),
        }
    }

    fn written_name(&self) -> &str {
        self.written.split('=').next().unwrap_or_default()
    }
}

fn bad_option(name: &str, text: &str, example: &str) -> Error {
    Error::misconfigured(format!(
        "the URL option {name} is {text:?}: it must be like {example}"
    ))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(millis_per_unit)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_options_are_taken_out_and_the_drivers_left() {
        let url = "mongodb://u:p%40@a:1,b:2/db?replicaSet=rs0&collection=a%26b&timeout=250ms&w=1";
        let mut location = Location::parse(url).expect("a URL");
        assert_eq!(location.scheme(), "mongodb");
        assert_eq!(location.take("collection").as_deref(), Some("a&b"));
        let timeout = location.take_duration("timeout").expect("a duration");
        assert_eq!(timeout, Some(Duration::from_millis(250)));
        location.finish().expect("nothing left");
        assert_eq!(
            location.driver_url(),
            "mongodb://u:p%40@a:1,b:2/db?replicaSet=rs0&w=1"
        );
    }

    #[test]
    fn a_url_without_options_is_passed_on_as_it_is() {
        for url in [
            "redis://127.0.0.1/",
            "rediss://:secret@h:1/2?protocol=resp3",
        ] {
            assert_eq!(Location::parse(url).expect("a URL").driver_url(), url);
        }
    }

    #[test]
    fn a_fragment_is_no_part_of_an_option() {
        let url = "rediss://h/?protocol=resp3&prefix=a#insecure";
        let mut location = Location::parse(url).expect("a URL");
        assert_eq!(location.take("prefix").as_deref(), Some("a"));
        assert_eq!(location.driver_url(), "rediss://h/?protocol=resp3#insecure");
        let mut location = Location::parse("redis://h/?prefix=a#b").expect("a URL");
        assert_eq!(location.take("prefix").as_deref(), Some("a"));
        assert_eq!(location.driver_url(), "redis://h/#b");
    }

    #[test]
    fn wrong_options_are_named() {
        let mut location = Location::parse("redis://h?table=t&timeout=soon").expect("a URL");
        let error = location.take_duration("timeout").expect_err("no duration");
        assert!(error.to_string().contains("soon"), "{error}");
        let error = location.finish().expect_err("not Redis'");
        assert!(error.to_string().contains("table"), "{error}");
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("0s", 0),
            ("1ms", 1),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)));
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1d",
            "1 s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }
}
