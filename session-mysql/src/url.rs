//! The URL of a server.

use std::fmt::Write;
use std::sync::Arc;

use session_core::Result;
use session_sql::{UrlRules, check_pem};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

/// The store sets the driver's other options (`charset`, `collation`, `timezone`) itself.
const RULES: UrlRules = UrlRules {
    product: "MySQL",
    schemes: ["mysql://", "mariadb://"],
    options: &[
        &["ssl-mode", "sslmode"],
        &["ssl-ca", "sslca"],
        &["ssl-cert", "sslcert"],
        &["ssl-key", "sslkey"],
        &["socket"],
        &["statement-cache-capacity"],
    ],
    check,
};

/// Parses `url`.
///
/// # Errors
/// As [`UrlRules::parse`].
pub(crate) fn parse(url: &str) -> Result<MySqlConnectOptions> {
    RULES.parse(url)
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(why.to_owned());
    match name {
        "ssl-mode" if value.parse::<MySqlSslMode>().is_err() => {
            wrong("must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
        }
        "statement-cache-capacity" if value.parse::<usize>().is_err() => {
            wrong("must be a number of statements")
        }
        "ssl-ca" | "ssl-cert" | "ssl-key" => check_pem(value),
        _ => Ok(()),
    }
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
