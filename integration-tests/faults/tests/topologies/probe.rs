//! Clients that look at a server again and again while it has a fault.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use session_faults::dice::Dice;
use session_faults::topology::{self, Topology};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// An answer that takes longer is `SLOW`: each of the faults that delay takes as long at least.
const LONG: Duration = Duration::from_millis(40);
/// A look that takes longer is given up.
const LIMIT: Duration = Duration::from_millis(700);
/// How long callers may need after a fault.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) const SLOW: &str = "slow";
pub(crate) const TIMED_OUT: &str = "timed out";
/// The server's clock is another than this process'.
pub(crate) const OTHER_CLOCK: &str = "another clock";

/// A client of a server.
#[async_trait]
pub(crate) trait Probe: Send {
    /// Looks at the server over the connection of the look before, if there is one: writes and reads.
    /// Returns what it noticed beside the answer.
    async fn look(&mut self) -> Result<Option<&'static str>, String>;
    /// Looks over new connections from now on.
    fn forget(&mut self);
}

/// What a test expects: faults, and the words of which one at least has to be noticed.
pub(crate) type Expected = &'static [(&'static str, &'static [&'static str])];

/// Runs all faults of a topology one after the other, while a probe looks.
pub(crate) async fn all_happen_and_end<P: Probe + 'static>(
    name: &str,
    probe: impl FnOnce(&str) -> P,
    expected: Expected,
) {
    let topology = topology::start(name).await.expect("started");
    say(&format!("{name}: {}", topology.description()));
    let probe = Arc::new(Mutex::new(probe(&topology.url())));
    let has: BTreeSet<&str> = topology.faults().iter().map(|fault| fault.name).collect();
    let has_tests: BTreeSet<&str> = expected.iter().map(|(fault, _)| *fault).collect();
    // Some need what this machine may not permit, which the description says.
    let missing: Vec<_> = has.difference(&has_tests).collect();
    assert!(missing.is_empty(), "faults without a test: {missing:?}");
    let mut unseen = Vec::new();
    for (number, (fault, words)) in (0..).zip(expected) {
        if has.contains(fault) {
            let noticed = happens_and_ends(&*topology, fault, number, &probe).await;
            let is_seen = |one: &String| words.iter().any(|word| one.contains(word));
            if !noticed.iter().any(is_seen) {
                unseen.push(format!("{fault}: none of {words:?} in {noticed:?}"));
            }
        } else {
            assert!(
                topology
                    .description()
                    .contains(&format!("no fault {fault}")),
                "{fault}"
            );
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}

async fn happens_and_ends<P: Probe + 'static>(
    topology: &dyn Topology,
    fault: &'static str,
    number: u64,
    probe: &Arc<Mutex<P>>,
) -> BTreeSet<String> {
    // It works before.
    probe
        .lock()
        .await
        .look()
        .await
        .unwrap_or_else(|why| panic!("before {fault}: {why}"));
    let over = Arc::new(AtomicBool::new(false));
    let looking = {
        let (probe, over) = (Arc::clone(probe), Arc::clone(&over));
        tokio::spawn(async move {
            let mut noticed = BTreeSet::new();
            while !over.load(Ordering::SeqCst) {
                noticed.extend(look(&mut *probe.lock().await).await);
                sleep(Duration::from_millis(5)).await;
            }
            noticed
        })
    };
    let mut dice = Dice::of_part(7, number);
    let injected = topology.inject(fault, &mut dice).await;
    let injected = injected.unwrap_or_else(|why| panic!("{fault}: {why}"));
    let began = Instant::now();
    sleep(Duration::from_millis(100)).await;
    over.store(true, Ordering::SeqCst);
    let noticed = looking.await.expect("looked");
    let mut probe = probe.lock().await;
    probe.forget();
    // It works afterwards, over a new connection.
    loop {
        match timeout(LIMIT, probe.look()).await {
            Ok(Ok(None)) => break,
            _ if began.elapsed() < PATIENCE => {
                probe.forget();
                sleep(Duration::from_millis(20)).await;
            }
            other => panic!("after {fault}: {other:?}"),
        }
    }
    let took = injected.ended.since(injected.began);
    let (back, detail) = (began.elapsed(), &injected.detail);
    say(&format!(
        "{fault}: {took:?}, {detail}; back after {back:?}; noticed {noticed:?}"
    ));
    noticed
}

/// Prints a line for the report.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

async fn look(probe: &mut impl Probe) -> Option<String> {
    let began = Instant::now();
    let looked = timeout(LIMIT, probe.look()).await;
    let noticed = match looked {
        Ok(Ok(None)) => return (began.elapsed() > LONG).then(|| SLOW.to_owned()),
        Ok(Ok(Some(what))) => return Some(what.to_owned()),
        Ok(Err(why)) => why,
        Err(_) => TIMED_OUT.to_owned(),
    };
    probe.forget();
    Some(noticed)
}

/// Whether a clock, in seconds since 1970, is far from this process'.
pub(crate) fn is_other_clock(seconds: f64) -> bool {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    (now.as_secs_f64() - seconds).abs() > 0.9
}
