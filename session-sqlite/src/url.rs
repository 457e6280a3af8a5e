//! The URL of a file.

use std::sync::Arc;

use session_core::{Error, Result};
use sqlx::sqlite::SqliteConnectOptions;

use crate::file;

/// The name of a database in memory.
const IN_MEMORY: &str = ":memory:";

/// Parses `url`: the driver's forms, without its options, which would break a store. The path is
/// absolute, because the program may change its working directory while connections are opened.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured).
pub(crate) fn parse(url: &str) -> Result<SqliteConnectOptions> {
    let invalid = |why: &str| Err(Error::misconfigured(format!("invalid SQLite URL: {why}")));
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return invalid("it begins with sqlite:, as sqlite:sessions.db or sqlite::memory:");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return invalid(
            "it takes no options. The store's own options are set on the builder, or in a URL for \
             the crate `session-store`; write a ? in a name as %3F",
        );
    }
    if path.contains('#') {
        return invalid("it has no fragment; write a # in a name as %23");
    }
    if path.is_empty() {
        return invalid("it names no file: sqlite:sessions.db, or sqlite::memory:");
    }
    let options: SqliteConnectOptions = match url.parse() {
        Ok(options) => options,
        Err(_) => return invalid("the name of the file is not UTF-8"),
    };
    if path == IN_MEMORY {
        return Ok(options.filename(file::name_in_memory()));
    }
    // The name without its escapes, as SQLite reads it.
    let name = options.get_filename();
    let begins = |with: &str| name.to_str().is_some_and(|name| name.starts_with(with));
    if begins(file::URI) {
        return invalid("write sqlite:name, not sqlite:file:name");
    }
    if begins(":") {
        return invalid(
            "a name that begins with a colon is SQLite's own: write sqlite::memory:, without \
             escapes, or sqlite:./:name",
        );
    }
    if name.to_str().is_some_and(|name| name.contains('\0')) {
        return invalid("the name of the file contains a NUL");
    }
    match std::path::absolute(name) {
        Ok(path) => Ok(options.filename(path)),
        Err(why) => invalid(&format!("there is no working directory: {why}")),
    }
}

/// The product and its file, for errors.
pub(crate) fn place(options: &SqliteConnectOptions) -> Arc<str> {
    match file::path(options) {
        Some(path) => format!("SQLite at {}", path.display()).into(),
        None => "SQLite in memory".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn here(name: &str) -> String {
        let directory = std::env::current_dir().expect("a working directory");
        directory.join(name).display().to_string()
    }

    #[test]
    fn files_are_named_in_the_forms_of_the_driver() {
        for (url, path) in [
            ("sqlite:sessions.db", &*here("sessions.db")),
            ("sqlite://sessions.db", &*here("sessions.db")),
            ("sqlite:./:memory:", &*here(":memory:")),
            ("sqlite:a%2341.db", &*here("a#41.db")),
            (
                "sqlite:///var/lib/app/sessions.db",
                "/var/lib/app/sessions.db",
            ),
            ("sqlite:/var/lib/app/a%20b%3F.db", "/var/lib/app/a b?.db"),
        ] {
            let options = parse(url).expect("a good URL");
            assert_eq!(file::path(&options), Some(Path::new(path)), "{url}");
            assert_eq!(&*place(&options), format!("SQLite at {path}"));
        }
        for url in ["sqlite::memory:", "sqlite://:memory:"] {
            let options = parse(url).expect("a good URL");
            assert!(file::is_in_memory(&options));
            assert_eq!(&*place(&options), "SQLite in memory");
            let other = parse(url).expect("a good URL");
            assert_ne!(options.get_filename(), other.get_filename());
        }
    }

    #[test]
    fn urls_that_would_break_a_store_are_refused_with_the_reason() {
        for (url, why) in [
            ("sessions.db", "begins with sqlite:"),
            ("sqlite:", "names no file"),
            ("sqlite://", "names no file"),
            ("sqlite:a.db?mode=ro", "takes no options"),
            ("sqlite:a.db?immutable=1", "takes no options"),
            ("sqlite:file:a.db", "write sqlite:name"),
            ("sqlite:file%3Aa.db", "write sqlite:name"),
            ("sqlite:%3Amemory%3A", "begins with a colon"),
            ("sqlite:%3amemory:", "begins with a colon"),
            ("sqlite::a.db", "begins with a colon"),
            ("sqlite:a.db#b", "write a # in a name as %23"),
            ("sqlite:a%00b.db", "NUL"),
            ("sqlite:a%ffb.db", "not UTF-8"),
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
