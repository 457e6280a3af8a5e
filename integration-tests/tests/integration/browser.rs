//! A browser with many tabs and one cookie jar, on a bad connection, and a session on a real
//! server whose token is renewed every two seconds: no alarm, and no sign-out. The long simulation
//! is in `session-core`.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use integration_tests::servers;
use session_core::{EndReason, Event, Observer, SessionToken, Sessions};
use session_redis::RedisStore;

const TABS: u64 = 8;
const GRACE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(9);

#[derive(Debug, Default)]
struct Heard {
    renewed: AtomicU64,
    reused: AtomicU64,
}

impl Observer for Heard {
    fn renewed(&self, _: Event<'_>) {
        self.renewed.fetch_add(1, SeqCst);
    }

    fn reused(&self, _: Event<'_>) {
        self.reused.fetch_add(1, SeqCst);
    }

    fn destroyed(&self, _: Event<'_>, reason: EndReason) {
        panic!("the session was ended: {reason:?}");
    }
}

/// Numbers from a seed: xorshift64 (Marsaglia, "Xorshift RNGs", 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// A message takes a few milliseconds; a tenth of them up to half a grace, which leaves the
    /// other half to a busy machine.
    async fn travel(&mut self) {
        let late = self.below(10) == 0;
        let most = if late {
            GRACE.as_millis() as u64 / 2
        } else {
            8
        };
        tokio::time::sleep(Duration::from_millis(self.below(most))).await;
    }
}

async fn tab(sessions: Sessions, jar: Arc<Mutex<SessionToken>>, seed: u64) -> u64 {
    let (mut dice, began, mut requests) = (Dice(seed), Instant::now(), 0);
    while began.elapsed() < LONG {
        let token = jar.lock().expect("whole").clone();
        dice.travel().await;
        let session = sessions.open(Some(&token)).await.expect("up");
        assert!(session.id().is_some(), "the user was signed out");
        if dice.below(5) == 0 {
            let add = |n: Option<u64>| n.unwrap_or(0) + 1;
            session.update("n", add).await.expect("saved");
        } else if !session.renew_if_due().await.expect("up") {
            session.touch().await.expect("up");
        }
        requests += 1;
        let told = session.token().filter(|told| *told != token);
        // One answer in twenty is lost.
        if let Some(told) = told.filter(|_| dice.below(20) > 0) {
            dice.travel().await;
            *jar.lock().expect("whole") = told;
        }
    }
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tabs_on_a_bad_connection_are_not_taken_for_thieves_on_redis() {
    let Some(server) = servers::redis() else {
        return;
    };
    let store = RedisStore::builder().prefix("browser:");
    let store = store.connect(&server.url).await.expect("set up");
    let heard = Arc::new(Heard::default());
    let sessions = Sessions::builder(Arc::new(store))
        .renew_after(AFTER)
        .grace(GRACE)
        .shared_observer(heard.clone())
        .build()
        .expect("good rules");
    let session = sessions.start();
    session.sign_in("u").await.expect("signed in");
    let jar = Arc::new(Mutex::new(session.token().expect("stored")));
    let tabs = (1..=TABS).map(|n| {
        let seed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        tokio::spawn(tab(sessions.clone(), Arc::clone(&jar), seed))
    });
    let tabs: Vec<_> = tabs.collect();
    let mut requests = 0;
    for tab in tabs {
        requests += tab.await.expect("no panic");
    }
    assert_eq!(heard.reused.load(SeqCst), 0, "of {requests} requests");
    let renewed = heard.renewed.load(SeqCst);
    assert!(
        renewed >= 3,
        "only {renewed} renewals in {requests} requests"
    );
    let token = jar.lock().expect("whole").clone();
    assert!(sessions.find(&token).await.expect("up").is_some());
}
