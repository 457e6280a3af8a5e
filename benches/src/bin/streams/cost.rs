//! What it costs a destroy on Redis to publish, while no stream is open.

use std::sync::Arc;
use std::time::{Duration, Instant};

use benches::median;
use futures_util::{StreamExt, stream};
use integration_tests::servers;
use session_core::{Draft, Lifetime, SessionId, SessionStore, SessionToken};

use crate::Options;

const ROUNDS: usize = 41;
const SESSIONS: usize = 4_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Destroys a second by so many callers, of sessions that were just created.
async fn rate(store: &Arc<dyn SessionStore>, callers: usize) -> f64 {
    let ids: Vec<SessionId> = (0..SESSIONS)
        .map(|_| SessionToken::generate().id())
        .collect();
    let draft = Draft::new("{}", Lifetime::new(HOUR, HOUR));
    let created = stream::iter(&ids).map(|id| store.create(id, &draft));
    let created: Vec<_> = created.buffer_unordered(64).collect().await;
    assert!(created.into_iter().all(|created| created.is_ok()));
    let began = Instant::now();
    let destroyed = stream::iter(&ids).map(|id| store.destroy(id, None));
    let destroyed: Vec<_> = destroyed.buffer_unordered(callers).collect().await;
    let rate = SESSIONS as f64 / began.elapsed().as_secs_f64();
    assert!(
        destroyed
            .into_iter()
            .all(|ended| matches!(ended, Ok(Some(_))))
    );
    rate
}

pub(crate) async fn run() {
    let server = tokio::task::block_in_place(servers::redis).expect("a server");
    println!("{}", server.description);
    let options = Options::read(server.url.clone(), &[]);
    let stores = [options.store(false).await, options.store(true).await];
    for callers in [1, 16, 256] {
        let (mut without, mut ratios) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // In turns: the machine's speed varies.
            let first = round % 2;
            let mut rates = [0.0; 2];
            for which in [first, 1 - first] {
                rates[which] = rate(&stores[which], callers).await;
            }
            without.push(rates[0]);
            ratios.push(rates[1] / rates[0]);
        }
        let (rate, ratio) = (median(without.into_iter()), median(ratios.into_iter()));
        println!(
            "{callers:3} callers: {rate:.0} destroys/s without, {ratio:.3} of that with notices"
        );
    }
}
