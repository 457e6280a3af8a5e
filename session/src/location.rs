//! A store's URL, with our own options taken out of its query.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use session_core::{Error, Result};

/// All options that are ours, whichever backend they are for.
const OURS: [&str; 10] = [
    "prefix",
    "ca_file",
    "collection",
    "table",
    "timeout",
    "max_data",
    "migrate",
    "expiry_grace",
    "connections",
    "max_sessions",
];

/// A store's URL, taken apart. It may hold a password, so it has no `Debug`.
pub(crate) struct Location<'a> {
    scheme: &'a str,
    /// Everything before the query.
    base: &'a str,
    /// The driver's options, as they were written.
    theirs: Vec<&'a str>,
    /// Our options, decoded.
    ours: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What follows the query, with its `#`.
    fragment: &'a str,
    /// Whether an `@` follows the first `?`, which then may be a part of a password.
    is_split_late: bool,
}

impl<'a> Location<'a> {
    pub(crate) fn parse(url: &'a str) -> Result<Self> {
        let Some((scheme, _)) = url.split_once(':') else {
            return Err(Error::misconfigured(
                "a store is named by a URL, such as memory: or redis://127.0.0.1/",
            ));
        };
        // Not a URL parser's work: MongoDB's URLs name several hosts.
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let is_split_late = query.contains('@');
        let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match form_urlencoded::parse(pair.as_bytes()).next() {
                Some((name, value)) if OURS.contains(&&*name) => ours.push((name, value)),
                _ => theirs.push(pair),
            }
        }
        Ok(Self {
            scheme,
            base,
            theirs,
            ours,
            fragment,
            is_split_late,
        })
    }

    pub(crate) fn scheme(&self) -> &'a str {
        self.scheme
    }

    /// The URL without our options.
    pub(crate) fn driver_url(&self) -> String {
        if self.theirs.is_empty() {
            return format!("{}{}", self.base, self.fragment);
        }
        let theirs = self.theirs.join("&");
        format!("{}?{theirs}{}", self.base, self.fragment)
    }

    /// Fails if what looks like an option may be a part of a password: if an `@` follows, or its name
    /// can't be one.
    pub(crate) fn check_options(&self) -> Result<()> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let mut names = self.theirs.iter().map(|pair| pair.split('=').next());
        let wrong = match self.is_split_late {
            true => "an @ after the first ?",
            false if names.all(|name| name.is_some_and(|name| name.chars().all(is_name))) => {
                return Ok(());
            }
            false => "an option whose name can't be right",
        };
        Err(Error::misconfigured(format!(
            "the {} URL has {wrong}. What is there is not shown, for it may be a part of a password: \
             in that, a ? is written %3F and a & %26, and in an option an @ is %40",
            self.scheme
        )))
    }

    /// Takes the option `name` out, as text.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        let at = self.ours.iter().position(|(ours, _)| ours == name)?;
        Some(self.ours.remove(at).1.into_owned())
    }

    /// Takes the option `name` out, as a number or truth value.
    pub(crate) fn take_parsed<T: FromStr>(
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
    pub(crate) fn take_duration(&mut self, name: &'static str) -> Result<Option<Duration>> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        parse_duration(&text)
            .map(Some)
            .ok_or_else(|| bad_option(name, &text, "500ms, 5s, 10m or 1h"))
    }

    /// Fails if an option of ours is left that this backend does not know.
    pub(crate) fn finish(&self, known: &[&str]) -> Result<()> {
        match self.ours.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::misconfigured(format!(
                "invalid option {name:?} in the URL: {} URLs take {}, each once",
                self.scheme,
                known.join(", ")
            ))),
        }
    }

    /// Fails if the driver's part has an option that the driver does not know, where the driver
    /// itself says nothing of it or does not know of `ours`.
    #[cfg(feature = "redis")]
    pub(crate) fn refuse_unknown(&self, drivers: &[&str], ours: &[&str]) -> Result<()> {
        let names = self.theirs.iter().map(|pair| pair.split('=').next());
        match names.flatten().find(|name| !drivers.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Error::misconfigured(format!(
                "invalid option {name:?} in the URL: {} URLs take {}, {}",
                self.scheme,
                ours.join(", "),
                drivers.join(", ")
            ))),
        }
    }

    /// Fails if the driver's part has options: for a backend without a driver.
    pub(crate) fn refuse_others(&self, known: &[&str]) -> Result<()> {
        match self.theirs.first() {
            None => Ok(()),
            Some(pair) => {
                let name = pair.split('=').next().unwrap_or_default();
                Err(Error::misconfigured(format!(
                    "invalid option {name:?} in the URL: {} URLs take {}",
                    self.scheme,
                    known.join(", ")
                )))
            }
        }
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
        location.finish(&[]).expect("nothing left");
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
        let error = location.finish(&["prefix"]).expect_err("not Redis'");
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
