//! The options of a store that a run sets in the topology's URL.

use std::time::Duration;

/// How long one call of a store may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// The URL with a time limit, and with reports of expired sessions where they have to be asked for.
pub(crate) fn with_options(url: &str) -> String {
    let scheme = url.split(':').next().unwrap_or_default();
    let mut options = vec![];
    if scheme != "memory" {
        options.push(format!("timeout={}ms", LIMIT.as_millis()));
    }
    if scheme.starts_with("redis") || scheme.starts_with("valkey") {
        options.push("expiry_reports=true".to_owned());
    }
    if scheme.starts_with("mongodb") {
        options.push("expiry_grace=10m".to_owned());
    }
    options.iter().fold(url.to_owned(), |url, option| {
        let before = if url.contains('?') { '&' } else { '?' };
        format!("{url}{before}{option}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_added_to_those_of_a_url() {
        assert_eq!(with_options("memory:"), "memory:");
        assert_eq!(
            with_options("redis://127.0.0.1:1/"),
            "redis://127.0.0.1:1/?timeout=2000ms&expiry_reports=true"
        );
        assert_eq!(
            with_options("mongodb://a,b/app?replicaSet=rs0"),
            "mongodb://a,b/app?replicaSet=rs0&timeout=2000ms&expiry_grace=10m"
        );
    }
}
