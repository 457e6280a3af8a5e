//! PostgreSQL.

use integration_tests::servers::{self, Kind, Private};
use session_postgres::schema;

use super::check;
use crate::postgres_backend::run_at;

#[test]
fn a_server_that_does_not_write_to_disk_is_named() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &["-c", "fsync=off"]);
    check(&[&server.url]).names("postgres-fsync", "broken");
}

/// As the role has it: the server itself is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_wait_for_the_disk_is_named() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    run_at(
        &server.url,
        "ALTER ROLE postgres SET synchronous_commit = off",
    )
    .await;
    check(&[&server.url]).names("postgres-synchronous-commit", "broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_in_the_place_of_its_primary_is_named_and_so_are_replicas_that_lag() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let primary = Private::start(Kind::Postgres, &[]);
    run_at(&primary.url, &schema("session_store")).await;
    let standby = Private::standby(&primary);
    check(&[&standby.url]).names("read-only-server", "broken");
    check(&[&primary.url])
        .names("asynchronous-replicas", "weaker")
        .is_good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_another_program_is_named() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    run_at(
        &server.url,
        "CREATE TABLE session_store (id text, note text)",
    )
    .await;
    let checked = check(&[&server.url]);
    checked.names("refused", "broken");
    let what = checked.what("refused");
    assert!(
        what.contains("is not a table of this kind of store"),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    run_at(&server.url, &schema("session_store")).await;
    run_at(
        &server.url,
        "CREATE ROLE app LOGIN; GRANT SELECT, INSERT ON session_store TO app",
    )
    .await;
    let checked = check(&[&server.url.replace("//postgres@", "//app@")]);
    checked.names("refused", "broken");
    assert!(
        checked.what("refused").contains("UPDATE"),
        "{:#}",
        checked.report
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_no_reaper_serves_and_a_crash_empties_is_named() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let server = Private::start(Kind::Postgres, &[]);
    run_at(&server.url, &schema("session_store")).await;
    let expired = "INSERT INTO session_store (id, version, stamp, credential, born, deadline, data) \
                   VALUES ('old', 1, decode(repeat('00', 16), 'hex'), '', now() - interval '9 h', \
                   now() - interval '3 h', '')";
    run_at(&server.url, expired).await;
    run_at(&server.url, "ALTER TABLE session_store SET UNLOGGED").await;
    let checked = check(&[&server.url, "--settings-only"]);
    checked.names("no-reaper", "weaker");
    checked.names("postgres-unlogged", "weaker");
    assert!(
        checked.what("no-reaper").contains("3 h"),
        "{:#}",
        checked.report
    );
}
