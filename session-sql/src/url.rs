//! The URL of a server, as drivers take it.

use std::str::FromStr;

use session_core::{Error, Result};

/// What the URLs of one product are.
#[derive(Clone, Copy, Debug)]
pub struct UrlRules {
    /// The product.
    pub product: &'static str,
    /// How a URL may begin.
    pub schemes: [&'static str; 2],
    /// The driver's options, each by all its names. The driver's parser ignores others.
    pub options: &'static [&'static [&'static str]],
    /// Says what is wrong with the value of an option, by its first name.
    pub check: fn(&str, &str) -> Result<(), String>,
}

impl UrlRules {
    /// Parses `url`.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), which quotes only the
    /// name of an option, because the URL may contain a password.
    pub fn parse<T: FromStr>(&self, url: &str) -> Result<T> {
        let (product, [first, second]) = (self.product, self.schemes);
        let wrong = |what: String| Err(Error::misconfigured(what));
        if !self.schemes.iter().any(|scheme| url.starts_with(scheme)) {
            return wrong(format!("a {product} URL begins with {first} or {second}"));
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        if query.contains('@') {
            return wrong(format!(
                "the {product} URL has an @ after the first ?, and its rest is not shown because it \
                 may be part of a password: write a ? in a password as %3F, and an @ in an option as \
                 %40"
            ));
        }
        if url.contains('#') {
            return wrong(format!(
                "invalid {product} URL: it takes no #fragment; write a # in a name or password as %23"
            ));
        }
        self.check_options(query)?;
        url.parse().or_else(|_| {
            wrong(format!(
                "invalid {product} URL: the form is {first}user:password@host:port/database"
            ))
        })
    }

    fn check_options(&self, query: &str) -> Result<()> {
        let product = self.product;
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(known) = self.options.iter().find(|names| names.contains(&&*name)) else {
                let known: Vec<&str> = self.options.iter().map(|names| names[0]).collect();
                return Err(Error::misconfigured(format!(
                    "invalid option {name:?} in the {product} URL: it takes {}. The store's own \
                     options are set on the builder, or in a URL for the crate `session-store`",
                    known.join(", ")
                )));
            };
            if seen.contains(known) {
                return Err(Error::misconfigured(format!(
                    "the {product} URL has the option {name} twice"
                )));
            }
            seen.push(known);
            // The driver's message would not name the option.
            (self.check)(known[0], &value).map_err(|why| {
                let option = known[0];
                Error::misconfigured(format!(
                    "invalid option {option} in the {product} URL: it {why}"
                ))
            })?;
        }
        Ok(())
    }
}

/// Says what is wrong with an option that is a PEM text, or names a file of one.
///
/// # Errors
/// If there is no such file.
pub fn check_pem(value: &str) -> Result<(), String> {
    if value.starts_with("-----BEGIN") {
        return Ok(());
    }
    match std::fs::metadata(value) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("names the file {value:?}: {error}")),
    }
}
