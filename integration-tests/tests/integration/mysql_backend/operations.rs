//! Every operation of a store, by name.

use std::time::Duration;

use session_core::{
    Draft, Lifetime, Result, SessionDirectory, SessionId, SessionStore, Timeout, Version,
};

use super::{SECOND, id, owner};

/// Those of any store.
pub(crate) const ANY: [&str; 9] = [
    "create", "load", "save", "touch", "destroy", "count", "list", "clear", "reap",
];

/// Those of a store that looks up owners.
pub(crate) const OWNED: [&str; 2] = ["owned_by", "destroy_owned_by"];

pub(crate) fn draft() -> Draft {
    Draft::new("{}", Lifetime::idle(60 * SECOND))
}

/// A session of `ann`'s, if the store knows owners, for operations that need one.
pub(crate) async fn session(near: &dyn SessionStore, owned: bool) -> (SessionId, Version) {
    let (id, draft) = (id(), draft().with_owner(owned.then(|| owner("ann"))));
    let created = near.create(&id, &draft).await.expect("up");
    assert!(created.is_done());
    let record = near.load(&id).await.expect("up").expect("created");
    (id, record.version)
}

/// Calls `operation` on `far`, after `near` has made what it works on.
pub(crate) async fn call(
    operation: &str,
    far: &dyn SessionStore,
    near: &dyn SessionStore,
) -> Result<()> {
    let owned = near.capabilities().expiry_reports;
    let (session, version) = session(near, owned).await;
    let directory = || far.directory().expect("it has one");
    match operation {
        "create" => {
            let created = far.create(&id(), &draft()).await?;
            assert!(created.is_done());
        }
        "load" => assert!(far.load(&session).await?.is_some()),
        "save" => {
            let saved = far.save(&session, &draft(), &version).await?;
            assert!(saved.is_done());
        }
        "touch" => {
            let touched = far.touch(&session, Timeout::After(90 * SECOND)).await?;
            assert!(touched.is_some());
        }
        "destroy" => assert!(far.destroy(&session, None).await?.is_some()),
        "count" => assert!(directory().count().await? > 0),
        "list" => assert!(!directory().list(None, 10).await?.sessions.is_empty()),
        "clear" => assert!(directory().clear().await? > 0),
        "reap" => reap(directory(), near).await?,
        "owned_by" => {
            let page = directory().owned_by(&owner("ann"), None, 10).await?;
            assert!(!page.sessions.is_empty());
        }
        "destroy_owned_by" => {
            let ann = owner("ann");
            let ended = directory().destroy_owned_by(&ann, None, 100).await?;
            assert!(!ended.is_empty());
        }
        other => panic!("there is no {other}"),
    }
    Ok(())
}

async fn reap(directory: &dyn SessionDirectory, near: &dyn SessionStore) -> Result<()> {
    let (id, brief) = (
        id(),
        Draft::new("{}", Lifetime::idle(Duration::from_millis(1))),
    );
    let created = near.create(&id, &brief).await.expect("up");
    assert!(created.is_done());
    tokio::time::sleep(Duration::from_millis(5)).await;
    directory.reap(100).await.map(drop)
}
