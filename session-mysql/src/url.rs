//! The URL of a server.

use std::fmt::Write;
use std::sync::Arc;

use session_core::{Error, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// The options of a URL, by all their names. The store sets the driver's other options (`charset`,
/// `collation`, `timezone`) itself.
const OPTIONS: [&[&str]; 6] = [
    &["ssl-mode", "sslmode"],
    &["ssl-ca", "sslca"],
    &["ssl-cert", "sslcert"],
    &["ssl-key", "sslkey"],
    &["socket"],
    &["statement-cache-capacity"],
];

/// Parses `url`. The driver's parser ignores unknown options, so they are checked here.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), which quotes only the name
/// of an option, because the URL may contain a password.
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
            "invalid MySQL URL: it takes no #fragment; write a # in a name or password as %23",
        ));
    }
    let mut seen = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(known) = OPTIONS.iter().find(|names| names.contains(&&*name)) else {
            return Err(Error::misconfigured(format!(
                "invalid option {name:?} in the MySQL URL: it takes {}. The store's own options are set \
                 on the builder, or in a URL for the crate `session-store`",
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
            "invalid MySQL URL: the form is mysql://user:password@host:port/database",
        )
    })?;
    Ok(options)
}

/// Refuses values that the driver can't parse and files that do not exist: the driver's message
/// would not name the option.
fn check(name: &str, value: &str) -> Result<()> {
    let wrong = |why: &str| {
        let message = format!("invalid option {name} in the MySQL URL: it {why}");
        Err(Error::misconfigured(message))
    };
    match name {
        "ssl-mode" if value.parse::<MySqlSslMode>().is_err() => {
            wrong("must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        }
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            wrong("must be a number of statements")
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

/// The product and its address, for errors.
pub(crate) fn place(options: &MySqlConnectOptions) -> Arc<str> {
    let mut place = "MySQL at ".to_owned();
    // Writing to a string can't fail.
    let _ = match options.get_socket() {
        Some(socket) => write!(place, "{}", socket.display()),
        None => write!(place, "{}:{}", options.get_host(), options.get_port()),
    };
    place.into()
}
