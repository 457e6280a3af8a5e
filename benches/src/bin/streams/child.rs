//! A process with open streams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use session_core::{SessionEnd, Sessions};

use crate::{Options, now, user};

/// Opens its share of the streams, says `ready`, and prints the user and the time of each close
/// until all are closed or its input ends.
pub(crate) async fn run(options: &Options, number: usize) {
    let sessions = Sessions::builder(options.store(true).await);
    // A machine with more processes than cores is late, which is not to be taken for an outage.
    let sessions = sessions.stream_outage(Duration::from_secs(60)).build();
    let sessions = sessions.expect("good rules");
    let closed = Arc::new(Mutex::new(Vec::new()));
    let share = (number..options.streams).step_by(options.processes);
    #[expect(clippy::async_yields_async, reason = "a stream stays open once it is")]
    let open = share.map(|stream| {
        let (sessions, closed, whose) = (
            sessions.clone(),
            Arc::clone(&closed),
            stream / options.processes % options.users,
        );
        async move {
            let session = sessions.start();
            session.insert("visits", stream).expect("a number");
            session.sign_in(user(whose)).await.expect("up");
            let ended = session.ended();
            drop(session);
            tokio::spawn(async move {
                let end = ended.await;
                assert_eq!(end, SessionEnd::Ended);
                let now = now();
                closed.lock().expect("whole").push((whose, now));
            })
        }
    });
    let open: Vec<_> = stream::iter(open).buffer_unordered(64).collect().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("ready {}", sessions.open_streams());
    let all = futures_util::future::join_all(open);
    let input = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin()));
    tokio::select! {
        _ = all => {}
        _ = input => {}
    }
    for (whose, at) in closed.lock().expect("whole").iter() {
        println!("closed {whose} {at}");
    }
    println!("open {}", sessions.open_streams());
    // Its input may be open, and a thread reads it.
    std::process::exit(0);
}
