//! A storm of broken connections: every acknowledged change is applied once, and a change of
//! unknown outcome at most once.
#![allow(clippy::print_stdout, reason = "its counts are worth telling")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use integration_tests::servers;
use session_core::{ErrorKind, SessionStore, SessionToken, Sessions};
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_postgres::PostgresStore;
use session_redis::RedisStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many sessions are written, and by how many writers each.
const SESSIONS: usize = 6;
const WRITERS: usize = 4;

/// How long the storm lasts.
fn duration() -> Duration {
    let asked = std::env::var("SESSION_TEST_STORM_SECONDS");
    let seconds = asked.map_or(4, |asked| asked.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// A relay to a server, which lets each connection live for a random number of answers.
async fn relay(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let dice = Arc::new(AtomicU64::new(0x9e37_79b9));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let random = dice.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
            let mixed = (random ^ random >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
            // Enough for a handshake and some operations.
            tokio::spawn(pass_on(client, server.clone(), 8 + mixed % 60));
        }
    });
    port
}

/// What the server is asked it does; the answer after the last one is lost with the connection.
async fn pass_on(client: TcpStream, server: String, answers: u64) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there =
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 1 << 16];
    for _ in 0..answers {
        match from_server.read(&mut buffer).await {
            Ok(read @ 1..) if to_client.write_all(&buffer[..read]).await.is_ok() => {}
            _ => break,
        }
    }
    // One more answer is on its way, and does not arrive.
    let _ = tokio::time::timeout(Duration::from_secs(2), from_server.read(&mut buffer)).await;
    there.abort();
}

/// What one writer counts.
#[derive(Debug, Default)]
struct Counts {
    /// Changes that were acknowledged.
    done: u64,
    /// Changes that may have happened.
    unknown: u64,
}

/// Adds one to a key of its own, again and again, each time as a request of its own.
async fn write(sessions: Sessions, token: SessionToken, key: String, until: Instant) -> Counts {
    let mut counts = Counts::default();
    while Instant::now() < until {
        let Ok(session) = sessions.open(Some(&token)).await else {
            continue;
        };
        let added = session
            .update(&key, |n: Option<u64>| n.unwrap_or(0) + 1)
            .await;
        match added {
            Ok(_) => counts.done += 1,
            Err(error) if error.kind() == ErrorKind::Contention => {}
            Err(error) if error.is_doubtful() || (error.kind() == ErrorKind::OutcomeUnknown) => {
                counts.unknown += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    counts
}

/// Lets writers write `through` the storm, and counts `beside` it what came of that.
async fn storm(name: &str, through: impl SessionStore, beside: impl SessionStore) {
    let (through, beside) = (Sessions::from(through), Sessions::from(beside));
    let until = Instant::now() + duration();
    let mut writers = Vec::new();
    for _ in 0..SESSIONS {
        let session = beside.start();
        session.insert("start", 0).expect("a number");
        session.save().await.expect("saved");
        let token = session.token().expect("stored");
        for n in 0..WRITERS {
            let (key, sessions) = (format!("writer {n}"), through.clone());
            let task = tokio::spawn(write(sessions, token.clone(), key.clone(), until));
            writers.push((token.clone(), key, task));
        }
    }
    let (mut done, mut unknown) = (0, 0);
    for (token, key, task) in writers {
        let counts = task.await.expect("no panic");
        // What is still under way arrives, or never will.
        let session = beside.open(Some(&token)).await.expect("up");
        let applied = session.get::<u64>(&key).expect("a number").unwrap_or(0);
        let most = counts.done + counts.unknown;
        assert!(
            (counts.done..=most).contains(&applied),
            "{name}: {applied} applied of {counts:?}"
        );
        done += counts.done;
        unknown += counts.unknown;
    }
    assert!(
        done > 100,
        "{name}: the storm let only {done} changes through"
    );
    println!("{name}: {done} changes acknowledged, {unknown} unknown, 0 twice");
}

/// The server of `url`, as host and port.
fn server_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// `url` by way of a relay to its server.
async fn stormy(url: &str) -> String {
    let server = server_of(url);
    let port = relay(server.to_owned()).await;
    url.replacen(server, &format!("127.0.0.1:{port}"), 1)
}

/// A connection set up through the storm, in the end.
async fn in_the_end<S, R>(connect: impl Fn() -> R) -> S
where
    R: Future<Output = session_core::Result<S>>,
{
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match connect().await {
            Ok(store) => return store,
            Err(error) if Instant::now() > until => panic!("{error:?}"),
            Err(_) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_redis_nothing_is_applied_twice() {
    let Some(server) = servers::redis() else {
        return;
    };
    let url = stormy(&server.url).await;
    let builder = || RedisStore::builder().prefix("storm:");
    let through = in_the_end(|| builder().connect(&url)).await;
    let beside = builder().connect(&server.url).await.expect("set up");
    storm("redis", through, beside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_mongodb_nothing_is_applied_twice() {
    let Some(server) = servers::mongo() else {
        return;
    };
    let url = server.url.replacen("/app?", "/storm?", 1);
    let through = stormy(&url).await;
    let builder = || MongoStore::builder().collection("storm");
    let beside = builder().connect(&url).await.expect("set up");
    let through = in_the_end(|| builder().connect(&through)).await;
    storm("mongo", through, beside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres_nothing_is_applied_twice() {
    let Some(server) = servers::postgres() else {
        return;
    };
    let url = stormy(&server.url).await;
    let builder = || PostgresStore::builder().table("storm");
    let beside = builder().connect(&server.url).await.expect("set up");
    let through = in_the_end(|| builder().connect(&url)).await;
    storm("postgres", through, beside).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_mysql_nothing_is_applied_twice() {
    let Some(server) = servers::mysql() else {
        return;
    };
    let url = stormy(&server.url).await;
    let builder = || MysqlStore::builder().table("storm");
    let beside = builder().connect(&server.url).await.expect("set up");
    let through = in_the_end(|| builder().connect(&url)).await;
    storm("mysql", through, beside).await;
}
