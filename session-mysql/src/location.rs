//! From a URL to the driver's options.

use std::fmt::Write;
use std::sync::Arc;

use session_core::{Error, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// The options that a URL takes, by all their names. The driver's others (`charset`, `collation`,
/// `timezone`) are the store's own to set.
const OPTIONS: [&[&str]; 6] = [
    &["ssl-mode", "sslmode"],
    &["ssl-ca", "sslca"],
    &["ssl-cert", "sslcert"],
    &["ssl-key", "sslkey"],
    &["socket"],
    &["statement-cache-capacity"],
];

/// The options in `url`. The parser of the driver ignores what it does not know.
///
/// # Errors
/// [`Error::Misconfigured`], which quotes no more of the URL than the name of an option: there may be
/// a password in it.
pub(crate) fn parse(url: &str) -> Result<MySqlConnectOptions> {
    if !url.starts_with("mysql://") && !url.starts_with("mariadb://") {
        return Err(Error::misconfigured(
            "a MySQL URL begins with mysql:// or mariadb://",
        ));
    }
    let query = url.split_once('?').map_or("", |(_, query)| query);
    if query.contains('@') {
        return Err(Error::misconfigured(
            "the MySQL URL has an @ after the first ?, and its rest is not shown because it may be part of \
             a password: write a ? in a password as %3F, and an @ in an option as %40",
        ));
    }
    if url.contains('#') {
        return Err(Error::misconfigured(
            "a MySQL URL has no part after a #: in a user name, password or path it is written %23",
        ));
    }
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(known) = OPTIONS.iter().find(|names| names.contains(&&*name)) else {
            return Err(Error::misconfigured(format!(
                "a MySQL URL takes no option {name:?}: it takes {}. What is not the driver's is set \
                 on the builder, or in a URL for the crate `session`",
                known_options()
            )));
        };
        if seen.contains(known) {
            return Err(Error::misconfigured(format!(
                "the MySQL URL has the option {name} twice"
            )));
        }
        seen.push(known);
        check(known[0], &value)?;
    }
    let options: MySqlConnectOptions = url.parse().map_err(|_| {
        Error::misconfigured(
            "the MySQL URL can't be read: mysql://user:password@host:port/database",
        )
    })?;
    Ok(options)
}

/// Refuses a value that the driver can't read, and a file that is not there: the driver would say no
/// more than that.
fn check(name: &str, value: &str) -> Result<()> {
    let wrong = |why: &str| {
        let message = format!("the MySQL URL's option {name} {why}");
        Err(Error::misconfigured(message))
    };
    match name {
        "ssl-mode" if value.parse::<MySqlSslMode>().is_err() => {
            wrong("is none of DISABLED, PREFERRED, REQUIRED, VERIFY_CA and VERIFY_IDENTITY")
        }
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            wrong("is not a number of statements")
        }
        "ssl-ca" | "ssl-cert" | "ssl-key" if !value.starts_with("-----BEGIN") => {
            match std::fs::metadata(value) {
                Ok(_) => Ok(()),
                Err(error) => wrong(&format!("names the file {value:?}: {error}")),
            }
        }
        _ => Ok(()),
    }
}

fn known_options() -> String {
    OPTIONS.map(|names| names[0]).join(", ")
}

/// Where the server is, for messages: product and address.
pub(crate) fn place(options: &MySqlConnectOptions) -> Arc<str> {
    let mut place = "MySQL at ".to_owned();
    // Writing to a string can't fail.
    let _ = match options.get_socket() {
        Some(socket) => write!(place, "{}", socket.display()),
        None => write!(place, "{}:{}", options.get_host(), options.get_port()),
    };
    place.into()
}
