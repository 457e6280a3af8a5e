//! What a process costs, and what its callers see, while its database is away.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin dead_server \
//!     [server=redis|valkey|mongo|mysql|postgres] [fault=stop|kill] [rate=5000] [seconds=120]
//! ```
//!
//! It starts a server, and so many requests a second, of which each opens a session and updates a
//! key. After 10 s it stops the server (`SIGSTOP`: silent) or kills it (`SIGKILL`: refused), and
//! after `seconds` continues or restarts it. Each 10 s it prints the process' memory, the requests
//! in flight, and how long requests took to fail.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use integration_tests::servers::{Kind, Private};
use session_core::{SessionToken, Sessions};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;

const SESSIONS: usize = 2_000;
const TICK: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_secs(10);

/// How long requests took, in buckets that are each a fifth larger than the one before.
struct Histogram([AtomicU64; 128]);

impl Default for Histogram {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Histogram {
    fn add(&self, took: Duration) {
        let micros = took.as_secs_f64() * 1e6;
        let bucket = (micros.max(1.0).ln() / 1.2_f64.ln()) as usize;
        self.0[bucket.min(127)].fetch_add(1, Relaxed);
    }

    /// How many there were, and what half and 99 of 100 of them did not exceed. Forgets them.
    fn take(&self) -> (u64, Duration, Duration) {
        let counts: Vec<u64> = self.0.iter().map(|count| count.swap(0, Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let percentile = |share: u64| {
            let mut sum = 0;
            let reaches = |count: &u64| {
                sum += count;
                sum * 100 >= all * share
            };
            let bucket = counts.iter().position(reaches).unwrap_or(0);
            Duration::from_secs_f64(1.2_f64.powi(bucket as i32 + 1) / 1e6)
        };
        (all, percentile(50), percentile(99))
    }
}

#[derive(Default)]
struct Seen {
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    done: Histogram,
    failed: Histogram,
    longest: AtomicU64,
    succeeded: AtomicU64,
}

struct Settings {
    server: String,
    fault: String,
    rate: usize,
    seconds: u64,
}

impl Settings {
    fn read() -> Self {
        let mut settings = Self {
            server: "redis".to_owned(),
            fault: "stop".to_owned(),
            rate: 5_000,
            seconds: 120,
        };
        for argument in std::env::args().skip(1) {
            let (name, value) = argument.split_once('=').expect("name=value");
            match name {
                "server" => value.clone_into(&mut settings.server),
                "fault" => value.clone_into(&mut settings.fault),
                "rate" => settings.rate = value.parse().expect("a number"),
                "seconds" => settings.seconds = value.parse().expect("a number"),
                other => panic!("no option {other}"),
            }
        }
        settings
    }

    fn start(&self) -> Private {
        match self.server.as_str() {
            "redis" => Private::start(Kind::Redis, &[]),
            "valkey" => Private::valkey(&[]),
            "mongo" => Private::start(Kind::Mongo, &[]),
            "mysql" => Private::start(Kind::Mysql, &["--innodb-flush-log-at-trx-commit=2"]),
            "postgres" => Private::start(Kind::Postgres, &["-c", "synchronous_commit=off"]),
            other => panic!("no server {other}"),
        }
    }

    async fn connect(&self, url: &str) -> Sessions {
        match self.server.as_str() {
            "mongo" => MongoStore::connect(url).await.map(Sessions::from),
            "mysql" => MysqlStore::connect(url).await.map(Sessions::from),
            "postgres" => PostgresStore::connect(url).await.map(Sessions::from),
            _ => RedisStore::connect(url).await.map(Sessions::from),
        }
        .expect("a store")
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run(&Settings::read()));
}

async fn run(settings: &Settings) {
    let mut server = settings.start();
    let sessions = settings.connect(&server.url).await;
    let mut tokens = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        let session = sessions.start();
        session.insert("text", "x".repeat(280)).expect("a text");
        session.save().await.expect("up");
        tokens.push(session.token().expect("stored"));
    }
    let seen = Arc::new(Seen::default());
    let requests = tokio::spawn(send_requests(
        sessions,
        tokens.into(),
        settings.rate,
        Arc::clone(&seen),
    ));
    println!(
        "{} {}: {} requests/s",
        settings.server, settings.fault, settings.rate
    );
    println!("|phase|memory MiB|most in flight|done|p50|p99|failed|p50|p99|longest|");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    tokio::time::sleep(WINDOW).await;
    report("up", &seen);
    match settings.fault.as_str() {
        "stop" => signal("STOP", &server),
        _ => tokio::task::block_in_place(|| server.kill()),
    }
    for _ in 0..settings.seconds.div_ceil(WINDOW.as_secs()) {
        tokio::time::sleep(WINDOW).await;
        report("away", &seen);
    }
    seen.succeeded.store(0, Relaxed);
    match settings.fault.as_str() {
        "stop" => signal("CONT", &server),
        _ => tokio::task::block_in_place(|| server.restart()),
    }
    let back = Instant::now();
    while seen.succeeded.load(Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!(
        "first success {:?} after the server is back",
        back.elapsed()
    );
    for phase in ["back", "up"] {
        tokio::time::sleep(WINDOW).await;
        report(phase, &seen);
    }
    requests.abort();
}

async fn send_requests(
    sessions: Sessions,
    tokens: Arc<[SessionToken]>,
    rate: usize,
    seen: Arc<Seen>,
) {
    let began = Instant::now();
    let mut sent = 0;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate as f64) as usize;
        for n in sent..due {
            let (sessions, tokens) = (sessions.clone(), Arc::clone(&tokens));
            let seen = Arc::clone(&seen);
            tokio::spawn(async move { request(&sessions, &tokens[n % tokens.len()], &seen).await });
        }
        sent = due;
    }
}

async fn request(sessions: &Sessions, token: &SessionToken, seen: &Seen) {
    let began = Instant::now();
    let in_flight = seen.in_flight.fetch_add(1, Relaxed) + 1;
    seen.most_in_flight.fetch_max(in_flight, Relaxed);
    let outcome = async {
        let session = sessions.open(token).await?;
        let count = |n: Option<u64>| n.unwrap_or(0) + 1;
        session.update("visits", count).await
    };
    let is_done = outcome.await.is_ok();
    let took = began.elapsed();
    seen.in_flight.fetch_sub(1, Relaxed);
    if is_done {
        seen.done.add(took);
        seen.succeeded.fetch_add(1, Relaxed);
    } else {
        seen.failed.add(took);
    }
    seen.longest.fetch_max(took.as_micros() as u64, Relaxed);
}

fn report(phase: &str, seen: &Seen) {
    let (done, done_half, done_most) = seen.done.take();
    let (failed, half, most) = seen.failed.take();
    let longest = Duration::from_micros(seen.longest.swap(0, Relaxed));
    let in_flight = seen.most_in_flight.swap(0, Relaxed);
    println!(
        "|{phase}|{:.1}|{in_flight}|{done}|{done_half:.1?}|{done_most:.1?}|{failed}|{half:.1?}|\
         {most:.1?}|{longest:.1?}|",
        memory()
    );
}

/// The resident memory of this process, in MiB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: f64 = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    kib / 1024.0
}

/// Sends a signal to the server and its children: PostgreSQL has one for each connection.
fn signal(signal: &str, server: &Private) {
    let pid = server.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .args(children.unwrap_or_default().split_whitespace())
        .status();
    assert!(sent.is_ok_and(|status| status.success()), "{signal}");
}
