//! Connections that lead to a server which is not the right one any more: demoted, read-only or
//! shutting down. The store drops them and goes on with new ones.

use std::sync::Arc;
use std::time::Duration;

use integration_tests::servers::{self, Kind, Private};
use session_core::{
    Draft, ErrorKind, Lifetime, Result, SessionDirectory, SessionId, SessionStore, Version,
};
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};
use session_mysql::{MysqlStore, MysqlStoreBuilder, schema};

use super::operations::{ANY, OWNED, call, draft, session};
use super::relay::{Relay, address};
use super::{drop_table, id, pool, store, table, url};

/// What servers say that stop, serve no writes or are not ready to.
const WRONG: [u16; 12] = [
    1290, 1836, 1792, 1053, 3572, 1047, 1077, 1223, 1927, 3032, 3100, 4031,
];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_leaves_a_connection_to_a_wrong_server_and_succeeds_on_a_new_one() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let relay = Relay::to(&address()).await;
    let far = MysqlStore::builder().table(&name);
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    for operation in ANY.into_iter().chain(OWNED) {
        call(operation, &far, &near).await.expect("up");
        relay.refuse(1290);
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    for number in WRONG {
        relay.refuse(number);
        let done = call("save", &far, &near).await;
        done.unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_an_express_store_leaves_a_connection_to_a_wrong_server() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = || ExpressStore::builder(Express::new("secret")).table(&name);
    let near = builder().connect(url()).await.expect("up");
    let relay = Relay::to(&address()).await;
    let far = builder().connect(&relay.url("root", "test")).await;
    let far = far.expect("up");
    for operation in ANY {
        call(operation, &far, &near).await.expect("up");
        relay.refuse(1836);
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    drop_table(&name).await;
}

/// A MariaDB server with a user `app` that has no right to write while it is read-only.
fn own_server(arguments: &[&str]) -> Private {
    Private::start(Kind::Mysql, arguments)
}

async fn prepare(server: &Private, name: &str) {
    let pool = MySqlPool::connect(&server.url).await.expect("up");
    let express = "CREATE TABLE visits (session_id varchar(128) COLLATE utf8mb4_bin NOT NULL \
                   PRIMARY KEY, expires int unsigned NOT NULL, data mediumtext)";
    for statement in [
        schema(name),
        express.to_owned(),
        "CREATE USER app@'%'".to_owned(),
        "GRANT SELECT, INSERT, UPDATE, DELETE ON test.* TO app@'%'".to_owned(),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&pool).await;
        done.expect("a server of this test's own");
    }
}

/// A failover: the old primary is read-only and goes on answering, and the address leads to the new
/// one.
struct Failover {
    old: Private,
    new: Private,
    table: String,
    relay: Relay,
    admin: MySqlPool,
}

impl Failover {
    async fn start() -> Self {
        let (old, new) = (own_server(&[]), own_server(&[]));
        let table = table();
        prepare(&old, &table).await;
        prepare(&new, &table).await;
        let relay = Relay::to(&at(&old)).await;
        let admin = MySqlPool::connect(&old.url).await.expect("up");
        Self {
            old,
            new,
            table,
            relay,
            admin,
        }
    }

    fn far(&self) -> String {
        self.relay.url("app", "test")
    }

    fn builder(&self) -> MysqlStoreBuilder {
        MysqlStore::builder().table(&self.table)
    }

    async fn express(url: &str) -> ExpressStore {
        let builder = ExpressStore::builder(Express::new("secret")).table("visits");
        builder.connect(url).await.expect("up")
    }

    /// The address leads to the old one, which takes writes.
    async fn undo(&self) {
        self.admin("SET GLOBAL read_only = 0").await;
        self.relay.switch(&at(&self.old));
        // The connections there are lead to the new one still: they go by being refused.
        self.relay.refuse(1053);
    }

    /// It happens while `far` has a connection to the old one, which knows of no session.
    async fn happen(&self, far: &dyn SessionStore) {
        self.undo().await;
        assert_eq!(far.load(&id()).await.expect("up"), None);
        self.admin(&format!("DELETE FROM `{}`", self.table)).await;
        self.admin("DELETE FROM visits").await;
        self.admin("SET GLOBAL read_only = 1").await;
        self.relay.switch(&at(&self.new));
    }

    async fn admin(&self, statement: &str) {
        let statement = AssertSqlSafe(statement.to_owned());
        let done = sqlx::raw_sql(statement).execute(&self.admin).await;
        done.expect("root may");
    }
}

fn at(server: &Private) -> String {
    format!("127.0.0.1:{}", server.port)
}

/// Nothing but a write tells that a server was demoted, and it lacks the sessions that were made
/// since: an operation that finds none there must not take its word.
#[tokio::test(flavor = "multi_thread")]
async fn stores_follow_an_address_from_a_read_only_server_to_the_writable_one() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Failover::start().await;
    let near = stage.builder().connect(&stage.new.url).await.expect("up");
    let near_express = Failover::express(&stage.new.url).await;
    for is_mysql in [false, true] {
        stage.relay.seem_mysql(is_mysql);
        stage.undo().await;
        let native = stage.builder().connect(&stage.far()).await.expect("up");
        let express = Failover::express(&stage.far()).await;
        let pairs: [(&str, &dyn SessionStore, &dyn SessionStore); 2] = [
            ("native", &native, &near),
            ("express", &express, &near_express),
        ];
        for (layout, far, near) in pairs {
            for operation in WRITES {
                if layout == "express" && operation == "destroy_owned_by" {
                    continue;
                }
                stage.happen(far).await;
                let done = write(operation, far, near).await;
                done.unwrap_or_else(|error| panic!("{layout}, {is_mysql}: {operation}: {error}"));
            }
        }
        stage.happen(&native).await;
        reaps(&native, &near).await;
    }
    // Where no server is the right one, the answer is temporary and names the cause.
    stage.undo().await;
    let far = stage.builder().connect(&stage.far()).await.expect("up");
    stage.happen(&far).await;
    stage.relay.switch(&at(&stage.old));
    for error in [
        far.create(&id(), &draft()).await.expect_err("read-only"),
        far.destroy(&id(), None).await.expect_err("read-only"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("read-only"), "{error}");
    }
}

