//! Runtimes, tables, queries and stores that end.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};

use super::operations::{ANY, OWNED, call};
use super::relay::{Relay, address};
use super::{SECOND, User, drop_table, id, pool, processes, store, table, url};

/// As where a program makes a runtime for its set-up and another one for its work.
#[test]
fn a_store_works_after_the_end_of_the_runtime_it_was_made_in() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.enable_all().build().expect("a runtime")
    };
    let name = table();
    let first = runtime();
    let (store, express) = first.block_on(async {
        let store = store(&name).await;
        let express = ExpressStore::builder(Express::new("secret")).table(table());
        let express = express.connect(url()).await.expect("up");
        // Several connections, all at hand.
        let loads = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.load(&id()).await })
        });
        for load in loads.collect::<Vec<_>>() {
            load.await.expect("no panic").expect("up");
        }
        (store, express)
    });
    drop(first);
    let second = runtime();
    second.block_on(async {
        let began = Instant::now();
        for operation in ANY.into_iter().chain(OWNED) {
            let done = call(operation, &store, &store).await;
            done.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
        for operation in ANY {
            let done = call(operation, &express, &express).await;
            done.unwrap_or_else(|error| panic!("{operation}: {error}"));
        }
        assert!(began.elapsed() < Duration::from_secs(3));
        drop_table(&name).await;
    });
}

/// As in a server with a runtime for each of its threads.
#[tokio::test(flavor = "multi_thread")]
async fn runtimes_that_share_a_store_do_not_close_each_others_connections() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let relay = Relay::to(&address()).await;
    let store = MysqlStore::builder().table(&name);
    let store = store.connect(&relay.url("root", "test")).await;
    let store = store.expect("up");
    let runs = (0..4).map(|_| {
        let store = store.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                for _ in 0..50 {
                    store.load(&id()).await.expect("up");
                }
                // Its connections are there until all are done.
                tokio::time::sleep(SECOND).await;
            });
        })
    });
    let runs: Vec<_> = runs.collect();
    tokio::task::spawn_blocking(|| {
        runs.into_iter()
            .for_each(|run| run.join().expect("no panic"))
    })
    .await
    .expect("no panic");
    assert!(relay.made() <= 8, "{} connections", relay.made());
    assert_eq!(store.load(&id()).await.expect("up"), None);
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_says_what_to_do() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let version = session_core::Version::new(session_core::Stamp::generate());
    drop_table(&name).await;
    let draft = Draft::new("{}", Lifetime::default());
    let errors = [
        store.create(&id(), &draft).await.map(drop),
        store.load(&id()).await.map(drop),
        store.save(&id(), &draft, &version).await.map(drop),
        store
            .touch(&id(), session_core::Timeout::Never)
            .await
            .map(drop),
        store.destroy(&id(), None).await.map(drop),
        store.list(None, 1).await.map(drop),
        store.reap(1).await.map(drop),
        store.clear().await.map(drop),
    ];
    for error in errors {
        let error = error.expect_err("no table");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(
            error.to_string().contains("migrate the store first"),
            "{error}"
        );
        assert!(error.to_string().contains(&name), "{error}");
    }
    let express_name = table();
    let express = ExpressStore::builder(Express::new("secret")).table(&express_name);
    let express = express.connect(url()).await.expect("up");
    drop_table(&express_name).await;
    for error in [
        express.create(&id(), &draft).await.map(drop),
        express.load(&id()).await.map(drop),
        express.destroy(&id(), None).await.map(drop),
    ] {
        let error = error.expect_err("no table");
        assert!(
            error.to_string().contains("migrate the store first"),
            "{error}"
        );
        assert!(error.to_string().contains(&express_name), "{error}");
    }
    store.migrate().await.expect("up");
    assert!(store.create(&id(), &draft).await.expect("up").is_done());
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_killed_is_a_timeout_and_the_store_goes_on() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let (id, draft) = (id(), Draft::new("{}", Lifetime::idle(60 * SECOND)));
    assert!(store.create(&id, &draft).await.expect("up").is_done());
    let admin = pool().await;
    let mut holder = admin.begin().await.expect("up");
    let lock = format!("SELECT id FROM `{name}` FOR UPDATE");
    let done = sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut *holder)
        .await;
    done.expect("locked");
    let save = tokio::spawn({
        let (store, id, draft) = (store.clone(), id.clone(), draft.clone());
        async move { store.save(&id, &draft, &draft.stamp.into()).await }
    });
    let mut killed = false;
    for _ in 0..100 {
        let mut found = processes().await.into_iter();
        let update = format!("UPDATE `{name}`");
        if let Some(query) = found.find(|process| process.statement.starts_with(&update)) {
            let kill = sqlx::raw_sql(AssertSqlSafe(format!("KILL QUERY {}", query.id)));
            kill.execute(&admin).await.expect("it was there");
            killed = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(killed);
    let error = save.await.expect("no panic").expect_err("killed");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    holder.rollback().await.expect("up");
    assert!(store.load(&id).await.expect("up").is_some());
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_was_refused_for_a_time_is_tried_again() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let user = User::new("").await;
    let name = table();
    let store = MysqlStore::builder()
        .table(&name)
        .connect(&user.url())
        .await;
    let store = store.expect("up");
    user.run(&format!("ALTER USER '{}'@'%' ACCOUNT LOCK", user.name))
        .await;
    for connection in user.connections().await {
        user.run(&format!("KILL {connection}")).await;
    }
    let error = store.load(&id()).await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    user.run(&format!("ALTER USER '{}'@'%' ACCOUNT UNLOCK", user.name))
        .await;
    assert_eq!(store.load(&id()).await.expect("tried again"), None);
    drop(store);
    drop_table(&name).await;
    user.remove().await;
}

/// What a process has open that its own code does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_store_leaves_no_connection_and_no_task_behind() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let user = User::new("").await;
    let name = table();
    let url = user.url();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let store = MysqlStore::builder().table(&name).connect(&url).await;
    let store = store.expect("up");
    let loads = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.load(&id()).await })
    });
    for load in loads.collect::<Vec<_>>() {
        load.await.expect("no panic").expect("up");
    }
    assert!(!user.connections().await.is_empty());
    drop(store);
    let began = Instant::now();
    while !user.connections().await.is_empty() || tasks() > before {
        assert!(
            began.elapsed() < SECOND,
            "{} tasks, {before} before",
            tasks()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop_table(&name).await;
    user.remove().await;
}
