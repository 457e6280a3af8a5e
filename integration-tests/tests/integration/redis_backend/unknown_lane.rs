//! A server that can't tell its lane, because it refuses each write now, and a user who may run no
//! scripts.

use integration_tests::servers::{self, Private};
use session_core::{Error, SessionId, SessionStore, Timeout, TokenChange};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};

use super::{SECOND, ask, draft, id, owner};
use crate::redis::user_without_scripts;

async fn connect(url: &str) -> Result<ExpressStore, Error> {
    let builder = ExpressStore::builder(Express::new("keyboard cat"));
    builder.connect(url).await
}

fn check(what: &str, error: &Error, said: &str) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error:?}");
    assert!(error.to_string().contains(said), "{what}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_passes_is_no_missing_right_while_the_lane_is_not_known() {
    if servers::valkey().is_none() {
        return;
    }
    let server = Private::valkey(&[]);
    let url = user_without_scripts(&server.url);
    let express = connect(&url).await.expect("set up");
    let native = RedisStore::connect(&url).await.expect("set up");
    let plain = |text: &str| SessionId::plain(text.repeat(32).as_str()).expect("valid");
    let (name, owned) = (plain("a"), id());
    let created = express.create(&name, &draft()).await;
    assert!(created.expect("up").is_done());
    let first = draft().with_owner(owner("ann"));
    assert!(native.create(&owned, &first).await.expect("up").is_done());
    for (setting, bad, good, said) in [
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
        ("maxmemory", "1", "0", "OOM"),
    ] {
        let version = express.load(&name).await.expect("up").expect("there");
        let (lifetime, version) = (version.lifetime, version.version);
        ask(&server.url, &["CONFIG", "SET", setting, bad]).await;
        // The next connections can't tell.
        let kill = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
        ask(&server.url, &kill).await;
        let changed = || session_core::Draft::new("{\"n\":1}", lifetime);
        let saved = express.save(&name, &changed(), &version).await;
        check("save", &saved.expect_err("refused"), said);
        let mut moved = changed();
        moved.token = TokenChange::New;
        let renamed = express.save(&name, &moved, &version).await;
        check("move", &renamed.expect_err("refused"), said);
        let created = express.create(&plain("b"), &draft()).await;
        check("create", &created.expect_err("refused"), said);
        let saved = native.save(&owned, &draft(), &first.stamp.into()).await;
        check("native save", &saved.expect_err("refused"), said);
        if said == "NOREPLICAS" {
            let longer = Timeout::After(90_000 * SECOND);
            let touched = express.touch(&name, longer).await;
            check("touch", &touched.expect_err("refused"), said);
            let ended = express.destroy(&name, Some(&version)).await;
            check("destroy", &ended.expect_err("refused"), said);
            check("connect", &connect(&url).await.expect_err("refused"), said);
            let connected = RedisStore::connect(&url).await;
            check("native connect", &connected.expect_err("refused"), said);
        }
        ask(&server.url, &["CONFIG", "SET", setting, good]).await;
        let saved = express.save(&name, &changed(), &version).await;
        assert!(saved.expect("over").is_done());
    }
}
