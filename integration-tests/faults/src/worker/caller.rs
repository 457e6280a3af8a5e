//! One caller: a request after the other, each with a session that others use too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use session_core::{Lifetime, SessionId, SessionToken};

use super::Worker;
use super::handle::{COUNTERS, Handle, Outcome, Way, limits, stored, view};
use crate::clock::Micros;
use crate::dice::Dice;
use crate::history::{Act, Answer, Mark};

/// How many users there are for each hundred sessions.
const OWNERS: u64 = 40;
/// How many replaced tokens a caller keeps, to present them once more.
const OLD: usize = 8;
/// After an error, as a client that tries again.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Caller {
    worker: Arc<Worker>,
    number: u32,
    dice: Dice,
    /// Tokens that were replaced or whose sessions have ended, with their slots.
    old: VecDeque<(u64, SessionToken)>,
}

impl Caller {
    pub(super) fn new(worker: Arc<Worker>, number: u32) -> Self {
        let part = u64::from(worker.settings.process) << 20 | u64::from(number);
        let dice = Dice::of_part(worker.settings.seed, part);
        Self {
            worker,
            number,
            dice,
            old: VecDeque::new(),
        }
    }

    /// Works until the end of the run.
    pub(super) async fn run(mut self) {
        while Micros::now() < self.worker.settings.until {
            let outcome = match self.dice.number(0..300) {
                0 => self.log_out_everywhere().await,
                1..6 => self.owned_by().await,
                6 if self.dice.one_in(20) => self.list().await,
                7..14 => self.present_old_token().await,
                _ => self.request().await,
            };
            if outcome == Outcome::Failed {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// How the next call is made.
    fn way<'w>(&mut self, worker: &'w Worker) -> Way<'w> {
        let drops = worker.settings.drops;
        let is_dropped = drops > 0 && self.dice.one_in(drops);
        let patience = is_dropped.then(|| Duration::from_micros(self.dice.number(0..4_000)));
        Way {
            worker,
            caller: self.number,
            patience,
        }
    }

    fn owner(&mut self) -> String {
        let owners = (self.worker.settings.slots * OWNERS / 100).max(2);
        format!("user-{}", self.dice.number(0..owners))
    }

    async fn request(&mut self) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let slot = self.dice.number(0..worker.settings.slots);
        let Some(token) = worker.board.read(slot) else {
            return self.create(slot).await;
        };
        let handle = match self.open(slot, &token).await {
            Ok(Some(handle)) => handle,
            Ok(None) => {
                let _ = worker.board.replace(slot, Some(&token), None);
                return Outcome::Gone;
            }
            Err(outcome) => return outcome,
        };
        self.use_session(slot, &token, handle).await
    }

    /// Opens a token; `None` if it opens nothing.
    async fn open(&mut self, slot: u64, token: &SessionToken) -> Result<Option<Handle>, Outcome> {
        let worker = Arc::clone(&self.worker);
        let act = Act::Open {
            mark: Mark::of(token),
            renews: worker.renews(slot),
        };
        let id = Some(token.id().as_str().to_owned());
        let open = worker.sessions(slot).open(token);
        let way = self.way(&worker);
        let session = way.call(id, act, open, |session| match session.id() {
            Some(_) => Answer::Opened {
                view: view(session),
            },
            None => Answer::NotOpened {
                barred: session.is_gone(),
            },
        });
        let session = session.await?;
        Ok(Handle::opened(session, token))
    }

