use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use session_core::backend::{
    Backend, BatchLimits, Call, Create, Destroy, Failure, Policy, Save, Store, Touch,
};
use session_core::*;

/// The store: batches, limits, repeats, spans and counters are there already.
pub type ToyStore = Store<Toy>;

#[derive(Debug)]
pub struct Toy;

/// The "client" of a "server": a map behind a lock, a round trip away.
#[derive(Clone)]
pub struct Server {
    pub rows: Arc<Mutex<Rows>>,
    pub round_trip: Duration,
}

pub type Rows = BTreeMap<SessionId, Row>;
type Answers<T> = Result<Vec<Result<T>>>;

pub struct Row {
    draft: Draft,
    began: Instant,
    deadline: Option<Instant>,
}

/// One command: a round trip, and `run` at the server, by its clock.
async fn send<T>(call: &Call<Server>, run: impl Fn(&mut Rows, Instant) -> Result<T>) -> Result<T> {
    let run = &run;
    let sent = call.send(|attempt| async move {
        let Server { rows, round_trip } = attempt.client;
        tokio::time::sleep(round_trip).await;
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        // Here a driver's errors are told apart: which pass, and which need another client.
        run(&mut rows, Instant::now()).map_err(Failure::from)
    });
    Ok(sent.await?.answer)
}

/// One command that answers for each of `items`.
async fn send_all<I, T>(
    call: &Call<Server>,
    items: &[I],
    run: impl Fn(&mut Rows, &I, Instant) -> T,
) -> Answers<T> {
    let each = |rows: &mut Rows, now| Ok(items.iter().map(|i| Ok(run(rows, i, now))).collect());
    send(call, each).await
}

impl Backend for Toy {
    type Client = Server;
    const NAME: &'static str = "toy";
    const HAS_DIRECTORY: bool = true;

    /// Up to 4 operations of a kind are sent one by one; of more, one batch is in flight.
    fn policy(&self) -> Policy {
        Policy::default().with_batches(BatchLimits::new(4, 1))
    }

    fn capabilities(&self) -> Capabilities {
        let reports = Capabilities::new().with_expiry_reports(true);
        reports.with_descriptions(true)
    }

    async fn create(&self, call: &Call<Server>, creates: &[Create]) -> Answers<Saved> {
        let create = |rows: &mut Rows, create: &Create, now| {
            if let Some(row) = live(rows, &create.id, now) {
                return Saved::by_stamp(Some(row.draft.stamp), &create.draft);
            }
            let row = Row::new(&create.draft, now, now);
            rows.insert(create.id.clone(), row);
            Saved::done(&create.draft)
        };
        send_all(call, creates, create).await
    }

    async fn load(&self, call: &Call<Server>, ids: &[SessionId]) -> Answers<Option<Record>> {
        let load = |rows: &mut Rows, id: &SessionId, now| Some(live(rows, id, now)?.record(now));
        send_all(call, ids, load).await
    }

    async fn save(&self, call: &Call<Server>, saves: &[Save]) -> Answers<Saved> {
        let save = |rows: &mut Rows, save: &Save, now| match live(rows, &save.id, now) {
            Some(row) if row.draft.stamp == save.expected.stamp() => {
                *row = Row::new(&save.draft, row.began, now);
                Saved::done(&save.draft)
            }
            row => Saved::by_stamp(row.map(|row| row.draft.stamp), &save.draft),
        };
        send_all(call, saves, save).await
    }

    async fn touch(&self, call: &Call<Server>, touches: &[Touch]) -> Answers<Option<Ttl>> {
        let touch = |rows: &mut Rows, touch: &Touch, now| {
            Some(live(rows, &touch.id, now)?.touch(touch.idle, now))
        };
        send_all(call, touches, touch).await
    }

    async fn destroy(&self, call: &Call<Server>, destroys: &[Destroy]) -> Answers<Option<Ended>> {
        let destroy = |rows: &mut Rows, destroy: &Destroy, now| {
            let row = live(rows, &destroy.id, now)?;
            let expected = destroy.expected.as_ref().map(Version::stamp);
            let is_meant = expected.is_none_or(|stamp| stamp == row.draft.stamp);
            let (id, row) = is_meant.then(|| rows.remove_entry(&destroy.id))??;
            Some(row.ended(id, now))
        };
        send_all(call, destroys, destroy).await
    }

    async fn count(&self, call: &Call<Server>) -> Result<u64> {
        let live = |rows: &mut Rows, now| rows.values().filter(|row| row.is_live(now)).count();
        send(call, |rows, now| Ok(live(rows, now) as u64)).await
    }

