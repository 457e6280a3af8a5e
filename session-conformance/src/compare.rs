//! Comparisons of records with the drafts that were written.

use session_core::{Bytes, Credential, Description, Draft, Record};

/// Data up to this size is printed where it differs.
const PRINTED: usize = 200;

/// Checks that a record matches `draft`, except for its age and the time left.
pub(super) fn check_same(found: &Record, draft: &Draft, what: &str) {
    check_data(&draft.data, &found.data, what);
    assert_eq!(found.version.stamp(), draft.stamp, "{what}: its stamp");
    assert_eq!(
        Credential::stored(found.credential.as_ref()),
        Credential::stored(draft.credential.as_ref()),
        "{what}: its credential"
    );
    assert_eq!(
        Description::stored(found.description.as_ref()),
        Description::stored(draft.description.as_ref()),
        "{what}: its description"
    );
    assert_eq!(found.owner, draft.owner, "{what}: its owner");
    assert_eq!(found.lifetime, draft.lifetime, "{what}: its limits");
}

/// Compares data, and prints it only if it is short.
pub(super) fn check_data(expected: &Bytes, found: &Bytes, what: &str) {
    if expected.len().max(found.len()) <= PRINTED {
        assert_eq!(found, expected, "{what}: its data");
    }
    if expected == found {
        return;
    }
    let pairs = expected.iter().zip(found);
    let same = pairs.take_while(|(a, b)| a == b).count();
    panic!(
        "{what}: wrote {} bytes of data, read {}: the first {same} are the same",
        expected.len(),
        found.len()
    );
}
