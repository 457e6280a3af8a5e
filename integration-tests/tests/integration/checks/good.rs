//! Servers that keep all promises.

use integration_tests::servers::{self, Kind, Private};

use super::check;

/// Nothing needs attention either.
#[test]
fn redis_with_its_log_on_the_disk_is_good() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    for server in [
        Private::start(Kind::Redis, &arguments),
        Private::valkey(&arguments),
    ] {
        for url in [
            server.url.clone(),
            format!("{}?expiry_reports=true", server.url),
        ] {
            let checked = check(&[&url]);
            assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
            checked.is_good();
        }
    }
}

#[test]
fn redis_8_is_good() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::redis_8(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let checked = check(&[&server.url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    checked.is_good();
}

#[test]
fn mysql_is_good() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let server = Private::start(Kind::Mysql, &[]);
    let checked = check(&[&server.url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    checked.is_good();
}

#[test]
fn postgres_is_good() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    let checked = check(&[&server.url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    checked.is_good();
}

#[test]
fn mongo_as_a_replica_set_is_good() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let server = Private::start(Kind::Mongo, &[]);
    let checked = check(&[&server.url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    checked.is_good();
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_on_a_disk_is_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}/s.db", folder.path().display());
    session_store::connect(&url).await.expect("set up");
    let checked = check(&[&url]);
    assert_eq!(checked.exit, Some(0), "{:#}", checked.report);
    checked.is_good();
}
