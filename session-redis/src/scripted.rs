//! The lane of a server without compare-and-set commands: each write is a script.

use std::time::Duration;

use redis::Pipeline;
use session_core::backend::{Create, Save, Touch};
use session_core::{Error, Owner, Result, Saved, SessionId, Ttl, Version};

use crate::RedisBackend;
use crate::answers::{refusal, send_each, unindexed};
use crate::command::{
    DestroyOutcome, add_draft, convert, corrupt, eval, last_two, parse_answer, saved, send,
    unexpected,
};
use crate::notices::Notices;
use crate::record::{StoredSession, millis, read_owner};
use crate::route::Route;
use crate::save_many::SaveGroup;
use crate::script::Code;

/// How often a touch is sent while other requests change the session's owner.
const TOUCH_ATTEMPTS: u32 = 4;

/// A session without its data, the size of the data in bytes, and the server's time in
/// milliseconds.
pub(crate) type Inspected = (StoredSession, usize, u64);

/// The operations in this lane.
#[derive(Clone, Copy)]
pub(crate) struct Scripted<'a> {
    backend: &'a RedisBackend,
    route: Route<'a>,
}

impl<'a> Scripted<'a> {
    pub(crate) fn new(backend: &'a RedisBackend, route: impl Into<Route<'a>>) -> Self {
        let route = route.into();
        Self { backend, route }
    }

    /// Creates a session, which may have been `sent_before`.
    pub(crate) async fn create(self, create: &Create, sent_before: bool) -> Result<Saved> {
        let Self {
            backend,
            route: Route { call, .. },
        } = self;
        let Create { id, draft, .. } = create;
        let mut command = eval(&backend.scripts.create, &[backend.keys.session(id)]);
        add_draft(&mut command, draft);
        let index = backend.index_entries(call, id, draft).await?;
        let sent = backend.send_indexed(call, index, command).await?;
        let (answer, refused) = sent.answer;
        let (code, _) = parse_answer(answer)?;
        if let (Code::Done, Some(error)) = (code, refused) {
            return Err(unindexed(call, error));
        }
        Ok(saved(code, draft)?.after(sent.is_repeated || sent_before))
    }

    /// Replaces sessions, which may have been `sent_before`.
    pub(crate) async fn save(
        self,
        saves: &[Save],
        sent_before: bool,
    ) -> Result<Vec<Result<Saved>>> {
        let Self { backend, route } = self;
        let mut commands = Pipeline::with_capacity(1);
        let groups = if backend.is_cluster {
            // Their indexes have the entries already.
            SaveGroup::each(saves)
        } else {
            // The index entries first: an index must never lack a session that exists.
            for index in backend.owner_index_entries(saves) {
                commands.add_command(index);
            }
            SaveGroup::split(saves)
        };
        for group in &groups {
            commands.add_command(group.command(&backend.scripts.save, saves, &backend.keys));
        }
        let sent = send_each(route, &commands).await?;
        let is_repeated = sent.is_repeated || sent_before;
        let mut answers = sent.answer.into_iter();
        let mut next = || answers.next().ok_or_else(unexpected);
        let mut refused: Vec<Option<Error>> = Vec::with_capacity(saves.len());
        for save in saves {
            let is_indexed = save.draft.owner.is_some() && !backend.is_cluster;
            refused.push(match is_indexed {
                true => refusal(route.call, &next()?),
                false => None,
            });
        }
        let mut outcomes: Vec<_> = saves.iter().map(|_| Err(unexpected())).collect();
        for group in &groups {
            let answer = next()?;
            let codes = refusal(route.call, &answer).map_or_else(|| group.outcomes(answer), Err);
            for (at, index) in group.indexes.iter().enumerate() {
                outcomes[*index] = match (&codes, refused[*index].take()) {
                    (Err(error), _) => Err(error.clone()),
                    (Ok(codes), Some(error)) if codes[at] == Code::Done => {
                        Err(unindexed(route.call, error))
                    }
                    (Ok(codes), _) => {
                        let saved = saved(codes[at], &saves[*index].draft);
                        saved.map(|saved| saved.after(is_repeated))
                    }
                };
            }
        }
        Ok(outcomes)
    }

