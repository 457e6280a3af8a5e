//! Takes passwords out of what `ps` shows.
//!
//! A program can't change its own command line without unsafe code, so it runs itself again: the
//! URL moves into the environment, which only the same user and root can read, and `env:NAME`
//! stands in its place. Until then, for some milliseconds, the URL can be seen.

use std::env;
use std::ffi::OsString;
use std::sync::OnceLock;

/// Begins the names of the variables that this program passes URLs to itself in.
const PREFIX: &str = "SESSIONCTL_HIDDEN_URL_";

/// The URLs by their names, where the program could not run itself again.
static KEPT: OnceLock<Vec<(String, String)>> = OnceLock::new();

/// Runs the program anew without the URLs in its command line that may hold a password. Returns the
/// command line if there is none; if that is not possible, with a warning and without the URLs, so
/// that no message quotes them.
pub(crate) fn hide_passwords() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    let mut hidden = Vec::new();
    for (index, argument) in arguments.iter_mut().enumerate().skip(1) {
        let Some((option, url)) = secret_url(argument) else {
            continue;
        };
        let name = format!("{PREFIX}{index}");
        let replaced = format!("{option}env:{name}");
        hidden.push((name, url.to_owned()));
        *argument = replaced.into();
    }
    if !hidden.is_empty() {
        let why = run_again(&arguments, &hidden);
        crate::output::warn(&format!(
            "the URL on the command line may hold a password, which `ps` shows to all users of this \
             machine ({why}): give it in the environment (SESSION_STORE_URL) or in a file \
             (--url-file FILE, @FILE)"
        ));
        // Set once: the program hides them once.
        let _ = KEPT.set(hidden);
    }
    arguments
}

/// The URL that was hidden under this name, if it is kept here and not in the environment.
pub(crate) fn kept(name: &str) -> Option<&'static str> {
    let (_, url) = KEPT.get()?.iter().find(|(kept, _)| kept == name)?;
    Some(url)
}

/// The option before it with its `=`, and the URL, if the argument has one that may hold a password.
fn secret_url(argument: &OsString) -> Option<(&str, &str)> {
    let text = argument.to_str()?;
    let (option, url) = match text.strip_prefix("--url=") {
        Some(url) => ("--url=", url),
        None => ("", text),
    };
    // Some URLs have no `//`, and some options have a password in the query.
    let may_be_secret = url.contains('@') || url.to_ascii_lowercase().contains("pass");
    let is_url = url.contains(':') && !url.starts_with(['@', '-', '/', '.']);
    let is_named = url.starts_with("env:");
    (is_url && may_be_secret && !is_named).then_some((option, url))
}

#[cfg(unix)]
fn run_again(arguments: &[OsString], hidden: &[(String, String)]) -> String {
    use std::os::unix::process::CommandExt;

    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let mut command = std::process::Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    // Comes back only if it fails.
    command.envs(hidden.iter().cloned()).exec().to_string()
}

#[cfg(not(unix))]
fn run_again(_: &[OsString], _: &[(String, String)]) -> String {
    "they can't be hidden on this system".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_with_passwords_are_found_and_nothing_else() {
        for (argument, found) in [
            ("redis://:secret@host/", Some(("", "redis://:secret@host/"))),
            (
                "--url=mysql://u:p@h/db",
                Some(("--url=", "mysql://u:p@h/db")),
            ),
            (
                "redis+sentinel://h/?sentinel_password=s",
                Some(("", "redis+sentinel://h/?sentinel_password=s")),
            ),
            ("redis://127.0.0.1/", None),
            ("sqlite:sessions.db", None),
            ("@/etc/site/session.url", None),
            ("env:PASSWORD", None),
            ("user@example.org", None),
        ] {
            let text = OsString::from(argument);
            assert_eq!(secret_url(&text), found, "{argument}");
        }
    }
}
