//! Several processes on one file.

use std::env::current_exe;
use std::io::Write;
use std::process::{Child, Command};
use std::time::Duration;

use session_core::{Saved, SessionId};
use session_sqlite::sqlx;
use session_sqlite::{SessionStore, SqliteStore};

use crate::child::{command, url};
use crate::support::{Place, create, data, done, draft};

const PROCESSES: usize = 3;
const INCREMENTS: u32 = 100;
const INDEX: &str = "SESSION_SQLITE_TEST_INDEX";
const ID: &str = "SESSION_SQLITE_TEST_ID";

fn child(test: &str, place: &Place) -> Command {
    command(&current_exe().expect("this test"), test, &place.url())
}

#[tokio::test]
async fn processes_that_change_one_session_lose_no_update() {
    let place = Place::new();
    let store = place.store().await;
    let id = create(&store, &[0; 4 * PROCESSES]).await;
    let start = |index: usize| {
        let mut command = child("processes::incrementer", &place);
        command.env(INDEX, index.to_string()).env(ID, id.as_str());
        command.spawn().expect("started")
    };
    let children: Vec<Child> = (0..PROCESSES).map(start).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
    }
    let counters = data(&store, &id).await.expect("it lives");
    for counter in counters.chunks(4) {
        let counter = u32::from_le_bytes(counter.try_into().expect("four bytes"));
        assert_eq!(counter, INCREMENTS);
    }
}

/// Increments its own counter in a session that all processes change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of another test"]
async fn incrementer() {
    let store = SqliteStore::connect(&url()).await.expect("opened");
    let index: usize = std::env::var(INDEX)
        .expect("set")
        .parse()
        .expect("a number");
    let id = SessionId::from_stored(&std::env::var(ID).expect("set")).expect("an id");
    for _ in 0..INCREMENTS {
        loop {
            let record = store.load(&id).await.expect("no error").expect("it lives");
            let mut counters = record.data.to_vec();
            let own = &mut counters[4 * index..4 * index + 4];
            let count = u32::from_le_bytes((&*own).try_into().expect("four bytes"));
            own.copy_from_slice(&(count + 1).to_le_bytes());
            let saved = store.save(&id, &draft(&counters), &record.version).await;
            match saved.expect("no error") {
                Saved::Done(_) => break,
                Saved::Conflict => {}
                other => panic!("the session lives, but a save was {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_killed_process_leaves_a_consistent_file_with_all_that_it_reported() {
    let place = Place::new();
    let store = place.store().await;
    let mut reported = Vec::new();
    for _ in 0..4 {
        let mut child = child("processes::creator", &place)
            .spawn()
            .expect("started");
        tokio::time::sleep(Duration::from_millis(700)).await;
        child.kill().expect("killed");
        let output = child.wait_with_output().expect("it has ended");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("created "));
        // The last line may be cut.
        let ids = lines.filter(|line| line.ends_with('.'));
        reported.extend(ids.map(|line| line.trim_end_matches('.').to_owned()));
    }
    assert!(reported.len() > 20, "{}", reported.len());
    for id in &reported {
        let id = SessionId::from_stored(id).expect("an id");
        assert_eq!(data(&store, &id).await, Some(vec![b'k'; 5_000]));
    }
    let checked: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut place.connection().await)
        .await
        .expect("checked");
    assert_eq!(checked, "ok");
}

/// Creates sessions and reports them, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of another test"]
async fn creator() {
    let store = SqliteStore::connect(&url()).await.expect("opened");
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(create_and_report(store.clone())))
        .collect();
    for task in tasks {
        task.await.expect("it goes on until it is killed");
    }
}

async fn create_and_report(store: SqliteStore) {
    loop {
        let id = create(&store, &[b'k'; 5_000]).await;
        let line = format!("created {}.\n", id.as_str());
        std::io::stdout()
            .write_all(line.as_bytes())
            .expect("written");
    }
}

/// A store in this process sees at once what another one wrote.
#[tokio::test]
async fn stores_on_one_file_see_each_others_writes() {
    let place = Place::new();
    let (one, other) = (place.store().await, place.store().await);
    let id = create(&one, b"first").await;
    let found = other.load(&id).await.expect("loaded").expect("it is there");
    let saved = other.save(&id, &draft(b"second"), &found.version).await;
    done(saved.expect("saved"));
    assert_eq!(data(&one, &id).await, Some(b"second".to_vec()));
}
