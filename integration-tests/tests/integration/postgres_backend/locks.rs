//! Locks: no statement waits for another in a circle, and reapers wait for none.

use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind};
use session_core::{Draft, Lifetime, Saved, SessionDirectory, SessionId, SessionStore, Timeout};

use session_postgres::PostgresStore;
use session_postgres::sqlx::{self, AssertSqlSafe, Postgres, Transaction};

use super::{SECOND, drop_table, id, number, owner, pool, store, table, url};
use crate::mysql_backend::contention;

fn deadlocks() -> impl Future<Output = i64> {
    number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

/// Reapers and writers on the same few hot rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reaping_under_traffic_does_not_disturb_it() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    contention::reaping_does_not_disturb_writers(store).await;
    drop_table(&name).await;
}

/// Stores of three programs, whose batches are about the same sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_of_several_programs_do_not_deadlock() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let before = deadlocks().await;
    let stores = [store(&name).await, store(&name).await, store(&name).await];
    let long = || Draft::new("{}", Lifetime::idle(600 * SECOND));
    let ids: Vec<SessionId> = (0..64).map(|_| id()).collect();
    for id in &ids {
        assert!(stores[0].create(id, &long()).await.expect("up").is_done());
    }
    let until = Instant::now() + 4 * SECOND;
    let mut tasks = Vec::new();
    for (n, store) in (0..96).zip(stores.iter().cycle()) {
        let (store, ids) = (store.clone(), ids.clone());
        tasks.push(tokio::spawn(async move {
            let (mut at, mut done) = (n * 7, 0);
            while Instant::now() < until {
                at = (at * 31 + 17) % 4_096;
                let id = &ids[at % ids.len()];
                let Some(record) = store.load(id).await.expect("up") else {
                    let _ = store.create(id, &long()).await.expect("up");
                    continue;
                };
                match at % 8 {
                    0 => drop(store.destroy(id, None).await.expect("up")),
                    1 | 2 => drop(
                        store
                            .touch(id, Timeout::After(900 * SECOND))
                            .await
                            .expect("up"),
                    ),
                    _ => {
                        let saved = store.save(id, &long(), &record.version).await;
                        done += u32::from(matches!(saved.expect("up"), Saved::Done(_)));
                    }
                }
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.expect("no panic");
    }
    assert!(done > 100, "{done} saves");
    // The server counts what its sessions report, a moment later.
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(
        deadlocks().await - before,
        0,
        "deadlocks, with {done} saves"
    );
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaper_leaves_what_is_locked_and_takes_it_the_next_time() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let ids: Vec<SessionId> = (0..5).map(|_| id()).collect();
    for id in &ids {
        let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(1)));
        assert!(store.create(id, &brief).await.expect("up").is_done());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut holds = pool().await.begin().await.expect("begun");
    let lock = format!("SELECT 1 FROM \"{name}\" WHERE id = $1 FOR UPDATE");
    let lock = sqlx::query(AssertSqlSafe(lock)).bind(ids[2].as_str().as_bytes());
    lock.execute(&mut *holds).await.expect("locked");
    let reaped = store.reap(100).await.expect("it does not wait");
    assert_eq!(reaped.len(), 4);
    assert!(reaped.iter().all(|ended| ended.id != ids[2]));
    holds.rollback().await.expect("released");
    let reaped = store.reap(100).await.expect("up");
    assert_eq!(reaped.len(), 1);
    drop_table(&name).await;
}

/// Locks rows of `table`, by another program that changes nothing, or nothing that means anything.
async fn hold(table: &str, ids: &[&SessionId], how: &str) -> Transaction<'static, Postgres> {
    let mut holds = pool().await.begin().await.expect("begun");
    for id in ids {
        let lock = how.replace("{table}", &format!("\"{table}\""));
        let lock = sqlx::query(AssertSqlSafe(lock)).bind(id.as_str().as_bytes());
        lock.execute(&mut *holds).await.expect("locked");
    }
    holds
}

const LOCK: &str = "SELECT 1 FROM {table} WHERE id = $1 FOR UPDATE";
const UPDATE: &str = "UPDATE {table} SET idle = idle WHERE id = $1";

/// Waits until so many statements on `table` wait for a lock.
async fn until_waiting(table: &str, statements: i64) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
         AND query LIKE '%\"{table}\"%'"
    );
    let until = Instant::now() + 10 * SECOND;
    while number(&waiting).await < statements {
        assert!(Instant::now() < until, "{statements} should wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A save that waits for a lock until its session has expired must not be made, whether the row was
/// changed meanwhile or not: the server looks at a row again only if it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_past_the_deadline_finds_no_session() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let brief = Draft::new("{}", Lifetime::idle(Duration::from_millis(400)));
    for how in [LOCK, UPDATE] {
        let id = id();
        assert!(store.create(&id, &brief).await.expect("up").is_done());
        let version = store.load(&id).await.expect("up").expect("there").version;
        let holds = hold(&name, &[&id], how).await;
        let (save, touch, destroy) = {
            let [one, two, three] = [(); 3].map(|()| (store.clone(), id.clone()));
            let brief = brief.clone();
            (
                tokio::spawn(async move { one.0.save(&one.1, &brief, &version).await }),
                tokio::spawn(async move { two.0.touch(&two.1, Timeout::After(SECOND)).await }),
                tokio::spawn(async move { three.0.destroy(&three.1, None).await }),
            )
        };
        tokio::time::sleep(Duration::from_millis(800)).await;
        holds.commit().await.expect("released");
        let saved = save.await.expect("no panic").expect("up");
        assert_eq!(saved, Saved::Gone, "{how}");
        let touched = touch.await.expect("no panic").expect("up");
        assert_eq!(touched, None, "{how}");
        let destroyed = destroy.await.expect("no panic").expect("up");
        assert_eq!(destroyed, None, "{how}");
    }
    drop_table(&name).await;
}

/// The same of a batch, and of the sessions of an owner.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_past_the_deadline_finds_no_session() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    // What queues while the only statement in flight waits is one batch.
    // The lock is held for longer than an operation may take by default.
    let builder = PostgresStore::builder().table(&name).connections(1);
    let builder = builder.timeout(servers::PATIENCE);
    let store = builder.connect(url()).await.expect("set up");
    let near = super::store(&name).await;
    let long = || Draft::new("{}", Lifetime::idle(600 * SECOND));
    let first = id();
    assert!(near.create(&first, &long()).await.expect("up").is_done());
    let brief = || Draft::new("{}", Lifetime::idle(2 * SECOND)).with_owner(Some(owner("ann")));
    let ids = [id(), id()];
    for id in &ids {
        assert!(near.create(id, &brief()).await.expect("up").is_done());
    }
    let version = async |id| near.load(id).await.expect("up").expect("there").version;
    let blocked = hold(&name, &[&first], LOCK).await;
    let holds = hold(&name, &[&ids[0], &ids[1]], LOCK).await;
    let mut saves = Vec::new();
    for (n, id) in [&first, &ids[0], &ids[1]].into_iter().enumerate() {
        let (store, id, version) = (store.clone(), id.clone(), version(id).await);
        let draft = brief();
        let save = async move { store.save(&id, &draft, &version).await };
        saves.push(tokio::spawn(save));
        if n == 0 {
            until_waiting(&name, 1).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    blocked.rollback().await.expect("released");
    let owned = {
        let near = near.clone();
        tokio::spawn(async move { near.destroy_owned_by(&owner("ann"), None, 10).await })
    };
    until_waiting(&name, 2).await;
    tokio::time::sleep(2_200 * SECOND / 1_000).await;
    holds.rollback().await.expect("released");
    let mut outcomes = Vec::new();
    for save in saves {
        outcomes.push(save.await.expect("no panic").expect("up"));
    }
    assert!(outcomes[0].is_done(), "{outcomes:?}");
    assert_eq!(outcomes[1..], [Saved::Gone, Saved::Gone]);
    let destroyed = owned.await.expect("no panic").expect("up");
    assert!(
        destroyed.iter().all(|ended| !ids.contains(&ended.id)),
        "{destroyed:?}"
    );
    drop_table(&name).await;
}

/// A batch locks its rows in the order of their ids, wherever they are in the table and whatever the
/// plan is, as the statements of other programs do.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_locks_rows_in_the_order_of_their_ids() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let long = || Draft::new("{}", Lifetime::idle(600 * SECOND));
    let mut ids = [id(), id(), id()];
    ids.sort_by(|one, two| two.as_str().cmp(one.as_str()));
    let [first, late, early] = ids;
    // The later id comes first in the table.
    for id in [&first, &late, &early] {
        assert!(near.create(id, &long()).await.expect("up").is_done());
    }
    super::run(&format!("ANALYZE \"{name}\"")).await;
    for settings in [
        "",
        "?options=-c%20enable_nestloop=off%20-c%20enable_mergejoin=off",
        "?options=-c%20enable_nestloop=off%20-c%20enable_hashjoin=off",
    ] {
        let builder = PostgresStore::builder().table(&name).connections(1);
        let far = builder.connect(&format!("{}{settings}", url())).await;
        let far = far.expect("set up");
        let blocked = hold(&name, &[&first], LOCK).await;
        let holds = hold(&name, &[&early], LOCK).await;
        let mut touches = Vec::new();
        for (n, id) in [&first, &late, &early].into_iter().enumerate() {
            let (far, id) = (far.clone(), id.clone());
            let touch = async move { far.touch(&id, Timeout::After(900 * SECOND)).await };
            touches.push(tokio::spawn(touch));
            if n == 0 {
                until_waiting(&name, 1).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        blocked.rollback().await.expect("released");
        // The first touch is done, and the batch waits for the earlier id.
        assert!(
            touches
                .remove(0)
                .await
                .expect("no panic")
                .expect("up")
                .is_some()
        );
        until_waiting(&name, 1).await;
        let free = hold(&name, &[&late], &format!("{LOCK} NOWAIT")).await;
        free.rollback().await.expect("released");
        holds.rollback().await.expect("released");
        for touch in touches {
            assert!(touch.await.expect("no panic").expect("up").is_some());
        }
    }
    drop_table(&name).await;
}
