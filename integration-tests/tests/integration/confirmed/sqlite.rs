//! SQLite: the disk, and nothing else.

use session_core::Confirmation::{Durable, Replicated};
use session_core::{ErrorKind, SessionStore};
use session_sqlite::{Durability, SqliteStore};

use super::signs_out;

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_confirms_whatever_the_durability_and_memory_does_not() {
    for durability in [Durability::Full, Durability::Normal] {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}/sessions.db", folder.path().display());
        let builder = SqliteStore::builder().durability(durability);
        let store = builder.connect(&url).await.expect("opened");
        signs_out(store.clone(), Durable).await;
        let error = store.confirm(Replicated).await.expect_err("one file");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let store = SqliteStore::connect("sqlite::memory:")
        .await
        .expect("opened");
    let error = store.confirm(Durable).await.expect_err("no disk");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}
