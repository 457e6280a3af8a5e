//! The URL of a deployment, and the concerns that a store accepts.

use std::time::Duration;

use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadConcernLevel, WriteConcern,
};
use session_core::{Error, Result};

use crate::error;

/// Parses `url`.
pub(crate) async fn parse(url: &str, timeout: Duration) -> Result<ClientOptions> {
    check_question_mark(url)?;
    // The addresses of a `mongodb+srv` URL are looked up, by a resolver with a patience of its own.
    let parsed = tokio::time::timeout(timeout, ClientOptions::parse(url)).await;
    let parsed = parsed.map_err(|_| Error::no_answer("connect", "MongoDB", timeout))?;
    let mut options = parsed.map_err(|error| error::from_mongo("connect", "MongoDB", &error))?;
    check_concerns(
        options.write_concern.as_ref(),
        options.read_concern.as_ref(),
    )?;
    // Less than the store's time limit, so that the error has the driver's reason. The time to
    // connect is shorter still, because the driver knows the reason only after it.
    let (selection, connect) = (timeout.mul_f64(0.8), timeout.mul_f64(0.6));
    options.server_selection_timeout.get_or_insert(selection);
    options.connect_timeout.get_or_insert(connect);
    Ok(options)
}

/// If an `@` follows the `?`, an apparent option may be part of a password.
fn check_question_mark(url: &str) -> Result<()> {
    match url.split_once('?') {
        Some((_, rest)) if rest.contains('@') => Err(Error::misconfigured(
            "the MongoDB URL has an @ after the first ?, and its rest is not shown because it may be part of \
             a password: write a ? in a password as %3F, and an @ in an option as %40",
        )),
        _ => Ok(()),
    }
}

/// Refuses concerns with which a load may miss an acknowledged write. (The read preference does not
/// matter: [`MongoConnector`](crate::connector::MongoConnector) replaces it.)
pub(crate) fn check_concerns(
    write: Option<&WriteConcern>,
    read: Option<&ReadConcern>,
) -> Result<()> {
    let acknowledged = write.and_then(|write| write.w.as_ref());
    if acknowledged == Some(&Acknowledgment::Nodes(0)) {
        return refused("w=0", "no write would be acknowledged", "w=majority or w=1");
    }
    if write.and_then(|write| write.journal) == Some(false) {
        let why = "a power failure would undo acknowledged writes";
        return refused("journal=false", why, "journal=true, or leave it out");
    }
    match read.map(|read| &read.level) {
        Some(ReadConcernLevel::Available) => refused(
            "readConcernLevel=available",
            "a shard could answer with sessions that have moved or ended",
            "local, or leave it out",
        ),
        Some(ReadConcernLevel::Snapshot) => refused(
            "readConcernLevel=snapshot",
            "a load would not see the last saves",
            "local, or leave it out",
        ),
        Some(ReadConcernLevel::Majority) if acknowledged != Some(&Acknowledgment::Majority) => {
            refused(
                "readConcernLevel=majority without w=majority",
                "a load would not see the last saves",
                "w=majority beside it, or leave it out",
            )
        }
        _ => Ok(()),
    }
}

fn refused(option: &str, why: &str, instead: &str) -> Result<()> {
    Err(Error::misconfigured(format!(
        "the MongoDB option {option} is not safe for sessions: {why}; use {instead}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_core::ErrorKind;

    #[tokio::test]
    async fn a_part_of_a_password_is_not_shown() {
        for url in [
            "mongodb://u:ab?hunter2=x@h/d",
            "mongodb://u:ab?w=hunter2@h/d",
            "mongodb://u:a#b?c&hunter2@h/d",
            "mongodb://h/d?authMechanismProperties=hunter2@x",
        ] {
            let error = parse(url, Duration::from_secs(1)).await.expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            let text = format!("{error} {error:?}");
            assert!(text.contains("part of a password"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    /// The table of `docs/operations.md`.
    #[tokio::test]
    async fn options_that_weaken_a_promise_are_refused_by_name() {
        for (options, refused) in [
            ("w=0", Some("w=0")),
            ("journal=false", Some("journal=false")),
            ("w=majority&journal=false", Some("journal=false")),
            (
                "readConcernLevel=available",
                Some("readConcernLevel=available"),
            ),
            (
                "readConcernLevel=snapshot",
                Some("readConcernLevel=snapshot"),
            ),
            (
                "readConcernLevel=majority",
                Some("readConcernLevel=majority"),
            ),
            (
                "w=1&readConcernLevel=majority",
                Some("readConcernLevel=majority"),
            ),
            ("w=majority&readConcernLevel=majority", None),
            ("readConcernLevel=linearizable", None),
            ("readConcernLevel=local", None),
            ("w=1", None),
            ("w=majority&journal=true&wTimeoutMS=500", None),
            ("retryWrites=false", None),
            ("retryReads=false", None),
            (
                "readPreference=secondaryPreferred&maxStalenessSeconds=90",
                None,
            ),
            (
                "readPreference=secondary&readPreferenceTags=dc:ny,rack:1",
                None,
            ),
            ("directConnection=true", None),
        ] {
            let url = format!("mongodb://127.0.0.1/app?{options}");
            let parsed = parse(&url, Duration::from_secs(1)).await;
            match (parsed, refused) {
                (Ok(_), None) => {}
                (Err(error), Some(name)) => {
                    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{options}");
                    assert!(error.to_string().contains(name), "{options}: {error}");
                }
                (parsed, refused) => panic!("{options}: {parsed:?}, {refused:?}"),
            }
        }
    }
}
