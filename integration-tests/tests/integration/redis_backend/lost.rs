//! Answers that are lost with their connection: the store sends again, and says what it knows.

use std::pin::Pin;
use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Ended, Error, Saved, SessionDirectory, SessionId, SessionStore, Stamp, Timeout, Version,
};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};

use super::proxy::Proxy;
use super::{SECOND, ask, draft, id, number, owner};

/// A server, a store on it whose answers can be lost, and one that is near.
struct Stage {
    server: Private,
    proxy: Proxy,
    far: RedisStore,
    near: RedisStore,
}

impl Stage {
    async fn new() -> Self {
        let server = Private::start(Kind::Redis, &[]);
        let near = RedisStore::connect(&server.url).await.expect("set up");
        let proxy = Proxy::start(server.port).await;
        let far = proxy.store().await;
        let stage = Self {
            server,
            proxy,
            far,
            near,
        };
        // What is asked for first has an answer more, for the scripts are missing.
        stage.session().await;
        stage
    }

    /// A session of ann's.
    async fn session(&self) -> (SessionId, Version) {
        let (id, draft) = (id(), draft().with_owner(owner("ann")));
        let created = self.near.create(&id, &draft).await.expect("up");
        assert_eq!(created, Saved::done(&draft));
        (id, draft.stamp.into())
    }

    /// Runs `call` on the far store, loses the answer to its script, and does `meanwhile` before it
    /// can be sent again.
    async fn losing<T>(
        &self,
        call: impl AsyncFnOnce(&RedisStore) -> T,
        meanwhile: impl Future<Output = ()>,
    ) -> T {
        self.proxy.lose("EVALSHA");
        let interrupted = async {
            self.proxy.lost().await;
            meanwhile.await;
            self.proxy.open();
        };
        let both = async { tokio::join!(call(&self.far), interrupted).0 };
        let done = tokio::time::timeout(10 * SECOND, both).await;
        done.expect("an answer is lost, and comes again")
    }

