//! A connection that is still open to a server which is no primary any more, and which lacks the
//! session, or has an older state of it: its answer never passes for the primary's.

use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, Lifetime, Saved, SessionDirectory, SessionId, SessionStore, Timeout, TokenChange, Ttl,
    Version,
};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};

use super::proxy::Proxy;
use super::{SECOND, ask, draft, id, number, owner};

/// A relay whose open connections lead to `one`, which is demoted while new ones lead to `two`.
struct Stage {
    one: Private,
    two: Private,
}

/// A store over the relay, and one at each server.
struct Stores<S> {
    relayed: S,
    at_one: S,
    at_two: S,
    proxy: Proxy,
}

impl Stage {
    fn new() -> [Self; 2] {
        let redis = || Private::start(Kind::Redis, &[]);
        let valkey = || Private::valkey(&[]);
        [(redis(), redis()), (valkey(), valkey())].map(|(one, two)| Self { one, two })
    }

    async fn native(&self) -> Stores<RedisStore> {
        let store = async |url: &str| RedisStore::connect(url).await.expect("up");
        let (proxy, stores) = self.stores(store).await;
        // The scripts are known at `one`, so that none is asked for.
        let warm = &stores[0];
        let (id, first) = (id(), draft().with_owner(owner("warm")));
        assert!(warm.create(&id, &first).await.expect("up").is_done());
        let saved = warm.save(&id, &draft(), &first.stamp.into()).await;
        assert!(saved.expect("up").is_done());
        warm.touch(&id, Timeout::Never).await.expect("up");
        warm.destroy(&id, None).await.expect("up");
        Stores::new(stores, proxy)
    }

    async fn express(&self) -> Stores<ExpressStore> {
        let store = async |url: &str| {
            let builder = ExpressStore::builder(Express::new("keyboard cat"));
            builder.connect(url).await.expect("up")
        };
        let (proxy, stores) = self.stores(store).await;
        Stores::new(stores, proxy)
    }

    async fn stores<S>(&self, store: impl AsyncFn(&str) -> S) -> (Proxy, [S; 3]) {
        ask(&self.one.url, &["REPLICAOF", "NO", "ONE"]).await;
        let proxy = Proxy::start(self.one.port).await;
        let relayed = store(&proxy.url()).await;
        let (at_one, at_two) = (store(&self.one.url).await, store(&self.two.url).await);
        (proxy, [relayed, at_one, at_two])
    }

    /// Makes `one` a replica whose link is stale.
    async fn demote<S>(&self, stores: &Stores<S>) {
        ask(&self.one.url, &["REPLICAOF", "127.0.0.1", "1"]).await;
        stores.proxy.lead_to(self.two.port);
    }
}

impl<S> Stores<S> {
    fn new([relayed, at_one, at_two]: [S; 3], proxy: Proxy) -> Self {
        Self {
            relayed,
            at_one,
            at_two,
            proxy,
        }
    }
}

impl<S: SessionStore> Stores<S> {
    /// A session at `two`; with `old`, an older one under the same id at `one`.
    async fn session(&self, id: SessionId, old: Option<&Draft>, new: &Draft) -> Session {
        if let Some(old) = old {
            assert!(self.at_one.create(&id, old).await.expect("up").is_done());
        }
        let saved = self.at_two.create(&id, new).await.expect("up");
        let Saved::Done(version) = saved else {
            panic!("{saved:?}");
        };
        Session { id, version }
    }

    async fn is_at_two(&self, id: &SessionId) -> bool {
        self.at_two.load(id).await.expect("up").is_some()
    }
}

struct Session {
    id: SessionId,
    version: Version,
}

fn hour() -> Draft {
    Draft::new("{}", Lifetime::idle(3_600 * SECOND))
}

fn longer() -> Timeout {
    Timeout::After(7_200 * SECOND)
}

fn check_moved(left: Option<Ttl>) {
    let left = left.and_then(Ttl::left).expect("it is there, and ends");
    assert!(left > Duration::from_secs(7_000), "{left:?}");
}

