//! A file that is deleted or replaced while a store has it open.

use std::env::current_exe;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use session_core::{ErrorKind, SessionId};
use session_sqlite::{SessionStore, SqliteStore};

use crate::child::{command, url};
use crate::support::{Place, create, data, draft, new_id};

/// Names a file with the ids that another process looks for.
const IDS: &str = "SESSION_SQLITE_TEST_IDS";

fn beside(place: &Place, end: &str) -> PathBuf {
    format!("{}{end}", place.file().display()).into()
}

/// Fails unless another process finds the sessions.
fn assert_found_elsewhere(place: &Place, ids: &[&SessionId]) {
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let list = place.0.path().join("ids");
    fs::write(&list, ids.join("\n")).expect("written");
    let program = current_exe().expect("this test");
    let mut child = command(&program, "lost_file::finder", &place.url());
    let output = child.env(IDS, list).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "a process of another test"]
async fn finder() {
    let store = SqliteStore::connect(&url()).await.expect("opened");
    let list = std::env::var(IDS).expect("set");
    for id in fs::read_to_string(list).expect("there").lines() {
        let id = SessionId::from_stored(id).expect("an id");
        assert!(data(&store, &id).await.is_some(), "{}", id.as_str());
    }
}

/// Opens each of the connections that read.
async fn load_at_once(store: &SqliteStore, id: &SessionId) {
    let load = || {
        let (store, id) = (store.clone(), id.clone());
        tokio::spawn(async move { data(&store, &id).await })
    };
    let loads: Vec<_> = (0..8).map(|_| load()).collect();
    for load in loads {
        load.await.expect("loaded");
    }
}

#[tokio::test]
async fn a_deleted_file_is_made_again_and_written() {
    let place = Place::new();
    let store = place.store().await;
    let old = create(&store, b"old").await;
    for file in place.files() {
        fs::remove_file(file).expect("deleted");
    }
    assert_eq!(data(&store, &old).await, None);
    let new = create(&store, b"new").await;
    assert!(place.file().exists());
    // Another process reads what was written.
    assert_eq!(
        data(&place.store().await, &new).await,
        Some(b"new".to_vec())
    );
}

#[tokio::test]
async fn a_write_after_the_deletion_does_not_go_to_the_deleted_file() {
    let place = Place::new();
    let store = place.store().await;
    create(&store, b"old").await;
    for file in place.files() {
        fs::remove_file(file).expect("deleted");
    }
    let new = create(&store, b"new").await;
    assert_eq!(
        data(&place.store().await, &new).await,
        Some(b"new".to_vec())
    );
}

#[tokio::test]
async fn without_migration_a_deleted_file_is_an_error_that_names_it_until_it_is_back() {
    let place = Place::new();
    let id = create(&place.store().await, b"kept").await;
    let store = SqliteStore::builder().migrate(false);
    let store = store.connect(&place.url()).await.expect("opened");
    assert_eq!(data(&store, &id).await, Some(b"kept".to_vec()));

    let elsewhere = place.0.path().join("elsewhere.db");
    fs::rename(place.file(), &elsewhere).expect("moved");
    let error = store.create(&new_id(), &draft(b"lost")).await;
    let error = error.expect_err("there is no file");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    let text = error.to_string();
    assert!(text.contains(&place.file().display().to_string()), "{text}");
    assert!(text.contains("can't be opened"), "{text}");
    assert!(!place.file().exists());

    fs::rename(&elsewhere, place.file()).expect("moved back");
    assert_eq!(data(&store, &id).await, Some(b"kept".to_vec()));
}

#[tokio::test]
async fn a_replaced_file_is_read_and_written_in_place_of_the_old_one() {
    let (place, other) = (Place::new(), Place::new());
    let store = place.store().await;
    let old = create(&store, b"old").await;
    let backup = create(&other.store().await, b"from the backup").await;
    let mut connection = other.connection().await;
    crate::support::run(&mut connection, "PRAGMA wal_checkpoint(TRUNCATE)").await;

    for file in place.files() {
        fs::remove_file(file).expect("deleted");
    }
    fs::copy(other.file(), place.file()).expect("put in its place");
    assert_eq!(
        data(&store, &backup).await,
        Some(b"from the backup".to_vec())
    );
    assert_eq!(data(&store, &old).await, None);
    let new = create(&store, b"new").await;
    assert_eq!(
        data(&place.store().await, &new).await,
        Some(b"new".to_vec())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_after_only_the_log_was_deleted_is_found_by_other_processes() {
    for ends in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        let place = Place::new();
        let store = place.store().await;
        let old = create(&store, b"old").await;
        load_at_once(&store, &old).await;
        for end in ends {
            fs::remove_file(beside(&place, end)).expect("deleted");
        }
        let new = create(&store, b"new").await;
        assert_eq!(data(&store, &old).await, Some(b"old".to_vec()), "{ends:?}");
        assert_found_elsewhere(&place, &[&old, &new]);
        // Both processes now use the same files.
        let later = create(&store, b"later").await;
        assert_found_elsewhere(&place, &[&old, &new, &later]);
    }
}

/// Several connections are closed at once then, of which one has to be the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_the_log_was_deleted_is_copied_to_the_file_each_time() {
    for round in 0..100 {
        let place = Place::new();
        let store = place.store().await;
        let old = create(&store, b"old").await;
        load_at_once(&store, &old).await;
        for end in ["-wal", "-shm"] {
            fs::remove_file(beside(&place, end)).expect("deleted");
        }
        create(&store, b"new").await;
        assert!(data(&store, &old).await.is_some(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_after_a_deletion_under_load_is_found_by_other_processes() {
    let place = Place::new();
    let store = place.store().await;
    let until = Instant::now() + Duration::from_secs(2);
    let write = |store: SqliteStore| async move {
        let mut created = Vec::new();
        while Instant::now() < until {
            let (id, began) = (new_id(), Instant::now());
            // While the files are deleted, one by one, writes may fail.
            if store.create(&id, &draft(b"written")).await.is_ok() {
                created.push((began, id));
            }
        }
        created
    };
    let writers: Vec<_> = (0..8).map(|_| tokio::spawn(write(store.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for end in ["", "-shm", "-wal"] {
        fs::remove_file(beside(&place, end)).expect("deleted");
    }
    let deleted = Instant::now();
    let mut later = Vec::new();
    for writer in writers {
        let created = writer.await.expect("no panic").into_iter();
        later.extend(created.filter(|(began, _)| *began > deleted));
    }
    assert!(later.len() > 20, "{}", later.len());
    let ids: Vec<&SessionId> = later.iter().map(|(_, id)| id).collect();
    assert_found_elsewhere(&place, &ids);
}

#[tokio::test]
async fn a_file_is_not_created_beside_the_log_of_another() {
    let place = Place::new();
    fs::write(beside(&place, "-wal"), b"the log of another").expect("written");
    let error = SqliteStore::connect(&place.url()).await;
    let error = error.expect_err("there is a log");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("-wal does"), "{error}");
    assert!(!place.file().exists());
}
