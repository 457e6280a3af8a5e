//! MongoDB.

use integration_tests::servers::{self, Kind, Private};

use super::check;

#[test]
fn a_ttl_monitor_that_is_off_is_named() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start(Kind::Mongo, &["--setParameter", "ttlMonitorEnabled=false"]);
    check(&[&server.url])
        .names("mongo-ttl-monitor", "weaker")
        .is_good();
}

#[test]
fn writes_that_no_majority_acknowledges_are_named() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start(Kind::Mongo, &[]);
    let url = format!("{}&w=1", server.url);
    check(&[&url]).names("mongo-write-concern", "weaker");
    let url = format!("{}&w=0", server.url);
    let checked = check(&[&url]);
    checked.names("refused", "broken");
    assert!(
        checked.what("refused").contains("w=0"),
        "{:#}",
        checked.report
    );
}

#[test]
fn a_standalone_is_named() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start_bare(Kind::Mongo, &[]);
    check(&[&server.url]).names("mongo-standalone", "weaker");
}