/// Operations that change something, and those about one version by its stamp alone.
const WRITES: [&str; 7] = [
    "create",
    "save",
    "touch",
    "destroy",
    "destroy_owned_by",
    "save version",
    "destroy version",
];

async fn write(operation: &str, far: &dyn SessionStore, near: &dyn SessionStore) -> Result<()> {
    let Some(operation) = operation.strip_suffix(" version") else {
        return call(operation, far, near).await;
    };
    let (id, version) = session(near, false).await;
    let version = Version::new(version.stamp());
    if operation == "save" {
        let saved = far.save(&id, &draft(), &version).await?;
        assert!(saved.is_done(), "{saved:?}");
    } else {
        assert!(far.destroy(&id, Some(&version)).await?.is_some());
        assert_eq!(near.load(&id).await?, None);
    }
    Ok(())
}

async fn reaps(far: &MysqlStore, near: &MysqlStore) {
    let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(1)));
    let created = near.create(&id(), &brief).await.expect("up");
    assert!(created.is_done());
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(far.reap(10).await.expect("up").len(), 1);
}

/// The same for sessions that end together, in one transaction.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_destroyed_together_are_looked_for_on_the_writable_server() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let stage = Failover::start().await;
    let near = stage.builder().connect(&stage.new.url).await.expect("up");
    let far = stage.builder().connections(1);
    let far = far.connect(&stage.far()).await.expect("up");
    let (first, _) = session(&far, false).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(session(&near, false).await.0);
    }
    stage.relay.switch(&at(&stage.new));
    let lock = format!("SELECT id FROM `{}` FOR UPDATE", stage.table);
    let mut holds = stage.admin.begin().await.expect("begun");
    let locked = sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut *holds)
        .await;
    locked.expect("locked");
    let destroy = |id: SessionId| {
        let far = far.clone();
        tokio::spawn(async move { far.destroy(&id, None).await })
    };
    // It holds the only connection, so the others go together once it has ended.
    let mut tasks = vec![destroy(first)];
    tokio::time::sleep(Duration::from_millis(200)).await;
    tasks.extend(ids.into_iter().map(destroy));
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.relay.refuse_statements(1290, "DELETE");
    holds.commit().await.expect("released");
    for task in tasks {
        let ended = task.await.expect("no panic").expect("up");
        assert!(ended.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_stay_when_another_can_not_be_made() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let relay = Relay::to(&address()).await;
    let far = MysqlStore::builder().table(&name);
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    let (held, version) = session(&near, false).await;
    let lock = format!("SELECT id FROM `{name}` FOR UPDATE");
    let mut holds = pool().await.begin().await.expect("begun");
    let locked = sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut *holds)
        .await;
    locked.expect("locked");
    let save = tokio::spawn({
        let (far, held) = (far.clone(), held.clone());
        async move { far.save(&held, &draft(), &version).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    relay.close();
    let error = far.load(&held).await.expect_err("no second connection");
    assert!(error.is_temporary(), "{error}");
    holds.commit().await.expect("released");
    let saved = save.await.expect("no panic").expect("up");
    assert!(saved.is_done());
    let found = far.load(&held).await.expect("by the connection there is");
    assert!(found.is_some());
    drop_table(&name).await;
}

/// Callers with deadlines of their own, of which none waits for as long as the store would.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_give_up_early_find_silent_connections_out_together() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let relay = Relay::to(&address()).await;
    let far = ExpressStore::builder(Express::new("secret")).table(&name);
    let far = far.timeout(Duration::from_secs(1));
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    let far = Arc::new(far);
    let loads = (0..64).map(|_| {
        let far = Arc::clone(&far);
        tokio::spawn(async move { far.load(&id()).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic").expect("up");
    }
    assert!(relay.made() > 8, "{} connections", relay.made());
    relay.swallow();
    let (mut tries, id) = (1, id());
    let brief = || tokio::time::timeout(Duration::from_millis(200), far.load(&id));
    while brief().await.is_err() {
        tries += 1;
        assert!(tries < 5, "each waits over a silent connection");
    }
    drop_table(&name).await;
}

/// As behind a firewall that has forgotten the connections there are.
#[tokio::test(flavor = "multi_thread")]
async fn after_one_time_out_no_call_waits_for_a_silent_connection_again() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let relay = Relay::to(&address()).await;
    let far = MysqlStore::builder().table(&name);
    let far = far.timeout(Duration::from_millis(500));
    let far = far.connect(&relay.url("root", "test")).await.expect("up");
    for operation in ["load", "save", "destroy_owned_by"] {
        let loads = (0..8).map(|_| {
            let far = far.clone();
            tokio::spawn(async move { far.load(&id()).await })
        });
        for load in loads.collect::<Vec<_>>() {
            load.await.expect("no panic").expect("up");
        }
        relay.swallow();
        let error = call(operation, &far, &near).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{operation}: {error}");
        for _ in 0..3 {
            let done = call(operation, &far, &near).await;
            done.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
    }
    drop_table(&name).await;
}