    async fn list(
        &self,
        call: &Call<Server>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        send(call, |rows, now| page(rows, cursor, limit, now, |_| true)).await
    }

    async fn owned_by(
        &self,
        call: &Call<Server>,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let is_theirs = |row: &Row| row.draft.owner.as_ref() == Some(owner);
        send(call, |rows, now| page(rows, cursor, limit, now, is_theirs)).await
    }

    async fn destroy_owned_by(
        &self,
        call: &Call<Server>,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        send(call, |rows, now| {
            Ok(remove(rows, limit.max(1), now, |id, row| {
                let is_theirs = row.draft.owner.as_ref() == Some(owner);
                row.is_live(now) && is_theirs && Some(id) != except
            }))
        })
        .await
    }

    async fn clear(&self, call: &Call<Server>) -> Result<u64> {
        send(call, |rows, now| {
            let live = remove(rows, usize::MAX, now, |_, row| row.is_live(now));
            rows.clear();
            Ok(live.len() as u64)
        })
        .await
    }

    async fn reap(&self, call: &Call<Server>, limit: usize) -> Result<Vec<Ended>> {
        send(call, |rows, now| {
            Ok(remove(rows, limit, now, |_, row| !row.is_live(now)))
        })
        .await
    }
}

impl Row {
    /// What `draft` makes now of a session that began then.
    fn new(draft: &Draft, began: Instant, now: Instant) -> Self {
        let is_restarted = draft.anchor == Anchor::Restart;
        let mut row = Self {
            draft: draft.clone(),
            began: if is_restarted { now } else { began },
            deadline: Some(now),
        };
        row.touch(draft.lifetime.idle, now);
        row
    }

    /// The idle limit counts from now, and never makes the deadline earlier.
    fn touch(&mut self, idle: Timeout, now: Instant) -> Ttl {
        let limits = [(idle, now), (self.draft.lifetime.absolute, self.began)];
        let ends = limits.map(|(limit, from)| from.checked_add(limit.duration()?));
        let end = ends.into_iter().flatten().min();
        self.deadline = self.deadline.zip(end).map(|(old, new)| old.max(new));
        self.ttl(now)
    }

    fn is_live(&self, now: Instant) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    fn ttl(&self, now: Instant) -> Ttl {
        let left = |deadline: Instant| Ttl::Left(deadline.saturating_duration_since(now));
        self.deadline.map_or(Ttl::Never, left)
    }

    fn record(&self, now: Instant) -> Record {
        Record::of(&self.draft, self.ttl(now), now - self.began)
    }

    fn ended(self, id: SessionId, now: Instant) -> Ended {
        Ended::new(id, self.draft.owner, now - self.began)
    }
}

fn live<'r>(rows: &'r mut Rows, id: &SessionId, now: Instant) -> Option<&'r mut Row> {
    rows.get_mut(id).filter(|row| row.is_live(now))
}

fn remove(
    rows: &mut Rows,
    limit: usize,
    now: Instant,
    is_meant: impl Fn(&SessionId, &Row) -> bool,
) -> Vec<Ended> {
    let removed = rows.extract_if(.., |id, row| is_meant(id, row)).take(limit);
    removed.map(|(id, row)| row.ended(id, now)).collect()
}

/// About `limit` of the live sessions that are `listed`, in the order of their ids.
fn page(
    rows: &Rows,
    cursor: Option<&Cursor>,
    limit: usize,
    now: Instant,
    listed: impl Fn(&Row) -> bool,
) -> Result<Page> {
    let start = cursor.map_or(Ok(Bound::Unbounded), |cursor| {
        let id = cursor.as_str().strip_prefix("after:");
        let id = id.and_then(|id| SessionId::from_stored(id).ok());
        let wrong = || Error::misconfigured("this cursor is not one of this store's");
        id.map(Bound::Excluded).ok_or_else(wrong)
    })?;
    let rows = rows.range((start, Bound::Unbounded));
    let mut rows = rows.filter(|(_, row)| row.is_live(now) && listed(row));
    let info = |(id, row): (&SessionId, &Row)| SessionInfo::of(id.clone(), &row.record(now));
    let sessions: Vec<_> = rows.by_ref().take(limit.max(1)).map(info).collect();
    let more = rows.next().and(sessions.last());
    let next = more.map(|last| Cursor::new(format!("after:{}", last.id.as_str())));
    Ok(Page::new(sessions, next))
}