/// What `one` has under the session's id: nothing, or what would answer without a write.
fn states() -> [Option<Draft>; 2] {
    [None, Some(Draft::new("{\"old\":1}", Lifetime::default()))]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_demoted_server_lacks_is_ended_at_the_primary() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for stage in Stage::new() {
        for old in states() {
            for expected in [false, true] {
                let stores = stage.native().await;
                let new = hour().with_owner(owner("ann"));
                let Session { id, version } = stores.session(id(), old.as_ref(), &new).await;
                stage.demote(&stores).await;
                let version = expected.then_some(&version);
                let ended = stores.relayed.destroy(&id, version).await.expect("up");
                let old = old.is_some();
                assert!(ended.is_some(), "old: {old}, expected: {expected}");
                assert!(!stores.is_at_two(&id).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_demoted_server_lacks_is_written_at_the_primary() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for stage in Stage::new() {
        for old in states() {
            let stores = stage.native().await;
            let Session { id, version } = stores.session(id(), old.as_ref(), &hour()).await;
            stage.demote(&stores).await;
            let saved = stores.relayed.save(&id, &hour(), &version).await;
            assert!(saved.as_ref().is_ok_and(Saved::is_done), "{saved:?}");

            let stores = stage.native().await;
            let never = Lifetime::new(Timeout::Never, Timeout::Never);
            let old = old.map(|_| Draft::new("old", never));
            let Session { id, .. } = stores.session(super::id(), old.as_ref(), &hour()).await;
            stage.demote(&stores).await;
            check_moved(stores.relayed.touch(&id, longer()).await.expect("up"));
        }

        // In company too.
        let stores = stage.native().await;
        let mut sessions = Vec::new();
        for _ in 0..60 {
            sessions.push(stores.session(id(), None, &hour()).await);
        }
        stage.demote(&stores).await;
        let saves = sessions.into_iter().map(|Session { id, version }| {
            let store = stores.relayed.clone();
            tokio::spawn(async move { store.save(&id, &hour(), &version).await })
        });
        for save in saves.collect::<Vec<_>>() {
            let saved = save.await.expect("no panic");
            assert!(saved.as_ref().is_ok_and(Saved::is_done), "{saved:?}");
        }

        // An id that is taken at the demoted one only.
        let stores = stage.native().await;
        let id = id();
        let created = stores.at_one.create(&id, &draft()).await;
        assert!(created.expect("up").is_done());
        stage.demote(&stores).await;
        let created = stores.relayed.create(&id, &draft()).await;
        assert!(created.expect("up").is_done());
        assert!(stores.is_at_two(&id).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_whom_a_demoted_server_does_not_know_is_logged_out_at_the_primary() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for stage in Stage::new() {
        for other_type in [false, true] {
            let stores = stage.native().await;
            let ann = owner("ann");
            let new = hour().with_owner(ann.clone());
            let Session { id, .. } = stores.session(id(), None, &new).await;
            if other_type {
                let keys = ask(&stage.two.url, &["KEYS", "session:owner:*"]).await;
                let keys: Vec<String> = session_redis::redis::from_redis_value(keys).expect("keys");
                for key in keys {
                    ask(&stage.one.url, &["SET", &key, "x"]).await;
                }
            }
            stage.demote(&stores).await;
            let ended = stores.relayed.destroy_owned_by(&ann, None, 10).await;
            assert_eq!(ended.expect("up").len(), 1);
            assert!(!stores.is_at_two(&id).await);
            ask(&stage.one.url, &["REPLICAOF", "NO", "ONE"]).await;
            ask(&stage.one.url, &["FLUSHALL"]).await;
        }

        let stores = stage.native().await;
        stores.session(id(), None, &hour()).await;
        stage.demote(&stores).await;
        assert!(stores.relayed.clear().await.expect("up") > 0);
        assert_eq!(stores.at_two.count().await.expect("up"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_express_layout_acts_on_the_primary_too() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let plain = || SessionId::plain(&id().as_str().repeat(2)).expect("valid");
    for stage in Stage::new() {
        for old in states() {
            for what in [
                "save",
                "blind save",
                "move",
                "touch",
                "destroy",
                "version",
                "clear",
            ] {
                let stores = stage.express().await;
                let session = stores.session(plain(), old.as_ref(), &hour()).await;
                let (id, version) = (session.id, session.version);
                stage.demote(&stores).await;
                let store = &stores.relayed;
                let blind = Version::new(version.stamp());
                let is_done = match what {
                    "save" => store
                        .save(&id, &hour(), &version)
                        .await
                        .expect("up")
                        .is_done(),
                    "blind save" => store
                        .save(&id, &hour(), &blind)
                        .await
                        .expect("up")
                        .is_done(),
                    "move" => {
                        let mut draft = hour();
                        draft.token = TokenChange::New;
                        store
                            .save(&id, &draft, &version)
                            .await
                            .expect("up")
                            .is_done()
                    }
                    "touch" => {
                        check_moved(store.touch(&id, longer()).await.expect("up"));
                        true
                    }
                    "destroy" => store.destroy(&id, None).await.expect("up").is_some(),
                    "version" => store
                        .destroy(&id, Some(&version))
                        .await
                        .expect("up")
                        .is_some(),
                    _ => store.clear().await.expect("up") > 0,
                };
                assert!(is_done, "{what}, old: {}", old.is_some());
                let ends = !matches!(what, "save" | "blind save" | "touch");
                assert_eq!(stores.is_at_two(&id).await, !ends, "{what}");
            }
        }
        assert_eq!(
            number(&stage.two.url, &["EXISTS", "sess:scratch:"]).await,
            0
        );
    }
}

/// The write that changes nothing must not change anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_without_a_change_leaves_the_session_as_it_is() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = RedisStore::connect(&server.url).await.expect("up");
        for lifetime in [
            Lifetime::idle(3_600 * SECOND),
            Lifetime::new(Timeout::Never, Timeout::Never),
        ] {
            let (id, first) = (id(), Draft::new("{}", lifetime).with_owner(owner("ann")));
            assert!(store.create(&id, &first).await.expect("up").is_done());
            let key = format!("session:{{{}}}", id.as_str());
            let end = async || number(&server.url, &["PEXPIRETIME", &key]).await;
            let before = end().await;
            let other = Version::new(draft().stamp);
            let saved = store.save(&id, &draft(), &other).await;
            assert_eq!(saved.expect("up"), Saved::Conflict);
            assert_eq!(
                store.create(&id, &draft()).await.expect("up"),
                Saved::Conflict
            );
            assert!(store.create(&id, &first).await.expect("up").is_done());
            let saved = store.save(&id, &first, &other).await;
            assert!(saved.expect("up").is_done(), "it was done before");
            assert_eq!(store.destroy(&id, Some(&other)).await.expect("up"), None);
            let touched = store.touch(&id, Timeout::After(SECOND)).await;
            assert!(touched.expect("up").is_some());
            assert_eq!(end().await, before);
            let record = store.load(&id).await.expect("up").expect("there");
            assert_eq!(record.version.stamp(), first.stamp);
        }
        let absent = id();
        let saved = store.save(&absent, &draft(), &draft().stamp.into()).await;
        assert_eq!(saved.expect("up"), Saved::Gone);
        assert_eq!(store.touch(&absent, longer()).await.expect("up"), None);
        assert_eq!(store.destroy(&absent, None).await.expect("up"), None);
        assert_eq!(store.count().await.expect("up"), 2);
    }
}

/// A load from a replica might miss the last saves.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_does_not_start_at_a_replica() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for Stage { one, two } in Stage::new() {
        let primary = two.port.to_string();
        ask(&one.url, &["REPLICAOF", "127.0.0.1", &primary]).await;
        let native = RedisStore::builder()
            .timeout(SECOND)
            .connect(&one.url)
            .await;
        let express = ExpressStore::builder(Express::new("keyboard cat")).timeout(SECOND);
        let express = express.connect(&one.url).await;
        for error in [native.map(drop), express.map(drop)] {
            let error = error.expect_err("a replica");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(error.to_string().contains("READONLY"), "{error}");
        }
    }
}
