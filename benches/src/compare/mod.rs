//! This project's stores, the raw drivers and other libraries, interleaved in one run.

mod actix;
mod contender;
mod delay;
mod options;
mod ours;
mod peers;
mod raw;
mod redis;
mod report;
mod run;

use std::time::Duration;

use benches::median;
use benches::results::{Line, Role};
use integration_tests::servers::{self, Server};
use session_core::Error;

use options::Backend;
pub(crate) use options::{Options, USAGE};
use ours::Ours;
use peers::{Tower11, Tower14, Tower15};
use report::{Report, round};
use run::{Entrant, Entry, Measured, Operation};

type Entrants = Vec<Box<dyn Entrant>>;

/// Runs the comparison and prints it.
pub(crate) async fn compare(options: Options) -> Result<(), Error> {
    let mut report = Report::new(&options);
    for backend in &options.backends {
        for payload in &options.payloads {
            // The total size is bounded, so that it fits into the servers' caches.
            let sessions = options.sessions.min(96 * 1024 * 1024 / payload).max(512);
            let entrants = entrants(*backend, &options, (sessions, *payload), &mut report).await?;
            for entrant in &entrants {
                entrant.prepare().await;
            }
            for operation in Operation::ALL {
                for callers in &options.callers {
                    let measured = rounds(&entrants, operation, *callers, &options).await;
                    let lines = lines(
                        *backend, operation, *payload, *callers, &entrants, &measured,
                    );
                    report.add(&lines);
                }
                for entrant in &entrants {
                    entrant.check().await;
                }
            }
        }
    }
    report.finish()
}

/// Runs every entrant in every round, one after the other, starting with another one each time.
async fn rounds(
    entrants: &Entrants,
    operation: Operation,
    callers: usize,
    options: &Options,
) -> Vec<Vec<Measured>> {
    let mut measured: Vec<Vec<Measured>> = entrants.iter().map(|_| Vec::new()).collect();
    // The first round warms caches and connections up.
    for round in 0..=options.rounds {
        for offset in 0..entrants.len() {
            let n = (offset + round) % entrants.len();
            let time = if round == 0 {
                options.time / 3
            } else {
                options.time
            };
            let done = entrants[n].run(operation, callers, time).await;
            if round > 0 {
                measured[n].push(done);
            }
        }
    }
    measured
}

fn lines(
    backend: Backend,
    operation: Operation,
    payload: usize,
    callers: usize,
    entrants: &Entrants,
    measured: &[Vec<Measured>],
) -> Vec<Line> {
    let of = |role: Role| {
        let found = entrants
            .iter()
            .zip(measured)
            .filter(move |(entrant, _)| entrant.role() == role);
        found.map(|(_, measured)| measured)
    };
    let ops = |measured: &Vec<Measured>| median(measured.iter().map(|m| m.ops_per_s));
    let best_peer = of(Role::Peer).max_by(|a, b| ops(a).total_cmp(&ops(b)));
    let raw = of(Role::Raw).next();
    // Ratios are taken within a round, because other load on the machine affects a whole round.
    let ratio = |own: &[Measured], other: Option<&Vec<Measured>>, of: fn(&Measured) -> f64| {
        let rounds = own.iter().zip(other?);
        let ratio = median(rounds.map(|(own, other)| of(own) / of(other)));
        Some(round(ratio, 3))
    };
    let line = |entrant: &dyn Entrant, own: &Vec<Measured>| Line {
        backend: backend.name().to_owned(),
        operation: operation.name().to_owned(),
        payload,
        callers,
        contender: entrant.name().to_owned(),
        role: entrant.role(),
        ops_per_s: Some(round(ops(own), 0)),
        p50_us: Some(round(median(own.iter().map(|m| m.p50_us)), 2)),
        p99_us: Some(round(median(own.iter().map(|m| m.p99_us)), 2)),
        cpu_us: Some(round(median(own.iter().map(|m| m.cpu_us)), 2)),
        ratio_raw: ratio(own, raw, |m| m.ops_per_s),
        ratio_raw_p50: ratio(own, raw, |m| m.p50_us),
        ratio_best_peer: ratio(own, best_peer, |m| m.ops_per_s),
        ratio_before: None,
        ratio_raw_before: None,
    };
    let all = entrants.iter().zip(measured);
    all.map(|(entrant, own)| line(&**entrant, own)).collect()
}

async fn entrants(
    backend: Backend,
    options: &Options,
    size: (usize, usize),
    report: &mut Report,
) -> Result<Entrants, Error> {
    let server = match backend {
        Backend::Memory | Backend::Sqlite | Backend::RedisCluster => None,
        Backend::Redis => redis::server(options),
        Backend::Mysql => servers::mysql(),
        Backend::Mongo => servers::mongo(),
        Backend::Postgres => servers::postgres(),
    };
    if let Some(server) = server {
        report.server(&server.description);
    }
    let url = server.map_or_else(String::new, |server| url(server, options.delay));
    Ok(match backend {
        Backend::Memory => memory(size),
        Backend::Redis => redis::single(&url, size, report).await?,
        Backend::RedisCluster => redis::cluster(options, size, report).await?,
        Backend::Mysql => mysql(&url, size).await?,
        Backend::Mongo => mongo(&url, size).await?,
        Backend::Postgres => postgres(&url, size).await?,
        Backend::Sqlite => sqlite(size).await?,
    })
}

