//! Ways to remove expired sessions from MySQL or MariaDB while other connections use the table.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin mysql_reaping
//! ```
//!
//! First, deadlocks: six writers and two purgers on 400 rows that expire all the time. Second,
//! stalls: four writers on 20,000 live rows while 200,000 expired rows are removed. Every round
//! measures every way.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use benches::Latencies;
use integration_tests::servers;
use session_core::SessionDirectory;
use session_mysql::sqlx::{self, AssertSqlSafe, MySqlPool};
use session_mysql::{MysqlStore, schema};

const ROUNDS: usize = 3;
const HOT_ROWS: u64 = 400;
const CONTENTION: Duration = Duration::from_secs(8);
const EXPIRED_ROWS: u64 = 200_000;
const LIVE_ROWS: u64 = 20_000;

/// A way to remove expired rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Nothing is removed.
    Nothing,
    /// One `DELETE`, by the index on the deadline.
    Unbounded,
    /// `DELETE … ORDER BY deadline LIMIT n`.
    Limited,
    /// `SELECT` ids, then `DELETE … WHERE id IN (…) AND deadline <= now`.
    SelectThenDelete,
    /// This project's way: select ids, lock them by primary key, skip locked ones, claim them, and
    /// delete them once they are reported.
    Store,
}

const CONTENDERS: [Way; 4] = [
    Way::Unbounded,
    Way::Limited,
    Way::SelectThenDelete,
    Way::Store,
];

/// A table, and the connections that use it.
#[derive(Clone)]
struct Bench {
    pool: MySqlPool,
    store: MysqlStore,
    table: String,
    deadlocks: Arc<AtomicU32>,
    waits: Arc<AtomicU32>,
}

impl Bench {
    async fn set_up(url: &str, table: &str) -> Self {
        let pool = MySqlPool::connect(url).await.expect("it is up");
        let store = MysqlStore::builder().table(table);
        let bench = Self {
            store: store.connect(url).await.expect("it is up"),
            pool,
            table: table.to_owned(),
            deadlocks: Arc::default(),
            waits: Arc::default(),
        };
        bench.empty().await;
        bench
    }

    async fn empty(&self) {
        self.must("DROP TABLE IF EXISTS {t}").await;
        let create = schema(&self.table);
        let created = sqlx::query(AssertSqlSafe(create)).execute(&self.pool).await;
        created.expect("created");
    }

    /// Runs a statement and counts deadlocks and lock time-outs. Returns the number of rows.
    async fn run(&self, statement: &str) -> u64 {
        let statement = statement.replace("{t}", &format!("`{}`", self.table));
        let ran = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&self.pool)
            .await;
        match ran {
            Ok(done) => done.rows_affected(),
            Err(error) => {
                let text = error.to_string();
                let counter = if text.contains("Deadlock") {
                    &self.deadlocks
                } else if text.contains("Lock wait") {
                    &self.waits
                } else {
                    panic!("{error}");
                };
                counter.fetch_add(1, SeqCst);
                0
            }
        }
    }

    async fn must(&self, statement: &str) {
        let before = self.deadlocks.load(SeqCst) + self.waits.load(SeqCst);
        self.run(statement).await;
        let after = self.deadlocks.load(SeqCst) + self.waits.load(SeqCst);
        assert_eq!(before, after, "{statement}");
    }

    /// Removes up to `limit` expired rows. Returns their approximate number.
    async fn purge(&self, way: Way, limit: usize) -> u64 {
        match way {
            Way::Nothing => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                0
            }
            Way::Unbounded => {
                self.run("DELETE FROM {t} WHERE deadline <= UTC_TIMESTAMP(6)")
                    .await
            }
            Way::Limited => {
                let delete = format!(
                    "DELETE FROM {{t}} WHERE deadline <= UTC_TIMESTAMP(6) ORDER BY deadline LIMIT {limit}"
                );
                self.run(&delete).await
            }
            Way::SelectThenDelete => self.select_then_delete(limit).await,
            Way::Store => {
                let reaped = self.store.reap(limit).await.expect("reaped");
                let confirmed = self.store.confirm_reaped(&reaped).await;
                confirmed.expect("confirmed");
                reaped.len() as u64
            }
        }
    }

    async fn select_then_delete(&self, limit: usize) -> u64 {
        let select = format!(
            "SELECT id FROM `{}` WHERE deadline <= UTC_TIMESTAMP(6) LIMIT {limit}",
            self.table
        );
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as(AssertSqlSafe(select))
            .fetch_all(&self.pool)
            .await
            .expect("a plain SELECT takes no lock");
        if rows.is_empty() {
            return 0;
        }
        let quoted = |(id,): &(Vec<u8>,)| format!("'{}'", String::from_utf8_lossy(id));
        let ids: Vec<String> = rows.iter().map(quoted).collect();
        let delete = format!(
            "DELETE FROM {{t}} WHERE id IN ({}) AND deadline <= UTC_TIMESTAMP(6)",
            ids.join(",")
        );
        self.run(&delete).await
    }
}