    /// Replaces the session by another writer.
    async fn overtake(&self, id: &SessionId, expected: Stamp) {
        let theirs = draft().with_owner(owner("ann"));
        let saved = self.near.save(id, &theirs, &expected.into()).await;
        assert_eq!(saved.expect("up"), Saved::done(&theirs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_answer_is_lost_is_told_by_its_stamp() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    for whose in [None, Some(owner("ann"))] {
        let (id, first) = stage.session().await;
        let second = draft().with_owner(whose);
        let save = async |store: &RedisStore| store.save(&id, &second, &first).await;
        let saved = stage.losing(save, async {}).await.expect("sent again");
        assert_eq!(saved, Saved::done(&second), "nothing came after it");

        let third = draft().with_owner(second.owner.clone());
        let second = second.stamp.into();
        let save = async |store: &RedisStore| store.save(&id, &third, &second).await;
        let overtake = stage.overtake(&id, third.stamp);
        let saved = stage.losing(save, overtake).await.expect("sent again");
        assert_eq!(saved, Saved::Unknown, "another came after it");

        let late = stage.far.save(&id, &draft(), &second).await;
        assert_eq!(late.expect("up"), Saved::Conflict, "sent once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_in_company_whose_answer_is_lost_is_told_too() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let mut saves = Vec::new();
    for _ in 0..100 {
        let (id, version) = stage.session().await;
        saves.push((id, version, draft().with_owner(owner("ann"))));
    }
    let all = async |store: &RedisStore| {
        let saves = saves.iter().map(|(id, version, draft)| {
            let (store, id, version, draft) = (store.clone(), id.clone(), version, draft);
            let (version, draft) = (version.clone(), draft.clone());
            tokio::spawn(async move { store.save(&id, &draft, &version).await })
        });
        let mut outcomes = Vec::new();
        for save in saves.collect::<Vec<_>>() {
            outcomes.push(save.await.expect("no panic").expect("sent again"));
        }
        outcomes
    };
    let overtake_some = async {
        for (id, version, draft) in &saves {
            let record = stage.near.load(id).await.expect("up").expect("there");
            // Some are done and overtaken; some were not sent yet, and are beaten to it.
            let done = record.version.stamp() == draft.stamp;
            assert!(done || record.version == *version);
            stage.overtake(id, record.version.stamp()).await;
        }
    };
    let outcomes = stage.losing(all, overtake_some).await;
    let unknown = outcomes.iter().filter(|saved| **saved == Saved::Unknown);
    assert!(unknown.count() > 0, "{outcomes:?}");
    let told = |saved: &Saved| matches!(saved, Saved::Unknown | Saved::Conflict);
    assert!(outcomes.iter().all(told), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_told_by_its_stamp() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    for whose in [None, Some(owner("ann"))] {
        let (id, first) = (id(), draft().with_owner(whose));
        let create = async |store: &RedisStore| store.create(&id, &first).await;
        let created = stage.losing(create, async {}).await.expect("sent again");
        assert_eq!(created, Saved::done(&first), "nothing came after it");

        let id = super::id();
        let create = async |store: &RedisStore| store.create(&id, &first).await;
        let overtake = stage.overtake(&id, first.stamp);
        let created = stage.losing(create, overtake).await.expect("sent again");
        assert_eq!(created, Saved::Unknown, "a save came after it");

        let late = stage.far.create(&id, &draft()).await;
        assert_eq!(late.expect("up"), Saved::Conflict, "sent once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_whose_answer_is_lost_says_that_something_ended() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let (id, version) = stage.session().await;
    for expected in [None, Some(&version)] {
        let (id, _) = stage.session().await;
        let destroy = async |store: &RedisStore| store.destroy(&id, None).await;
        let ended = stage.losing(destroy, async {}).await.expect("sent again");
        assert_eq!(ended, Some(Ended::unknown(id.clone())), "{expected:?}");
        let ended = stage.far.destroy(&id, expected).await.expect("up");
        assert_eq!(ended, None, "sent once");
    }
    // What lives on was not ended, however often it was to be.
    let other = Version::new(Stamp::generate());
    let destroy = async |store: &RedisStore| store.destroy(&id, Some(&other)).await;
    let ended = stage.losing(destroy, async {}).await.expect("sent again");
    assert_eq!(ended, None);
    let record = stage.near.load(&id).await.expect("up").expect("there");
    assert_eq!(record.version, version);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_everywhere_tells_of_those_whose_answer_is_lost() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (id, draft) = (id(), draft().with_owner(owner("bob")));
        let created = stage.near.create(&id, &draft).await.expect("up");
        assert!(created.is_done());
        ids.push(id);
    }
    let bob = owner("bob");
    stage.proxy.lose("EVALSHA");
    let end = async { stage.far.destroy_owned_by(&bob, None, 10).await };
    let open = async {
        stage.proxy.lost().await;
        stage.proxy.open();
    };
    let mut ended = tokio::join!(end, open).0.expect("sent again");
    ended.sort_by(|one, other| one.id.cmp(&other.id));
    ids.sort();
    let expected: Vec<_> = ids.into_iter().map(Ended::unknown).collect();
    assert_eq!(ended, expected);
    let none = stage.far.destroy_owned_by(&bob, None, 10).await;
    assert_eq!(none.expect("up"), [], "they are told of once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_with_the_scripts_comes_back_with_them() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let flush = || async {
        ask(&stage.server.url, &["SCRIPT", "FLUSH"]).await;
    };
    for whose in [None, Some(owner("ann"))] {
        let (id, first) = stage.session().await;
        let second = draft().with_owner(whose);
        let save = async |store: &RedisStore| store.save(&id, &second, &first).await;
        let saved = stage.losing(save, flush()).await.expect("sent again");
        assert_eq!(saved, Saved::done(&second));
        let destroy = async |store: &RedisStore| store.destroy(&id, None).await;
        let ended = stage.losing(destroy, flush()).await.expect("sent again");
        assert_eq!(ended, Some(Ended::unknown(id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_scripts_alone_make_no_outcome_unknown() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let url = &stage.server.url;
    for whose in [None, Some(owner("ann"))] {
        let (id, _) = stage.session().await;
        let (next, other) = (draft().with_owner(whose), Version::new(Stamp::generate()));
        ask(url, &["SCRIPT", "FLUSH"]).await;
        let saved = stage.far.save(&id, &next, &other).await;
        assert_eq!(saved.expect("up"), Saved::Conflict);
        ask(url, &["SCRIPT", "FLUSH"]).await;
        let created = stage.far.create(&id, &next).await;
        assert_eq!(created.expect("up"), Saved::Conflict);
        ask(url, &["SCRIPT", "FLUSH"]).await;
        let ended = stage.far.destroy(&super::id(), None).await;
        assert_eq!(ended.expect("up"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_tells_owner_and_age_of_what_was_destroyed() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let stage = Stage::new().await;
    let (id, _) = stage.session().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    // What is sent to the owner's index gets no answer, and nobody waits for one.
    stage.proxy.lose("ZREM");
    let ended = stage.far.destroy(&id, None).await.expect("up");
    let ended = ended.expect("it was there");
    assert_eq!((&ended.id, &ended.owner), (&id, &Some(owner("ann"))));
    let age = ended.age.expect("known");
    assert!(
        age >= Duration::from_millis(20) && age < 10 * SECOND,
        "{age:?}"
    );
    stage.proxy.lost().await;
    let keys = ask(&stage.server.url, &["KEYS", "session:owner:*"]).await;
    let keys: Vec<String> = session_redis::redis::from_redis_value(keys).expect("keys");
    let listed = number(&stage.server.url, &["ZCARD", &keys[0]]).await;
    assert_eq!(listed, 1, "the stage's own");
    stage.proxy.open();
}

/// Express' values do not say who wrote them, so what a lost answer leaves open is said to be open.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_express_that_is_lost_is_no_other_writers_doing() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    // The server has forgotten the script of the touch, so the first sending does nothing.
    check_lost_on_express(Private::start(Kind::Redis, &[]), "EVALSHA", Some(true)).await;
    check_lost_on_express(Private::valkey(&[]), "IFEQ", None).await;
}

/// `swap` is in the command that compares and writes, `touched` the outcome of a touch.
async fn check_lost_on_express(server: Private, swap: &'static str, touched: Option<bool>) {
    let proxy = Proxy::start(server.port).await;
    let store = ExpressStore::builder(Express::new("keyboard cat"));
    let store = store.connect(&proxy.url()).await.expect("set up");
    let name = |n: u32| SessionId::plain(&format!("{n:032}")).expect("valid");
    let losing = async |command, call: Pin<Box<dyn Future<Output = Result<bool, Error>> + '_>>| {
        proxy.lose(command);
        let interrupted = async {
            proxy.lost().await;
            ask(&server.url, &["SCRIPT", "FLUSH"]).await;
            proxy.open();
        };
        tokio::join!(call, interrupted).0
    };
    for n in 0..3 {
        let (id, first, second) = (name(n), draft(), draft());
        let create = async { Ok(store.create(&id, &first).await?.is_done()) };
        let error = losing("NX", Box::pin(create)).await.expect_err("open");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        // The same write again is known by what it has left.
        let again = store.create(&id, &first).await.expect("up");
        let Saved::Done(version) = again else {
            panic!("{again:?}");
        };
        let touch = async {
            let touched = store.touch(&id, Timeout::After(3_000 * SECOND)).await?;
            Ok(touched.is_some())
        };
        assert_eq!(losing(swap, Box::pin(touch)).await.ok(), touched);
        let save = async { Ok(store.save(&id, &second, &version).await?.is_done()) };
        let error = losing(swap, Box::pin(save)).await.expect_err("open");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        let again = store.save(&id, &second, &version).await.expect("up");
        assert!(again.is_done(), "{again:?}");
        let load = async { Ok(store.load(&id).await?.is_some()) };
        assert_eq!(losing("GET", Box::pin(load)).await.ok(), Some(true));
        let destroy = async { Ok(store.destroy(&id, None).await?.is_some()) };
        assert_eq!(losing("UNLINK", Box::pin(destroy)).await.ok(), Some(true));
        assert!(store.load(&id).await.expect("up").is_none());
    }
}
