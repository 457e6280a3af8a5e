//! The servers themselves: that they start, answer, and end with whoever started them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

/// A child test process holds its server through this variable until it is killed.
const HOLD: &str = "SESSION_TEST_HOLD_SERVER";

#[test]
fn every_product_is_found_once() {
    for find in [
        servers::redis,
        servers::redis_8,
        servers::valkey,
        servers::mongo,
        servers::mysql,
        servers::postgres,
    ] {
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(find);
            (find(), other.join().expect("found there too"))
        });
        assert_eq!(
            one.map(|s| &s.url),
            two.map(|s| &s.url),
            "one server a process"
        );
    }
}

#[test]
fn a_private_server_ends_when_dropped_and_survives_a_restart() {
    let mut server = Private::start(Kind::Redis, &["--appendonly", "yes"]);
    let first = server.pid();
    server.kill();
    assert!(!is_running(first));
    server.restart();
    let second = server.pid();
    assert!(is_running(second));
    drop(server);
    assert!(!is_running(second));
}

#[test]
fn a_server_ends_with_a_process_that_is_killed() {
    if std::env::var_os(HOLD).is_some() {
        let server = Private::start(Kind::Redis, &[]);
        std::fs::write(
            std::env::var_os(HOLD).expect("set"),
            server.pid().to_string(),
        )
        .expect("written");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let note = folder.path().join("pid");
    let name = "servers::a_server_ends_with_a_process_that_is_killed";
    let mut holder = Command::new(std::env::current_exe().expect("this test"))
        .args([name, "--exact", "--nocapture"])
        .env(HOLD, &note)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("started");
    let pid = wait_for(|| std::fs::read_to_string(&note).ok()?.parse().ok());
    assert!(is_running(pid));
    holder.kill().expect("killed");
    holder.wait().expect("ended");
    wait_for(|| (!is_running(pid)).then_some(()));
}

#[tokio::test]
async fn postgres_keeps_what_it_has_committed_when_it_is_killed() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let mut server = Private::start(Kind::Postgres, &[]);
    run(&server.url, "CREATE TABLE kept (x int)")
        .await
        .expect("up");
    let killed = server.pid();
    server.kill();
    assert!(!is_running(killed));
    server.restart();
    let insert = "INSERT INTO kept VALUES (1)";
    run(&server.url, insert).await.expect("the table is there");
}

#[tokio::test]
async fn a_standby_of_postgres_refuses_writes_until_it_is_promoted() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let primary = Private::start(Kind::Postgres, &[]);
    run(&primary.url, "CREATE TABLE followed (x int)")
        .await
        .expect("up");
    let standby = Private::standby(&primary);
    let insert = "INSERT INTO followed VALUES (1)";
    let refused = run(&standby.url, insert).await.expect_err("a standby");
    assert!(refused.contains("read-only transaction"), "{refused}");
    run(&standby.url, "SELECT pg_promote()")
        .await
        .expect("promoted");
    run(&standby.url, insert).await.expect("a primary");
}

#[tokio::test]
async fn pgbouncer_gives_one_connection_of_postgres_to_many_clients() {
    let Some(server) = servers::postgres() else {
        return;
    };
    let bouncer = Private::pgbouncer(&server.url, 1);
    let options: PgConnectOptions = bouncer.url.parse().expect("a URL");
    let options = options.extra_float_digits(None);
    let connect = async || options.connect().await.expect("up");
    let mut clients = [connect().await, connect().await];
    let mut processes: Vec<i32> = Vec::new();
    for client in [0, 1, 0] {
        let row = sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(&mut clients[client]);
        processes.push(row.await.expect("served").get(0));
    }
    assert_eq!(processes, [processes[0]; 3]);
}

/// Runs a statement on a connection of its own.
async fn run(url: &str, statement: &'static str) -> Result<(), String> {
    let mut connection = PgConnection::connect(url)
        .await
        .map_err(|error| error.to_string())?;
    let done = sqlx::raw_sql(statement).execute(&mut connection).await;
    done.map(drop).map_err(|error| error.to_string())
}

fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // A zombie has ended; whoever should wait for it has not come yet.
    status.is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not happen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
