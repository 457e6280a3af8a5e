//! A user of the shared Valkey server who may not run scripts.

use super::command::ask;

const NAME: &str = "noscript";
const PASSWORD: &str = "no-scripts-here";

/// Returns the URL of the shared Valkey server for the user `noscript`, who may run every command but
/// those of scripts and functions; `None` if `SESSION_TEST_SKIP` names it or Redis. Creates the user
/// if there is none.
///
/// # Panics
/// If there is no server, or it does not let its user create others.
pub fn valkey_without_scripts() -> Option<String> {
    let server = super::valkey()?;
    let secret = format!(">{PASSWORD}");
    let rules = [
        "ACL",
        "SETUSER",
        NAME,
        "on",
        &secret,
        "~*",
        "&*",
        "+@all",
        "-@scripting",
    ];
    ask::<()>(&server.url, &rules).expect("the user is created");
    Some(as_user(&server.url))
}

/// The URL with the user in the place of whichever it has.
fn as_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    format!("{scheme}://{NAME}:{PASSWORD}@{place}")
}

#[cfg(test)]
mod tests {
    use super::as_user;

    #[test]
    fn a_url_gets_the_user_whether_it_has_another_or_none() {
        let expected = "valkey://noscript:no-scripts-here@host:1/2?protocol=resp3";
        for before in ["", "default:secret@", ":secret@"] {
            let url = format!("valkey://{before}host:1/2?protocol=resp3");
            assert_eq!(as_user(&url), expected);
        }
    }
}
