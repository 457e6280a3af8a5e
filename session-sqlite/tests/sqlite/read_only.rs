//! A read-only file. An administrator may write everything, so another user
//! runs these tests then, with a copy of this program.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use session_core::ErrorKind;
use session_sqlite::{SessionStore, SqliteStore};
use tempfile::TempDir;

use crate::child::{command, url};
use crate::support::{closed, create, data, draft, new_id};

/// The number of the user `nobody`, who may write no file of another user.
const NOBODY: u32 = 65_534;

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permitted");
}

/// SQLite makes the files beside the file with the mode of the file.
fn allow_all(path: &Path, mode: u32) {
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", path.display());
        if Path::new(&file).exists() {
            allow(Path::new(&file), mode);
        }
    }
}

/// Whether this process may write what its mode forbids.
fn is_administrator(directory: &Path) -> bool {
    let probe = directory.join("probe");
    fs::write(&probe, "").expect("written");
    allow(&probe, 0o400);
    fs::write(&probe, "").is_ok()
}

#[test]
fn a_read_only_file_is_refused_until_it_is_writable() {
    let directory = TempDir::new().expect("a directory");
    allow(directory.path(), 0o777);
    let program = directory.path().join("tests");
    fs::copy(std::env::current_exe().expect("this test"), &program).expect("copied");
    let url = format!("sqlite:{}/sessions.db", directory.path().display());
    let mut child = command(&program, "read_only::reader", &url);
    if is_administrator(directory.path()) {
        child.uid(NOBODY).gid(NOBODY);
    }
    let output = child.output().expect("it runs");
    let [text, why] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{text}{why}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "a process of another test"]
async fn reader() {
    let url = url();
    let path = Path::new(url.strip_prefix("sqlite:").expect("a file"));
    let store = SqliteStore::connect(&url).await.expect("opened");
    let id = create(&store, b"kept").await;
    drop(store);
    closed(path).await;

    allow(path, 0o400);
    let builder = SqliteStore::builder();
    let error = builder.connect(&url).await.expect_err("it is read-only");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("is read-only"), "{error}");
    assert!(error.to_string().contains("sessions.db"), "{error}");

    allow_all(path, 0o600);
    let store = SqliteStore::connect(&url).await.expect("opened");
    create(&store, b"writable").await;

    // A file that is put in its place is opened anew, and this one can't be written.
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).expect("copied");
    allow(&copy, 0o400);
    fs::rename(&copy, path).expect("put in its place");
    let error = store.create(&new_id(), &draft(b"refused")).await;
    let error = error.expect_err("it is read-only");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("is read-only"), "{error}");
    assert_eq!(data(&store, &id).await, Some(b"kept".to_vec()));
    allow_all(path, 0o600);
    create(&store, b"writable again").await;
}
