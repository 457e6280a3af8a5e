//! A browser with many tabs and one cookie jar, on a bad connection, and the server it talks to.
//! Time is the memory store's, and is moved from event to event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use session_core::{
    EndReason, Event, Lifetime, Observer, SessionId, SessionToken, Sessions, Timeout,
};
use session_memory::MemoryStore;

pub(crate) const GRACE: Duration = Duration::from_secs(60);
pub(crate) const AFTER: Duration = Duration::from_secs(240);

/// Numbers from a seed: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift
/// generators, scrambled", 2016).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % limit
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Counts what a server's observers hear.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reused: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) renewed: AtomicU64,
}

impl Observer for Counts {
    fn reused(&self, _: Event<'_>) {
        self.reused.fetch_add(1, Relaxed);
    }

    fn destroyed(&self, _: Event<'_>, reason: EndReason) {
        assert_eq!(reason, EndReason::Reused);
        self.ended.fetch_add(1, Relaxed);
    }

    fn renewed(&self, _: Event<'_>) {
        self.renewed.fetch_add(1, Relaxed);
    }

    fn unknown(&self, _: &SessionId) {}
}

pub(crate) struct Server {
    pub(crate) sessions: Sessions,
    pub(crate) counts: Arc<Counts>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let counts = Arc::new(Counts::default());
        let sessions = Sessions::builder(Arc::new(MemoryStore::new()))
            .lifetime(Lifetime::idle(Timeout::Never))
            .renew_after(AFTER)
            .shared_observer(counts.clone())
            .build()
            .expect("good rules");
        Self { sessions, counts }
    }

    pub(crate) async fn sign_in(&self) -> SessionToken {
        let session = self.sessions.start();
        session.insert("n", 0).expect("a number");
        session.sign_in("u").await.expect("signed in");
        session.token().expect("stored")
    }

    /// One request, as the web layer ends it. Gives whether the token opened the session, and the
    /// token that the answer sets.
    pub(crate) async fn request(
        &self,
        token: &SessionToken,
        writes: bool,
    ) -> (bool, Option<SessionToken>) {
        let session = self.sessions.open(Some(token)).await.expect("up");
        if session.id().is_none() {
            return (false, None);
        }
        if writes {
            session
                .update("n", |n: Option<u64>| n.unwrap_or(0) + 1)
                .await
                .expect("saved");
        } else if !session.renew_if_due().await.expect("up") {
            session.touch().await.expect("up");
        }
        (true, session.token().filter(|told| told != token))
    }
}

/// What happens next, in milliseconds since the beginning.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A tab sends a request with what is in the jar.
    Send,
    /// A request arrives with the token of this number.
    Arrive(usize),
    /// An answer arrives that sets the token of this number.
    Answer(usize),
}

/// A browser whose requests and answers are late now and then, and whose answers are lost.
pub(crate) struct Browser<'s> {
    server: &'s Server,
    dice: Dice,
    now: u64,
    due: BinaryHeap<Reverse<(u64, Step)>>,
    jar: usize,
    tokens: Vec<SessionToken>,
    pub(crate) signed_out: u64,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(server: &'s Server, token: SessionToken, seed: u64) -> Self {
        Self {
            server,
            dice: Dice::new(seed),
            now: 0,
            due: BinaryHeap::new(),
            jar: 0,
            tokens: vec![token],
            signed_out: 0,
        }
    }

    /// How long a message takes: a tenth of them up to a grace.
    fn delay(&mut self) -> u64 {
        match self.dice.percent(10) {
            true => self.dice.below(GRACE.as_millis() as u64),
            false => 20 + self.dice.below(80),
        }
    }

    /// Lets so many tabs send so many requests in all, each every five seconds or so.
    pub(crate) async fn browse(&mut self, tabs: u64, requests: u64) {
        for _ in 0..tabs {
            let at = self.now + self.dice.below(5_000);
            self.due.push(Reverse((at, Step::Send)));
        }
        let mut sent = 0;
        while let Some(Reverse((at, step))) = self.due.pop() {
            tokio::time::advance(Duration::from_millis(at - self.now)).await;
            self.now = at;
            match step {
                Step::Send if sent < requests => {
                    sent += 1;
                    let arrival = at + self.delay();
                    self.due.push(Reverse((arrival, Step::Arrive(self.jar))));
                    let next = at + self.dice.below(10_000);
                    self.due.push(Reverse((next, Step::Send)));
                }
                Step::Send => {}
                Step::Arrive(token) => self.arrive(token).await,
                Step::Answer(token) => self.jar = token,
            }
        }
    }

    async fn arrive(&mut self, token: usize) {
        let writes = self.dice.percent(20);
        let (opened, told) = self.server.request(&self.tokens[token], writes).await;
        self.signed_out += u64::from(!opened);
        let is_lost = self.dice.percent(5);
        let Some(told) = told.filter(|_| !is_lost) else {
            return;
        };
        let known = self.tokens.iter().rposition(|known| *known == told);
        let told = known.unwrap_or_else(|| {
            self.tokens.push(told);
            self.tokens.len() - 1
        });
        let arrival = self.now + self.delay();
        self.due.push(Reverse((arrival, Step::Answer(told))));
    }
}