/// The numbers of deadlocks, lock time-outs and writes with writers and purgers on the same rows.
async fn contention(bench: &Bench, way: Way) -> (u32, u32, u64) {
    bench.empty().await;
    bench.deadlocks.store(0, SeqCst);
    bench.waits.store(0, SeqCst);
    let (until, writes) = (Instant::now() + CONTENTION, Arc::new(AtomicU64::new(0)));
    let mut tasks = Vec::new();
    for writer in 0..6_u64 {
        let (bench, writes) = (bench.clone(), Arc::clone(&writes));
        tasks.push(tokio::spawn(async move {
            let mut n = writer * 61;
            while Instant::now() < until {
                n += 1;
                let id = n % HOT_ROWS;
                let touch = format!(
                    "UPDATE {{t}} SET deadline = UTC_TIMESTAMP(6) + INTERVAL 20000 MICROSECOND WHERE id = 'hot{id}'"
                );
                if bench.run(&touch).await == 0 {
                    bench.run(&insert(&[format!("hot{id}")], "20000")).await;
                }
                writes.fetch_add(1, SeqCst);
            }
        }));
    }
    for _ in 0..2 {
        let bench = bench.clone();
        tasks.push(tokio::spawn(async move {
            while Instant::now() < until {
                bench.purge(way, 50).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    let (deadlocks, waits) = (bench.deadlocks.load(SeqCst), bench.waits.load(SeqCst));
    (deadlocks, waits, writes.load(SeqCst))
}

fn insert(ids: &[String], micros: &str) -> String {
    let row = |id: &String| {
        format!(
            "('{id}', REPEAT('s', 16), UTC_TIMESTAMP(6), 1000, NULL, \
             UTC_TIMESTAMP(6) + INTERVAL {micros} MICROSECOND, REPEAT('d', 300))"
        )
    };
    let rows: Vec<String> = ids.iter().map(row).collect();
    format!(
        "INSERT IGNORE INTO {{t}} (id, stamp, born, idle, absolute, deadline, data) VALUES {}",
        rows.join(",")
    )
}

/// The latencies of writers while expired rows are removed, the duration, and the number of rows.
async fn stalls(bench: &Bench, way: Way) -> (Latencies, Duration, u64) {
    bench.empty().await;
    for (name, count, micros) in [
        ("old", EXPIRED_ROWS, "-1000000"),
        ("new", LIVE_ROWS, "3600000000"),
    ] {
        for from in (0..count).step_by(1_000) {
            // Spread over the key space like hashes.
            let id = |n: u64| format!("{:016x}{name}{n}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let ids: Vec<String> = (from..from + 1_000).map(id).collect();
            bench.must(&insert(&ids, micros)).await;
        }
    }
    let (done, mut tasks) = (Arc::new(AtomicBool::new(false)), Vec::new());
    for writer in 0..4_u64 {
        let (bench, done) = (bench.clone(), Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut n) = (Latencies::default(), writer * 4_999);
            while !done.load(SeqCst) {
                n = (n + 7) % LIVE_ROWS;
                let id = format!("{:016x}new{n}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let save = format!(
                    "UPDATE {{t}} SET deadline = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR, \
                     stamp = LEFT(UUID(), 16) WHERE id = '{id}'"
                );
                latencies.time(bench.run(&save)).await;
            }
            latencies
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (began, mut removed) = (Instant::now(), 0);
    match way {
        Way::Nothing => tokio::time::sleep(Duration::from_secs(3)).await,
        Way::Unbounded => removed = bench.purge(way, 0).await,
        _ => loop {
            let purged = bench.purge(way, 1_000).await;
            removed += purged;
            if purged == 0 {
                break;
            }
        },
    }
    let took = began.elapsed();
    done.store(true, SeqCst);
    let mut latencies = Latencies::default();
    for task in tasks {
        latencies.extend(task.await.expect("no panic"));
    }
    (latencies, took, removed)
}

#[tokio::main]
async fn main() {
    let server = servers::mysql().expect("SESSION_TEST_SKIP does not name mysql");
    println!("{}", server.description);
    let bench = Bench::set_up(&server.url, "mysql_reaping").await;
    println!(
        "6 writers and 2 purgers on {HOT_ROWS} rows, {} s each:",
        CONTENTION.as_secs()
    );
    for round in 1..=ROUNDS {
        for way in CONTENDERS {
            let (deadlocks, waits, writes) = contention(&bench, way).await;
            println!(
                "  round {round} {way:?}: {deadlocks} deadlocks, {waits} lock waits, {writes} writes"
            );
        }
    }
    println!("4 writers on {LIVE_ROWS} rows while {EXPIRED_ROWS} expired ones go:");
    for round in 1..=ROUNDS {
        for way in [Way::Nothing].into_iter().chain(CONTENDERS) {
            let (latencies, took, removed) = stalls(&bench, way).await;
            println!(
                "  round {round} {way:?}: {removed} gone in {:.1} s; {} writes, {latencies}",
                took.as_secs_f64(),
                latencies.count()
            );
        }
    }
    bench.must("DROP TABLE {t}").await;
}
