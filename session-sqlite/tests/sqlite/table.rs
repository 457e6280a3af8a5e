//! The table, and how SQLite finds rows in it.

use session_sqlite::sqlx::{self, AssertSqlSafe, Row};
use session_sqlite::{ErrorKind, SessionDirectory, SessionStore, SqliteStore, Timeout, schema};

use crate::support::{Place, create, draft, run};

async fn plan(place: &Place, statement: &str) -> String {
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")));
    let rows = explain.fetch_all(&mut place.connection().await).await;
    let rows = rows.expect("explained");
    let details = rows.iter().map(|row| row.get::<String, _>("detail"));
    details.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn the_schema_makes_a_table_that_a_store_accepts_without_migrating() {
    let place = Place::new();
    run(&mut place.connection().await, &schema("my \"own\" table")).await;
    let builder = SqliteStore::builder()
        .table("my \"own\" table")
        .migrate(false);
    let store = builder.connect(&place.url()).await.expect("accepted");
    create(&store, b"there").await;
}

#[tokio::test]
async fn owners_and_expired_sessions_are_found_by_an_index() {
    let place = Place::new();
    create(&place.store().await, b"some").await;
    let owned = plan(
        &place,
        "SELECT id FROM session_store WHERE owner = x'00' AND id > x'00' ORDER BY id",
    )
    .await;
    assert!(
        owned.contains("session_store_by_owner (owner=? AND id>?)"),
        "{owned}"
    );
    assert!(!owned.contains("TEMP B-TREE"), "{owned}");
    let due = plan(
        &place,
        "SELECT id FROM session_store WHERE due <= 5 AND deadline <= 5",
    )
    .await;
    assert!(due.contains("session_store_by_due (due<?)"), "{due}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_user_of_a_new_file_may_read_it_and_those_beside_it() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    let store = place.store().await;
    create(&store, b"private").await;
    assert_eq!(place.files().len(), 3);
    for file in place.files() {
        let mode = file.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_table_that_is_dropped_in_use_is_to_be_migrated() {
    let place = Place::new();
    let store = place.store().await;
    let id = create(&store, b"there").await;
    let version = store.load(&id).await.expect("open").expect("there").version;
    run(&mut place.connection().await, "DROP TABLE session_store").await;
    for error in [
        store.create(&id, &draft(b"")).await.map(drop),
        store.load(&id).await.map(drop),
        store.save(&id, &draft(b""), &version).await.map(drop),
        store.touch(&id, Timeout::Never).await.map(drop),
        store.destroy(&id, None).await.map(drop),
        store.count().await.map(drop),
        store.list(None, 1).await.map(drop),
        store.reap(1).await.map(drop),
        store.clear().await.map(drop),
    ] {
        let error = error.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        let text = error.to_string();
        assert!(text.contains("migrate the store first"), "{text}");
        assert!(text.contains("session_store"), "{text}");
    }
    store.migrate().await.expect("open");
    create(&store, b"there again").await;
}

/// Each is one of SQLite's own, or of its driver's, with which a power failure would undo a write
/// or damage the file, or a reader miss it.
#[tokio::test]
async fn no_option_of_a_url_weakens_what_a_store_promises() {
    let place = Place::new();
    for option in [
        "synchronous=OFF",
        "journal_mode=MEMORY",
        "mode=ro",
        "mode=memory",
        "cache=shared",
        "immutable=1",
        "nolock=1",
        "vfs=unix-none",
    ] {
        let url = format!("{}?{option}", place.url());
        let error = SqliteStore::connect(&url).await.expect_err(option);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains("takes no options"), "{error}");
    }
    assert_eq!(place.files().len(), 0, "none was made");
}
