//! What the client spends for a load or a save in Redis, beside the driver alone.
//!
//! `redis_client URL raw|ifeq|store load|save CALLERS TIMES [THREADS]` has so many callers do so
//! many operations each, in one thread or in a runtime of so many, on sessions of 300 bytes. `raw`
//! writes blindly by `SET`; `ifeq` is the driver alone, too, but compares at the server, as a save
//! has to: what it costs more than `raw` is the price of Redis and its driver. To count the
//! client's instructions, run it under `valgrind --tool=callgrind` with two numbers of times: the
//! difference is that of the operations. To see what they cost the server, read
//! `/proc/PID/schedstat` before and after.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use session_redis::session_core::{Draft, Saved, Version};
use session_redis::{Lifetime, RedisStore, SessionId, SessionStore, SessionToken};

const BYTES: usize = 300;
const LIFETIME: Duration = Duration::from_secs(1_800);

/// Who does the operations.
#[derive(Clone)]
enum Client {
    Raw(MultiplexedConnection),
    /// The same, with writes that replace the value of before.
    IfEqual(MultiplexedConnection),
    Store(RedisStore),
}

/// What a client knows of a session that it has written.
enum Written {
    Value(Vec<u8>),
    Version(Version),
}

fn draft() -> Draft {
    Draft::new(vec![b'x'; BYTES], Lifetime::idle(LIFETIME))
}

impl Client {
    /// Writes a session. Returns its name, and what a save expects to find.
    async fn prepare(&self) -> (SessionId, Written) {
        let id = SessionToken::generate().id();
        let written = match self {
            Self::Raw(connection) | Self::IfEqual(connection) => {
                let value = vec![b'x'; BYTES];
                set(&mut connection.clone(), &id, &value, None).await;
                Written::Value(value)
            }
            Self::Store(store) => match store.create(&id, &draft()).await.expect("created") {
                Saved::Done(version) => Written::Version(version),
                other => panic!("{other:?}"),
            },
        };
        (id, written)
    }

    async fn load(&self, id: &SessionId) {
        match self {
            Self::Raw(connection) | Self::IfEqual(connection) => {
                let mut get = redis::cmd("GET");
                get.arg(id.as_str());
                let found = get.query_async(&mut connection.clone()).await;
                let found: Option<Vec<u8>> = found.expect("answered");
                assert!(found.is_some());
            }
            Self::Store(store) => {
                let found = store.load(id).await.expect("answered");
                assert!(found.is_some());
            }
        }
    }

    async fn save(&self, id: &SessionId, written: &mut Written) {
        match (self, written) {
            (Self::Store(store), Written::Version(version)) => {
                match store.save(id, &draft(), version).await.expect("answered") {
                    Saved::Done(done) => *version = done,
                    other => panic!("{other:?}"),
                }
            }
            (Self::Raw(connection), _) => {
                set(&mut connection.clone(), id, &vec![b'x'; BYTES], None).await;
            }
            (Self::IfEqual(connection), Written::Value(old)) => {
                let mut new = vec![b'x'; BYTES];
                new[0] = old[0].wrapping_add(1);
                set(&mut connection.clone(), id, &new, Some(old)).await;
                *old = new;
            }
            _ => panic!("only the store's writes have versions"),
        }
    }
}

async fn set(
    connection: &mut MultiplexedConnection,
    id: &SessionId,
    new: &[u8],
    old: Option<&[u8]>,
) {
    let mut set = redis::cmd("SET");
    set.arg(id.as_str()).arg(new);
    if let Some(old) = old {
        set.arg("IFEQ").arg(old);
    }
    set.arg("PX").arg(LIFETIME.as_millis() as u64);
    let answer: redis::Value = set.query_async(connection).await.expect("answered");
    assert_eq!(answer, redis::Value::Okay);
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = arguments.get(5).map(|one| one.parse().expect("a number"));
    arguments.truncate(5);
    let mut runtime = match threads {
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        None => tokio::runtime::Builder::new_current_thread(),
    };
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_all().build();
    runtime.expect("a runtime").block_on(run(arguments));
}

async fn driver(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL");
    let opened = client.get_multiplexed_async_connection().await;
    opened.expect("opened")
}

async fn run(arguments: Vec<String>) {
    let [url, who, what, callers, times] = &arguments[..] else {
        panic!("redis_client URL raw|ifeq|store load|save CALLERS TIMES [THREADS]");
    };
    let (callers, times): (u32, u32) = (
        callers.parse().expect("a number"),
        times.parse().expect("a number"),
    );
    let client = match who.as_str() {
        "raw" => Client::Raw(driver(url).await),
        "ifeq" => Client::IfEqual(driver(url).await),
        "store" => Client::Store(RedisStore::connect(url).await.expect("opened")),
        other => panic!("raw, ifeq or store, not {other}"),
    };
    let saves = what == "save";
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let (id, mut written) = client.prepare().await;
                for _ in 0..times {
                    match saves {
                        true => client.save(&id, &mut written).await,
                        false => client.load(&id).await,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    let rate = f64::from(callers * times) / began.elapsed().as_secs_f64();
    report(&format!(
        "{who} {what}, {callers} callers: {rate:.0} a second"
    ));
}

#[expect(clippy::print_stdout, reason = "what it is for")]
fn report(line: &str) {
    println!("{line}");
}