/// The server's URL, or that of a relay to it.
fn url(server: &Server, delay: Duration) -> String {
    let authority = server.url.split("//").nth(1).unwrap_or_default();
    let host = authority.split(['/', '?']).next().unwrap_or_default();
    let port = host.rsplit(':').next().and_then(|port| port.parse().ok());
    match port {
        Some(port) if !delay.is_zero() => {
            let relay = delay::relay(port, delay);
            server
                .url
                .replacen(&format!(":{port}"), &format!(":{relay}"), 1)
        }
        _ => server.url.clone(),
    }
}

fn memory(size: (usize, usize)) -> Entrants {
    let sessions = size.0;
    let timed = 32;
    let ours = Ours::new(session_memory::MemoryStore::new(), sessions);
    let tower = Tower15::new(
        tower_sessions_memory_store::MemoryStore::default(),
        sessions,
    );
    vec![
        Entry::boxed("session-memory", Role::Ours, ours, size, timed),
        Entry::boxed(
            "a sharded map",
            Role::Raw,
            raw::Map::new(sessions),
            size,
            timed,
        ),
        Entry::boxed("tower-sessions", Role::Peer, tower, size, timed),
    ]
}

async fn mysql(url: &str, size: (usize, usize)) -> Result<Entrants, Error> {
    use session_core::SessionStore;
    use tower_sessions_sqlx_store::{MySqlStore, sqlx};
    let sessions = size.0;
    let ours = session_mysql::MysqlStore::builder().table("bench_sessions");
    let ours = ours.connect(url).await?;
    ours.directory().expect("it has one").clear().await?;
    let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(16);
    let tower = MySqlStore::new(pool.connect(url).await.expect("up"));
    tower.migrate().await.expect("a schema");
    let raw = raw::Mysql::new(url, sessions).await;
    Ok(vec![
        Entry::boxed(
            "session-mysql",
            Role::Ours,
            Ours::new(ours, sessions),
            size,
            1,
        ),
        Entry::boxed("sqlx", Role::Raw, raw, size, 1),
        Entry::boxed(
            "tower-sessions",
            Role::Peer,
            Tower14::new(tower, sessions),
            size,
            1,
        ),
    ])
}

async fn mongo(url: &str, size: (usize, usize)) -> Result<Entrants, Error> {
    use session_core::SessionStore;
    use tower_sessions_mongodb_store::{MongoDBStore, mongodb};
    let sessions = size.0;
    let ours = session_mongo::MongoStore::builder().collection("bench_sessions");
    let ours = ours.connect(url).await?;
    ours.directory().expect("it has one").clear().await?;
    let client = mongodb::Client::with_uri_str(url).await.expect("up");
    let tower = MongoDBStore::new(client, "benches_tower".to_owned());
    let raw = raw::Mongo::new(url, sessions).await;
    Ok(vec![
        Entry::boxed(
            "session-mongo",
            Role::Ours,
            Ours::new(ours, sessions),
            size,
            1,
        ),
        Entry::boxed("mongodb", Role::Raw, raw, size, 1),
        Entry::boxed(
            "tower-sessions",
            Role::Peer,
            Tower11::new(tower, sessions),
            size,
            1,
        ),
    ])
}

async fn postgres(url: &str, size: (usize, usize)) -> Result<Entrants, Error> {
    use session_core::SessionStore;
    use tower_sessions_sqlx_store::{PostgresStore, sqlx};
    let sessions = size.0;
    let ours = session_postgres::PostgresStore::builder().table("bench_sessions");
    let ours = ours.connect(url).await?;
    ours.directory().expect("it has one").clear().await?;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(16);
    let tower = PostgresStore::new(pool.connect(url).await.expect("up"));
    tower.migrate().await.expect("a schema");
    let raw = raw::Postgres::new(url, sessions).await;
    Ok(vec![
        Entry::boxed(
            "session-postgres",
            Role::Ours,
            Ours::new(ours, sessions),
            size,
            1,
        ),
        Entry::boxed("sqlx", Role::Raw, raw, size, 1),
        Entry::boxed(
            "tower-sessions",
            Role::Peer,
            Tower14::new(tower, sessions),
            size,
            1,
        ),
    ])
}

/// Each in a file of its own, with a log that is flushed at each commit.
async fn sqlite(size: (usize, usize)) -> Result<Entrants, Error> {
    use tower_sessions_sqlx_store::{SqliteStore, sqlx};
    let sessions = size.0;
    // Left to the end of the process, which may hold files open in it.
    let folder = tempfile::tempdir().expect("a folder").keep();
    let url = format!("sqlite:{}", folder.join("ours.db").display());
    let ours = session_sqlite::SqliteStore::connect(&url).await?;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("tower.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(60));
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(16);
    let tower = SqliteStore::new(pool.connect_with(options).await.expect("a file"));
    tower.migrate().await.expect("a schema");
    let raw = raw::Sqlite::new(&folder.join("raw.db"), sessions).await;
    Ok(vec![
        Entry::boxed(
            "session-sqlite",
            Role::Ours,
            Ours::new(ours, sessions),
            size,
            1,
        ),
        Entry::boxed("sqlx", Role::Raw, raw, size, 1),
        Entry::boxed(
            "tower-sessions",
            Role::Peer,
            Tower14::new(tower, sessions),
            size,
            1,
        ),
    ])
}