    /// Moves a deadline. Two round trips if the session has an owner and its deadline moves: the
    /// first one returns the owner, whose index must have the later deadline before the session has
    /// it.
    pub(crate) async fn touch(self, touch: &Touch) -> Result<Option<Ttl>> {
        let Self { backend, route } = self;
        let key = backend.keys.session(&touch.id);
        let mut indexed: Option<(Owner, Ttl)> = None;
        for _ in 0..TOUCH_ATTEMPTS {
            let mut command = eval(&backend.scripts.touch, &[&key]);
            let (owner, index) = match &indexed {
                Some((owner, ttl)) => (
                    owner.as_str(),
                    vec![backend.index_entry(owner, &touch.id, *ttl)],
                ),
                None => ("", Vec::new()),
            };
            command.arg(millis(touch.idle)).arg(owner);
            let sent = backend.send_indexed(route.call, index, command).await?;
            let (answer, refused) = sent.answer;
            let (code, mut rest) = parse_answer(answer)?;
            if let Some(error) = refused {
                return Err(unindexed(route.call, error));
            }
            match code {
                Code::Done => return Ok(Some(ttl(convert(rest.pop())?))),
                Code::OtherOwner => {
                    let (left, owner): (i64, Vec<u8>) = last_two(rest)?;
                    // Another owner than in the last attempt, or none.
                    indexed = read_owner(&owner)?.map(|owner| (owner, ttl(left)));
                }
                Code::Corrupt => return Err(corrupt()),
                _ => return Ok(None),
            }
        }
        Err(Error::contention(TOUCH_ATTEMPTS))
    }

    /// Ends up to `limit` of the sessions `ids`, which are on one node; with `owner` or `expected`,
    /// those of this owner or version. Returns the outcomes of the first of `ids` or of all, and
    /// whether they may have been ended before.
    pub(crate) async fn destroy(
        self,
        ids: &[SessionId],
        owner: Option<&Owner>,
        expected: Option<&Version>,
        limit: usize,
    ) -> Result<(Vec<DestroyOutcome>, bool)> {
        let Self { backend, route } = self;
        let keys: Vec<String> = ids.iter().map(|id| backend.keys.session(id)).collect();
        let mut command = eval(&backend.scripts.destroy, &keys);
        let stamp = expected.map(Version::stamp);
        let stamp = stamp.as_ref().map_or(&[][..], |stamp| stamp.as_bytes());
        let owner = owner.map_or("", Owner::as_str);
        let channel = backend.notices.as_ref().map_or("", Notices::channel);
        command.arg(owner).arg(stamp).arg(limit).arg(channel);
        command.arg(backend.keys.id_position());
        let sent = send(route, &command).await?;
        let outcomes = DestroyOutcome::read_all(sent.answer, ids)?;
        Ok((outcomes, sent.is_repeated))
    }

    /// Reads a session without its data.
    pub(crate) async fn inspect(self, id: &SessionId) -> Result<Option<Inspected>> {
        let Self { backend, route } = self;
        let command = eval(&backend.scripts.inspect, &[backend.keys.session(id)]);
        let sent = send(route, &command).await?;
        let (code, rest) = parse_answer(sent.answer)?;
        match code {
            Code::Done => {}
            Code::Corrupt => return Err(corrupt()),
            _ => return Ok(None),
        }
        let mut rest = rest.into_iter();
        let head: Vec<u8> = convert(rest.next())?;
        let (whole, now): (usize, u64) = last_two(rest.collect())?;
        let size = whole.saturating_sub(head.len());
        Ok(Some((StoredSession::decode(head.into())?, size, now)))
    }
}

/// Converts the remaining milliseconds in a script's answer; a negative number means never.
fn ttl(left: i64) -> Ttl {
    u64::try_from(left).map_or(Ttl::Never, |left| Ttl::Left(Duration::from_millis(left)))
}
