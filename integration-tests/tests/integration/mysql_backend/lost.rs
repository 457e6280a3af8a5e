//! Answers that are lost with their connection: the store sends again, and says what it knows.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, EndId, EndKind, EndReason, Ended, Event, Lifetime, Observer, Owner, Saved,
    SessionDirectory, SessionId, SessionStore, Sessions, Version,
};
use session_mysql::MysqlStore;
use session_mysql::sqlx::{self, AssertSqlSafe, Connection, MySqlConnection};

use super::modes::{INIT_CONNECT, init_connect};
use super::proxy::Proxy;
use super::{User, drop_table, id, is_mariadb, owner, pool, store, table, url};

fn draft() -> Draft {
    Draft::new("{}", Lifetime::default())
}

/// A table, a store on it whose answers can be lost, and one that is near.
struct Stage {
    table: String,
    proxy: Proxy,
    far: MysqlStore,
    near: MysqlStore,
}

impl Stage {
    async fn new() -> Self {
        let table = table();
        let near = store(&table).await;
        let proxy = Proxy::start().await;
        let far = proxy.store(&table).await;
        Self {
            table,
            proxy,
            far,
            near,
        }
    }

    async fn session(&self) -> (SessionId, Version) {
        let (id, draft) = (id(), draft().with_owner(owner("ann")));
        let created = self.near.create(&id, &draft).await.expect("up");
        assert!(created.is_done());
        (id, draft.stamp.into())
    }

    async fn lapse_claims(&self) {
        let lapse = format!("UPDATE `{}` SET claimed = UTC_TIMESTAMP(6)", self.table);
        let lapse = sqlx::query(AssertSqlSafe(lapse));
        lapse.execute(&pool().await).await.expect("lapsed");
    }