    /// A few operations on an open session, as handlers of a request.
    async fn use_session(
        &mut self,
        slot: u64,
        token: &SessionToken,
        mut handle: Handle,
    ) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let mut last = Outcome::Done;
        let mut is_clean = true;
        for _ in 0..self.dice.number(0..4) {
            let way = self.way(&worker);
            let choice = self.dice.number(0..100);
            let has_new_token = (92..97).contains(&choice);
            last = match choice {
                0..50 => {
                    let key = self.dice.pick(&COUNTERS);
                    handle.increment(&way, key).await
                }
                50..62 => handle.insert(&way).await,
                62..72 => handle.flash(&way).await,
                72..84 => handle.take_flashes(&way).await,
                84..92 => handle.touch(&way).await,
                // What was not saved would be a part of the new session.
                92..95 if is_clean => self.sign_in(&way, &mut handle).await,
                95..97 => handle.cycle_id(&way).await,
                97 => self.revoke(&way, &handle).await,
                _ => handle.sign_out(&way).await,
            };
            match last {
                Outcome::Done => {}
                Outcome::Failed if self.dice.one_in(2) => is_clean = false,
                _ => break,
            }
            // After a new token of which it is not known whether there is one, the history could
            // not say by which token the handle goes on.
            if has_new_token && last == Outcome::Failed || handle.session.id().is_none() {
                break;
            }
        }
        self.leave(slot, token, &handle, last);
        last
    }

    /// Leaves the token for others, as a browser keeps the cookie of the response.
    fn leave(&mut self, slot: u64, token: &SessionToken, handle: &Handle, last: Outcome) {
        let has_ended = handle.session.id().is_none() && !matches!(last, Outcome::Dropped);
        // A write without an answer may still be going on; the response sets no cookie.
        let new = match handle.session.token() {
            Some(new) => Some(new),
            None if has_ended => None,
            None => return,
        };
        if new.as_ref() != Some(token) {
            let _ = self.worker.board.replace(slot, Some(token), new.as_ref());
            self.keep_old(slot, token.clone());
        }
    }

    fn keep_old(&mut self, slot: u64, token: SessionToken) {
        // Renewed tokens that come back end their sessions: that is not to be the rule.
        if self.worker.renews(slot) && !self.dice.one_in(10) {
            return;
        }
        self.old.push_back((slot, token));
        if self.old.len() > OLD {
            self.old.pop_front();
        }
    }

    async fn sign_in(&mut self, way: &Way<'_>, handle: &mut Handle) -> Outcome {
        let is_short = handle.session.lifetime().idle < self.worker.settings.idle.into();
        let owner = match handle.session.owner() {
            // Another user's session would get the usual limits.
            Some(owner) if is_short || self.dice.one_in(2) => owner.as_str().to_owned(),
            _ => self.owner(),
        };
        handle.sign_in(way, &owner).await
    }

    async fn revoke(&self, way: &Way<'_>, handle: &Handle) -> Outcome {
        let Ok(id) = handle.id.parse::<SessionId>() else {
            return Outcome::Failed;
        };
        let destroy = way.worker.plain.destroy(&id);
        let found = |found: &bool| Answer::Ended { found: *found };
        let revoked = way.call(Some(handle.id.clone()), Act::Revoke, destroy, found);
        match revoked.await {
            // The handle does not know.
            Ok(_) => Outcome::Gone,
            Err(outcome) => outcome,
        }
    }

    async fn create(&mut self, slot: u64) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let session = worker.sessions(slot).start();
        if self.dice.one_in(6) {
            let idle = self
                .dice
                .duration(Duration::from_millis(300), Duration::from_millis(1500));
            let more = self.dice.duration(Duration::ZERO, Duration::from_secs(2));
            if session
                .set_lifetime(Lifetime::new(idle, idle + more))
                .is_err()
            {
                return Outcome::Failed;
            }
        }
        let owner = self.dice.one_in(2).then(|| self.owner());
        let note = worker.recorder.unique();
        if session.insert("note", note).is_err() {
            return Outcome::Failed;
        }
        let act = Act::Create {
            note,
            owner: owner.clone(),
            limits: limits(session.lifetime()),
        };
        let save = async {
            match owner {
                Some(owner) => session.sign_in(owner).await,
                None => session.save().await,
            }
        };
        let way = self.way(&worker);
        let saved = way.call(None, act, save, |()| stored(&session));
        match saved.await {
            Ok(()) => {
                let _ = worker.board.replace(slot, None, session.token().as_ref());
                Outcome::Done
            }
            Err(outcome) => outcome,
        }
    }

    async fn present_old_token(&mut self) -> Outcome {
        let Some((slot, token)) = self.old.pop_front() else {
            return Outcome::Done;
        };
        match self.open(slot, &token).await {
            Ok(_) => Outcome::Done,
            Err(outcome) => outcome,
        }
    }

    async fn log_out_everywhere(&mut self) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let owner = self.owner();
        let slot = self.dice.number(0..worker.settings.slots);
        let except = match self.dice.one_in(3) {
            true => worker.board.read(slot).map(|token| token.id()),
            false => None,
        };
        let act = Act::LogOutEverywhere {
            owner: owner.clone(),
            except: except.as_ref().map(|id| id.as_str().to_owned()),
        };
        let destroy = worker.plain.destroy_owned_by(owner, except.as_ref());
        let count = |count: &usize| Answer::EndedMany {
            count: *count as u64,
        };
        let ended = self.way(&worker).call(None, act, destroy, count).await;
        ended.map_or_else(|outcome| outcome, |_| Outcome::Done)
    }

    async fn owned_by(&mut self) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let owner = self.owner();
        let act = Act::OwnedBy {
            owner: owner.clone(),
        };
        let list = worker.plain.owned_by(owner);
        let listed = self
            .way(&worker)
            .call(None, act, list, |found| listing(found))
            .await;
        listed.map_or_else(|outcome| outcome, |_| Outcome::Done)
    }

    async fn list(&mut self) -> Outcome {
        let worker = Arc::clone(&self.worker);
        let list = async { worker.plain.list()?.try_collect::<Vec<_>>().await };
        let listed = self
            .way(&worker)
            .call(None, Act::List, list, |found| listing(found))
            .await;
        listed.map_or_else(|outcome| outcome, |_| Outcome::Done)
    }
}

fn listing(found: &[session_core::SessionInfo]) -> Answer {
    let ids = found.iter().map(|session| session.id.as_str().to_owned());
    Answer::Listed {
        sessions: ids.collect(),
    }
}
