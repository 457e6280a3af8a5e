//! The URL of a server.

use std::fmt::Write;
use std::sync::Arc;

use session_core::{Error, Result};
use session_sql::{UrlRules, check_pem};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

const RULES: UrlRules = UrlRules {
    product: "PostgreSQL",
    schemes: ["postgres://", "postgresql://"],
    options: &[
        &["sslmode", "ssl-mode"],
        &["sslrootcert", "ssl-root-cert", "ssl-ca"],
        &["sslcert", "ssl-cert"],
        &["sslkey", "ssl-key"],
        &["host"],
        &["application_name"],
        &["options"],
        &["statement-cache-capacity"],
    ],
    check,
};

/// Parses `url`.
///
/// # Errors
/// As [`UrlRules::parse`].
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions> {
    RULES.parse(url)
}

fn check(name: &str, value: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(why.to_owned());
    match name {
        "sslmode" if value.parse::<PgSslMode>().is_err() => {
            wrong("must be disable, allow, prefer, require, verify-ca or verify-full")
        }
        // With none, the driver would never close a statement.
        "statement-cache-capacity" if !value.parse().is_ok_and(|size: usize| size > 0) => {
            wrong("must be a number of statements over zero")
        }
        "sslrootcert" | "sslcert" | "sslkey" => check_pem(value),
        _ => Ok(()),
    }
}

/// Refuses a setting with which a crash of the server would undo acknowledged writes. `options` are
/// those of a connection, as in the variable `PGOPTIONS`.
pub(crate) fn check_settings(options: &str) -> Result<()> {
    match settings(options).any(|setting| is_commit_without_disk(&setting)) {
        false => Ok(()),
        true => Err(Error::misconfigured(
            "the PostgreSQL option synchronous_commit=off is not safe for sessions: a crash of the \
             server would undo acknowledged writes; use on, or leave it out",
        )),
    }
}

/// The settings in `options`, as `name=value`: each follows `-c`, or begins with `--`.
fn settings(options: &str) -> impl Iterator<Item = String> {
    let mut is_next = false;
    options.split_whitespace().filter_map(move |word| {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => {
                is_next = true;
                return None;
            }
            Some(setting) => setting,
            None if is_next => word,
            None => return None,
        };
        is_next = false;
        Some(setting.to_ascii_lowercase())
    })
}

fn is_commit_without_disk(setting: &str) -> bool {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    // The server takes a hyphen in a name for an underscore.
    name.replace('-', "_") == "synchronous_commit" && ["off", "false", "no", "0"].contains(&value)
}

/// The product and its address, for errors.
pub(crate) fn place(options: &PgConnectOptions) -> Arc<str> {
    let mut place = "PostgreSQL at ".to_owned();
    // Writing to a string can't fail.
    let _ = match options.get_socket() {
        Some(socket) => write!(place, "{}", socket.display()),
        None => write!(place, "{}:{}", options.get_host(), options.get_port()),
    };
    place.into()
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    #[test]
    fn a_commit_that_does_not_wait_for_the_disk_is_refused() {
        for (options, is_safe) in [
            ("", true),
            ("-c synchronous_commit=on", true),
            ("-c synchronous_commit=remote_apply -c geqo=off", true),
            ("-c search_path=synchronous_commit", true),
            ("-c synchronous_commit=off", false),
            ("-c geqo=off -c synchronous_commit=off", false),
            ("-csynchronous_commit=OFF", false),
            ("--synchronous-commit=false", false),
            ("-c  Synchronous_Commit=0", false),
        ] {
            let checked = check_settings(options);
            assert_eq!(checked.is_ok(), is_safe, "{options}");
            if let Err(error) = checked {
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                assert!(error.to_string().contains("synchronous_commit=off"));
            }
        }
    }
}