    /// Runs `call` on the far store, loses the answer to its statement with `word`, and does
    /// `meanwhile` before it can be sent again.
    async fn losing<T: Send + 'static>(
        &self,
        word: &'static str,
        call: impl AsyncFnOnce(MysqlStore) -> T,
        meanwhile: impl Future<Output = ()>,
    ) -> T {
        self.proxy.lose(word);
        let interrupted = async {
            self.proxy.lost().await;
            meanwhile.await;
            self.proxy.open();
        };
        tokio::join!(call(self.far.clone()), interrupted).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_whose_answer_is_lost_says_that_the_session_has_ended() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    for is_expected in [false, true] {
        let (id, version) = stage.session().await;
        let expected = is_expected.then_some(&version);
        let destroy = async |far: MysqlStore| far.destroy(&id, expected).await;
        let ended = stage.losing("DELETE", destroy, async {}).await;
        assert_eq!(ended.expect("up"), Some(Ended::unknown(id.clone())));
        assert_eq!(stage.near.load(&id).await.expect("up"), None);
    }
    drop_table(&stage.table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_of_another_version_says_nothing_has_ended_however_often_it_is_sent() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    let (id, version) = stage.session().await;
    let saved = stage.near.save(&id, &draft(), &version).await.expect("up");
    assert!(saved.is_done());
    // MySQL looks for the version before it deletes it, MariaDB does both at once.
    let word = match is_mariadb().await {
        true => "DELETE",
        false => "`stamp` FROM",
    };
    let destroy = async |far: MysqlStore| far.destroy(&id, Some(&version)).await;
    let ended = stage.losing(word, destroy, async {}).await;
    assert_eq!(ended.expect("up"), None);
    assert!(stage.near.load(&id).await.expect("up").is_some());
    drop_table(&stage.table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_whose_answer_is_lost_are_done_or_unknown_and_never_a_conflict() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    for is_replaced in [false, true] {
        let (id, first, second) = (id(), draft(), draft());
        let replace = async |version: &Draft| {
            let version = version.stamp.into();
            if is_replaced {
                let saved = stage.near.save(&id, &draft(), &version).await;
                assert!(saved.expect("up").is_done());
            }
        };
        let outcome = |draft: &Draft| match is_replaced {
            true => Saved::Unknown,
            false => Saved::done(draft),
        };
        let create = async |far: MysqlStore| far.create(&id, &first).await;
        let created = stage.losing("INSERT", create, replace(&first)).await;
        assert_eq!(created.expect("up"), outcome(&first));

        let found = stage.near.load(&id).await.expect("up").expect("created");
        let save = async |far: MysqlStore| far.save(&id, &second, &found.version).await;
        let saved = stage.losing("UPDATE", save, replace(&second)).await;
        assert_eq!(saved.expect("up"), outcome(&second));
    }
    drop_table(&stage.table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_whose_session_has_ended_since_its_answer_was_lost_is_unknown() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    let (id, version) = stage.session().await;
    let save = async |far: MysqlStore| far.save(&id, &draft(), &version).await;
    let destroy = async {
        let ended = stage.near.destroy(&id, None).await.expect("up");
        assert!(ended.is_some());
    };
    let saved = stage.losing("UPDATE", save, destroy).await;
    // Another request may have read what it wrote.
    assert_eq!(saved.expect("up"), Saved::Unknown);
    drop_table(&stage.table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_whose_removal_is_not_confirmed_are_told_all_the_same() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    let mut ids = HashSet::new();
    for _ in 0..5 {
        ids.insert(stage.session().await.0);
    }
    let destroy = async |far: MysqlStore| far.destroy_owned_by(&owner("ann"), None, 100).await;
    let ended = stage.losing("COMMIT", destroy, async {}).await.expect("up");
    let told: HashSet<SessionId> = ended.into_iter().map(|ended| ended.id).collect();
    assert_eq!(told, ids);

    let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(1)));
    for id in &ids {
        let created = stage.near.create(id, &brief).await.expect("up");
        assert!(created.is_done());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    // The server may have rolled back. What it has claimed is told when the claim has lapsed.
    let reap = async |far: MysqlStore| far.reap(100).await;
    let ended = stage.losing("COMMIT", reap, async {}).await.expect("up");
    assert!(ended.is_empty() || ended.len() == 5, "{ended:?}");
    stage.lapse_claims().await;
    let ended = stage.near.reap(100).await.expect("up");
    let told: HashSet<SessionId> = ended.iter().map(|ended| ended.id.clone()).collect();
    assert_eq!((ended.len(), told), (5, ids));
    let confirm = async |far: MysqlStore| far.confirm_reaped(&ended).await;
    stage.losing("DELETE", confirm, async {}).await.expect("up");
    stage.lapse_claims().await;
    assert_eq!(stage.near.reap(100).await.expect("up"), []);
    drop_table(&stage.table).await;
}

/// An end, with the owner and the age that observers were told.
type ToldEnd = (EndId, Option<Owner>, Option<Duration>);

/// Remembers the ends that it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<ToldEnd>>>);

impl Observer for Told {
    fn destroyed(&self, event: Event<'_>, _: EndReason) {
        let end = event.end_id().expect("an end");
        let mut told = self.0.lock().expect("whole");
        told.push((end, event.owner.cloned(), event.age));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_whose_answers_are_lost_are_told_once_with_owner_and_age() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    for way in ["sign out", "by owner"] {
        let told = Told::default();
        let sessions = Sessions::builder(stage.far.clone()).observer(told.clone());
        let sessions = sessions.build().expect("good rules");
        let session = sessions.start();
        session.sign_in("ann").await.expect("up");
        let id = session.id().expect("stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let end = async |_: MysqlStore| match way {
            "sign out" => session.destroy().await,
            _ => sessions.destroy_owned_by("ann", None).await.map(drop),
        };
        let word = if way == "sign out" {
            "DELETE"
        } else {
            "COMMIT"
        };
        stage.losing(word, end, async {}).await.expect("repeated");
        let told = told.0.lock().expect("whole").clone();
        assert_eq!(told.len(), 1, "{way}: {told:?}");
        let (end, whose, age) = &told[0];
        assert_eq!((&end.session, end.kind), (&id, EndKind::Destroyed), "{way}");
        assert_eq!(*whose, Some(owner("ann")), "{way}");
        assert!(*age >= Some(Duration::from_millis(5)), "{way}: {age:?}");
    }
    drop_table(&stage.table).await;
}

/// A server that gives up a lock has not done the statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_waited_too_long_for_a_lock_finds_a_conflict_as_any_other() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Stage::new().await;
    let alone = INIT_CONNECT.lock().await;
    let (admin, user) = (pool().await, User::new("").await);
    init_connect(&admin, "SET SESSION innodb_lock_wait_timeout = 1").await;
    let hasty = MysqlStore::builder().table(&stage.table);
    let hasty = hasty.connect(&user.url()).await.expect("up");
    init_connect(&admin, "").await;
    drop(alone);
    let (id, version) = stage.session().await;
    let mut other = MySqlConnection::connect(url()).await.expect("up");
    let mut holds = other.begin().await.expect("begun");
    let change = format!("UPDATE `{}` SET stamp = REPEAT('x', 16)", stage.table);
    sqlx::query(AssertSqlSafe(change))
        .execute(&mut *holds)
        .await
        .expect("changed");
    let release = async {
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        holds.commit().await.expect("committed");
    };
    let draft = draft();
    let (saved, ()) = tokio::join!(hasty.save(&id, &draft, &version), release);
    assert_eq!(saved.expect("up"), Saved::Conflict);
    drop_table(&stage.table).await;
    user.remove().await;
}
