//! A snapshot is restored only if no other user can have written it: its writer can create
//! sessions.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use session_memory::{ErrorKind, Lifetime, MemoryStore, SessionDirectory};
use tempfile::TempDir;

use crate::support::{create, draft, id};

fn build(path: &Path) -> session_memory::Result<MemoryStore> {
    MemoryStore::builder().snapshot(path).build()
}

/// A folder with a snapshot of one session, and the snapshot's path.
async fn saved_snapshot() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sessions");
    let store = build(&path).expect("no file yet");
    create(&store, &id(), &draft(Lifetime::default())).await;
    store.save_snapshot().await.expect("written");
    (folder, path)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
}

/// Checks that the file is refused with a message that has these parts and the path.
fn assert_refused(path: &Path, parts: &[&str]) {
    let error = build(path).expect_err("another user could have written it");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let message = error.to_string();
    for part in parts.iter().chain([&path.to_str().expect("UTF-8")]) {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
}

/// As root, a valid snapshot that belongs to another user; otherwise a file of root's.
#[tokio::test]
async fn a_snapshot_of_another_user_is_refused() {
    let (_folder, path) = saved_snapshot().await;
    if chown(&path, Some(12_345), None).is_err() {
        assert_refused(
            Path::new("/etc/passwd"),
            &["belongs to user 0", "mode 0644"],
        );
        return;
    }
    assert_refused(&path, &["belongs to user 12345", "mode 0600"]);
    chown(&path, Some(0), None).expect("given back");
    let restored = build(&path).expect("it is ours again");
    assert_eq!(restored.count().await.ok(), Some(1));
}

#[tokio::test]
async fn a_snapshot_that_others_may_read_or_change_is_refused() {
    let (_folder, path) = saved_snapshot().await;
    for mode in [0o640, 0o604, 0o620, 0o602, 0o666, 0o610, 0o4601] {
        set_mode(&path, mode);
        assert_refused(
            &path,
            &[&format!("mode {mode:04o}"), "set its mode to 0600"],
        );
    }
    set_mode(&path, 0o600);
    build(&path).expect("private again");
}

#[tokio::test]
async fn a_link_to_a_snapshot_is_refused_and_replaced_by_the_next_save() {
    let (folder, path) = saved_snapshot().await;
    let link = folder.path().join("link");
    symlink(&path, &link).expect("a link");
    assert_refused(&link, &["symbolic link"]);
    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).expect("a link");
    assert_refused(&dangling, &["symbolic link"]);
    // The link appears while the store runs.
    let (late, kept) = (
        folder.path().join("late"),
        std::fs::read(&path).expect("there"),
    );
    let store = build(&late).expect("no file yet");
    symlink(&path, &late).expect("a link");
    store.save_snapshot().await.expect("written");
    assert_eq!(std::fs::read(&path).expect("there"), kept, "not followed");
    let restored = build(&late).expect("a file in place of the link");
    assert_eq!(restored.count().await.ok(), Some(0));
}

#[tokio::test]
async fn a_path_that_is_not_a_regular_file_is_refused_at_once() {
    let (folder, _) = saved_snapshot().await;
    let (fifo, sub) = (folder.path().join("fifo"), folder.path().join("sub"));
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo runs").success());
    std::fs::create_dir(&sub).expect("a folder");
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    // Opening a fifo waits for a writer unless it is opened with O_NONBLOCK.
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        assert_refused(&fifo, &["is a fifo"]);
        assert_refused(&sub, &["is a folder"]);
        assert_refused(&socket, &["is a socket"]);
        assert_refused(Path::new("/dev/null"), &["is a device"]);
        sender.send(()).expect("awaited");
    });
    let done = receiver.recv_timeout(Duration::from_secs(20));
    done.expect("all were refused without waiting");
}

#[tokio::test]
async fn a_folder_in_which_another_user_may_replace_the_snapshot_is_refused() {
    let (folder, path) = saved_snapshot().await;
    let refused = |mode: &str| {
        let error = build(&path).expect_err("another user may replace it");
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        let message = error.to_string();
        let named = folder.path().to_str().expect("UTF-8");
        assert!(
            message.contains(named) && message.contains(mode),
            "{message}"
        );
    };
    for mode in [0o777, 0o703] {
        set_mode(folder.path(), mode);
        refused(&format!("mode {mode:04o}"));
    }
    for mode in [0o1777, 0o775, 0o700] {
        set_mode(folder.path(), mode);
        build(&path).expect("no other user can replace it");
    }
    if chown(folder.path(), Some(12_345), None).is_ok() {
        refused("belongs to user 12345");
        chown(folder.path(), Some(0), None).expect("given back");
    }
}

/// The store reads the file that it has checked, even if the path is replaced again and again.
#[tokio::test]
async fn a_snapshot_is_checked_and_read_by_one_handle() {
    let (folder, path) = saved_snapshot().await;
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    std::fs::copy(&path, &good).expect("copied");
    // An attacker's file: readable by others, and of other content.
    std::fs::write(&bad, "planted").expect("ours");
    set_mode(&bad, 0o644);
    let builds = AtomicU32::new(0);
    let wrong = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut wrong = None;
            while builds.fetch_add(1, Relaxed) < 500 && wrong.is_none() {
                // Reading the planted file would give `Corrupt`.
                wrong = build(&path)
                    .err()
                    .filter(|error| error.kind() != ErrorKind::Misconfigured);
            }
            builds.store(u32::MAX / 2, Relaxed);
            wrong
        });
        while builds.load(Relaxed) < 500 {
            for source in [&bad, &good] {
                let next = folder.path().join("next");
                std::fs::hard_link(source, &next).expect("linked");
                std::fs::rename(&next, &path).expect("replaced");
            }
        }
        reading.join().expect("no panic")
    });
    assert!(wrong.is_none(), "{wrong:?}");
}

#[tokio::test]
async fn an_io_error_names_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("sessions");
    let store = build(&path).expect("there is no file");
    let error = store.save_snapshot().await.expect_err("there is no folder");
    assert_eq!(error.kind(), ErrorKind::Refused);
    let message = error.to_string();
    assert!(message.contains(path.to_str().expect("UTF-8")), "{message}");
    assert_eq!(message.matches("No such file").count(), 1, "{message}");
}
