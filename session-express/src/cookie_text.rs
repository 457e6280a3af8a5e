//! Checks of the cookie's name, path and domain: values that the package cookie refuses or browsers
//! ignore are refused before they get into a header or a record.

use session_core::{Error, Result};

/// Leaves room for the value.
const MAX_NAME_BYTES: usize = 256;
/// Browsers ignore longer attributes (RFC 6265bis §5.6).
const MAX_ATTRIBUTE_BYTES: usize = 1024;
/// The longest host name (RFC 1035 §2.3.4).
const MAX_DOMAIN_BYTES: usize = 253;

pub(crate) fn check_name(name: &str) -> Result<()> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    refuse_unless(
        !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_token),
        || {
            format!(
                "Express' cookie name {name:?} is invalid: use 1 to {MAX_NAME_BYTES} characters of an RFC 9110 \
                 token, which are letters, digits and !#$%&'*+-.^_`|~"
            )
        },
    )
}

pub(crate) fn check_path(path: &str) -> Result<()> {
    let is_attribute = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b';';
    refuse_unless(
        path.starts_with('/')
            && !path.ends_with(' ')
            && path.len() <= MAX_ATTRIBUTE_BYTES
            && path.bytes().all(is_attribute),
        || {
            format!(
                "Express' cookie path {path:?} is invalid: it must begin with '/', contain ASCII without ';' and \
                 control characters, not end with a space, and have at most {MAX_ATTRIBUTE_BYTES} bytes"
            )
        },
    )
}

/// A host name, with a leading dot or without.
pub(crate) fn check_domain(domain: &str) -> Result<()> {
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(is_inner)
    };
    let name = domain.strip_prefix('.').unwrap_or(domain);
    refuse_unless(
        name.len() <= MAX_DOMAIN_BYTES
            && name.split('.').all(is_label)
            && name.parse::<std::net::IpAddr>().is_err(),
        || {
            format!(
                "Express' cookie domain {domain:?} is not a host name: give it without a port, in ASCII \
                 (Punycode), with at most {MAX_DOMAIN_BYTES} bytes"
            )
        },
    )
}

fn refuse_unless(is_good: bool, message: impl FnOnce() -> String) -> Result<()> {
    match is_good {
        true => Ok(()),
        false => Err(Error::misconfigured(message())),
    }
}
