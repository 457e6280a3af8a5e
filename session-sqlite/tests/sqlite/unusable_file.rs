//! Files that can't be a store's, and disks that are full.

use std::fs;

use session_core::ErrorKind;
use session_sqlite::{Error, SessionStore, SqliteStore};

use crate::support::{Place, closed, create, data, draft, new_id, run};

async fn refused(url: &str) -> Error {
    let error = SqliteStore::connect(url).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    error
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    let place = Place::new();
    let url = format!("sqlite:{}/missing/sessions.db", place.0.path().display());
    let text = refused(&url).await.to_string();
    assert!(text.contains("/missing/sessions.db"), "{text}");
    assert!(text.contains("its directory does not exist"), "{text}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_one_is_refused_with_the_reason() {
    let place = Place::new();
    fs::write(place.file(), "").expect("written");
    for (name, why) in [
        ("inside.db", "its directory is a file"),
        (
            "below/inside.db",
            "its directory can't be read: Not a directory",
        ),
    ] {
        let text = refused(&format!("{}/{name}", place.url())).await;
        assert!(text.to_string().contains(why), "{text}");
    }
}

#[tokio::test]
async fn a_directory_in_place_of_a_file_is_refused() {
    let place = Place::new();
    let url = format!("sqlite:{}", place.0.path().display());
    let text = refused(&url).await.to_string();
    assert!(text.contains("this is a directory"), "{text}");
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let place = Place::new();
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(100);
    fs::write(place.file(), &text).expect("written");
    let error = refused(&place.url()).await.to_string();
    assert!(error.contains("not a SQLite database"), "{error}");
    assert!(error.contains("SQLITE_NOTADB"), "{error}");
    assert!(error.contains("sessions.db"), "{error}");
    assert_eq!(fs::read_to_string(place.file()).expect("there"), text);
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_says_so() {
    let place = Place::new();
    let store = place.store().await;
    for _ in 0..50 {
        create(&store, &[b'x'; 2_000]).await;
    }
    drop(store);
    let mut connection = place.connection().await;
    run(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    drop(connection);
    closed(&place.file()).await;
    // The first page describes the table; the others hold its rows.
    let mut bytes = fs::read(place.file()).expect("there");
    bytes[4_096..].fill(0xA5);
    fs::write(place.file(), bytes).expect("damaged");
    let store = SqliteStore::builder().migrate(false);
    let error = match store.connect(&place.url()).await {
        Err(error) => error,
        Ok(store) => store.load(&new_id()).await.expect_err("damaged"),
    };
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_file_with_other_tables_takes_sessions_beside_them() {
    let place = Place::new();
    let mut connection = place.connection().await;
    run(
        &mut connection,
        "CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('a')",
    )
    .await;
    let store = place.store().await;
    let id = create(&store, b"beside").await;
    assert_eq!(data(&store, &id).await, Some(b"beside".to_vec()));
    run(&mut connection, "INSERT INTO users VALUES ('b')").await;
}

#[tokio::test]
async fn a_foreign_table_of_this_name_is_refused_and_left_alone() {
    for (create, difference) in [
        (
            "CREATE TABLE session_store (name TEXT)",
            "has no column \"id\"",
        ),
        ("CREATE VIEW session_store AS SELECT 1", "is a view"),
        (
            "CREATE TABLE session_store (id BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL,
             stamp BLOB NOT NULL, credential BLOB NOT NULL, description BLOB, owner TEXT)",
            "has a column \"owner\" of type text, not blob",
        ),
    ] {
        let place = Place::new();
        let mut connection = place.connection().await;
        run(&mut connection, create).await;
        let error = refused(&place.url()).await.to_string();
        assert!(error.contains(difference), "{error}");
        let count = "SELECT count(*) FROM sqlite_schema WHERE sql IS NOT NULL";
        let objects: i64 = session_sqlite::sqlx::query_scalar(count)
            .fetch_one(&mut connection)
            .await
            .expect("counted");
        assert_eq!(objects, 1);
    }
}

/// A disk of 1 MiB.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_fails_writes_with_the_reason_and_recovers() {
    let place = Place::new();
    let Some(_disk) = disk::mounted(place.0.path()) else {
        // Only an administrator, or a user with namespaces, can make a small disk.
        return;
    };
    let store = place.store().await;
    let kept = create(&store, b"kept").await;
    let mut error = None;
    for _ in 0..200 {
        match store.create(&new_id(), &draft(&[b'x'; 20_000])).await {
            Ok(_) => {}
            Err(full) => {
                error = Some(full);
                break;
            }
        }
    }
    let error = error.expect("the disk gets full");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!(data(&store, &kept).await, Some(b"kept".to_vec()));
    disk::grow(place.0.path());
    create(&store, b"room again").await;
}

#[cfg(target_os = "linux")]
mod disk {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    pub(super) struct Disk(PathBuf);

    pub(super) fn mounted(at: &Path) -> Option<Disk> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(at);
        let done = mount.output().ok()?;
        done.status.success().then(|| Disk(at.to_owned()))
    }

    pub(super) fn grow(at: &Path) {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,size=64m"]).arg(at);
        assert!(mount.status().expect("mount is there").success());
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            // Lazily: the store may still have its files open.
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
}
