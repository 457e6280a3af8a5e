//! The cost of an operation with a million sessions, compared with ten thousand.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin scale [OPTION…]
//! ```
//!
//! Options: `redis`, `mongo`, `mysql` (all if none is given), `million=SESSIONS`, `callers=NUMBER`.
//!
//! 64 callers, unless the option is given, use two stores of one server alternately. `memory_scale`
//! measures the memory store.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::{Latencies, credential, median};
use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::{Draft, Lifetime, Saved, SessionId, SessionStore, SessionToken, Version};
use tokio::sync::Mutex;

const FEW: usize = 10_000;
const MILLION: usize = 1_000_000;
const CALLERS: usize = 64;
const ROUNDS: usize = 7;
const TIME: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// MongoDB clears a million sessions with one command, which takes long.
const TIME_LIMIT: Duration = Duration::from_secs(300);

fn draft() -> Draft {
    let data = format!(r#"{{"data":"{}"}}"#, "s".repeat(289));
    Draft::new(data, Lifetime::new(HOUR, 12 * HOUR)).with_credential(credential())
}

fn version(saved: Saved) -> Version {
    match saved {
        Saved::Done(version) => version,
        other => panic!("not written: {other:?}"),
    }
}

/// A store, and its sessions.
struct Subject {
    store: Arc<dyn SessionStore>,
    sessions: Vec<Mutex<(SessionId, Version)>>,
    /// Operations a second and median latency of each round.
    loads: Vec<(f64, Duration)>,
    saves: Vec<(f64, Duration)>,
}

impl Subject {
    async fn new(store: Arc<dyn SessionStore>, sessions: usize) -> Self {
        let began = Instant::now();
        let directory = store.directory().expect("it has one");
        directory.clear().await.expect("cleared");
        let create = |_| async {
            let (id, draft) = (SessionToken::generate().id(), draft());
            let created = store.create(&id, &draft).await.expect("up");
            Mutex::new((id, version(created)))
        };
        let created = stream::iter(0..sessions).map(create);
        let sessions = created.buffer_unordered(256).collect().await;
        println!("  filled in {:.0} s", began.elapsed().as_secs_f64());
        Self {
            store,
            sessions,
            loads: Vec::new(),
            saves: Vec::new(),
        }
    }

    async fn load(&self, n: usize) {
        let session = self.sessions[n].lock().await;
        let found = self.store.load(&session.0).await.expect("up");
        let found = found.expect("there").version;
        assert_eq!(found.stamp(), session.1.stamp());
    }

    async fn save(&self, n: usize) {
        let mut session = self.sessions[n].lock().await;
        let saved = self.store.save(&session.0, &draft(), &session.1).await;
        session.1 = version(saved.expect("up"));
    }

    /// Calls random sessions for a while. Returns the operations a second and the median latency.
    async fn run(self: &Arc<Self>, callers: usize, saves: bool) -> (f64, Duration) {
        let began = Instant::now();
        let until = began + TIME;
        let callers = (0..callers).map(|caller| {
            let subject = Arc::clone(self);
            tokio::spawn(async move {
                let mut random = (caller as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let mut latencies = Latencies::default();
                while Instant::now() < until {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let place = random as usize % subject.sessions.len();
                    if saves {
                        latencies.time(subject.save(place)).await;
                    } else {
                        latencies.time(subject.load(place)).await;
                    }
                }
                latencies
            })
        });
        let mut all = Latencies::default();
        for caller in callers.collect::<Vec<_>>() {
            all.extend(caller.await.expect("no panic"));
        }
        let rate = all.count() as f64 / began.elapsed().as_secs_f64();
        (rate, all.per_mille(500))
    }
}

fn print_ratio(operation: &str, few: &[(f64, Duration)], many: &[(f64, Duration)]) {
    let rate = |rounds: &[(f64, Duration)]| median(rounds.iter().map(|(rate, _)| *rate));
    let p50 = |rounds: &[(f64, Duration)]| median(rounds.iter().map(|(_, p50)| p50.as_secs_f64()));
    // Ratios are taken within a round, because the machine's speed varies.
    let ratio = median(few.iter().zip(many).map(|(few, many)| few.0 / many.0));
    println!(
        "  {operation}: {:.0} and {:.0} a second, p50 {:.0} and {:.0} µs: {ratio:.2} times the cost",
        rate(few),
        rate(many),
        p50(few) * 1e6,
        p50(many) * 1e6,
    );
}

async fn compare(
    name: &str,
    server: &str,
    stores: [Arc<dyn SessionStore>; 2],
    (million, callers): (usize, usize),
) {
    println!("{name}, {server}: {FEW} and {million} sessions of 300 bytes, {callers} callers");
    let [few, many] = stores;
    let mut few = Arc::new(Subject::new(few, FEW).await);
    let mut many = Arc::new(Subject::new(many, million).await);
    for _ in 0..=ROUNDS {
        for saves in [false, true] {
            for subject in [&mut few, &mut many] {
                let round = subject.run(callers, saves).await;
                let subject = Arc::get_mut(subject).expect("its callers have ended");
                let rounds = if saves {
                    &mut subject.saves
                } else {
                    &mut subject.loads
                };
                rounds.push(round);
            }
        }
    }
    // The first round warms up.
    print_ratio("load", &few.loads[1..], &many.loads[1..]);
    print_ratio("save", &few.saves[1..], &many.saves[1..]);
    for subject in [few, many] {
        let directory = subject.store.directory().expect("it has one");
        directory.clear().await.expect("cleared");
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |prefix| {
        let mut arguments = arguments.iter();
        arguments.find_map(|argument| argument.strip_prefix(prefix)?.parse().ok())
    };
    let size = (
        number("million=").unwrap_or(MILLION),
        number("callers=").unwrap_or(CALLERS),
    );
    let all = arguments.iter().all(|argument| argument.contains('='));
    let wanted = |name: &str| all || arguments.iter().any(|argument| argument == name);
    for name in ["redis", "mongo", "mysql"]
        .into_iter()
        .filter(|n| wanted(n))
    {
        let server = match name {
            "redis" => servers::redis(),
            "mongo" => servers::mongo(),
            _ => servers::mysql(),
        };
        let Some(server) = server else { continue };
        let few = open(name, &server.url, "scale_few").await;
        let many = open(name, &server.url, "scale_many").await;
        compare(name, &server.description, [few, many], size).await;
    }
}

async fn open(backend: &str, url: &str, namespace: &str) -> Arc<dyn SessionStore> {
    match backend {
        "redis" => {
            let store = session_redis::RedisStore::builder().prefix(namespace);
            Arc::new(store.connect(url).await.expect("up"))
        }
        "mongo" => {
            let store = session_mongo::MongoStore::builder().collection(namespace);
            let store = store.timeout(TIME_LIMIT);
            Arc::new(store.connect(url).await.expect("up"))
        }
        _ => {
            let store = session_mysql::MysqlStore::builder().table(namespace);
            Arc::new(store.connect(url).await.expect("up"))
        }
    }
}
