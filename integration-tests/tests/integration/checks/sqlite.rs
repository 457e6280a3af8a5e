//! SQLite.

use std::path::Path;

use super::check;

fn folder_in(parent: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new()
        .prefix("session-check-")
        .tempdir_in(parent);
    folder.expect("a folder")
}

fn url(folder: &Path, options: &str) -> String {
    format!("sqlite:{}/s.db?{options}", folder.display())
}

/// `migrate` makes the file: a check does not.
async fn made(url: &str) {
    session_store::connect(url).await.expect("set up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_memory_is_named() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let folder = folder_in("/dev/shm");
    let url = url(folder.path(), "");
    made(&url).await;
    let checked = check(&[&url]);
    checked.names("sqlite-memory", "weaker").is_good();
    assert!(
        checked.what("sqlite-memory").contains("tmpfs"),
        "{:#}",
        checked.report
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_a_power_failure_undoes_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = url(folder.path(), "durability=normal");
    made(&url).await;
    check(&[&url])
        .names("sqlite-durability", "weaker")
        .is_good();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_others_may_read_is_named() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let url = url(folder.path(), "");
    made(&url).await;
    let file = folder.path().join("s.db");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("own file");
    check(&[&url])
        .names("sqlite-permissions", "weaker")
        .is_good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = url(folder.path(), "");
    let checked = check(&[&url]);
    checked.names("refused", "broken");
    assert!(!folder.path().join("s.db").exists());
}
