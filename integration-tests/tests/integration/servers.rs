//! The servers themselves: that they start, answer, and end with whoever started them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Kind, Private};

/// A child test process holds its server through this variable until it is killed.
const HOLD: &str = "SESSION_TEST_HOLD_SERVER";

#[test]
fn every_kind_is_found_once() {
    for find in [servers::redis, servers::mongo, servers::mysql] {
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
