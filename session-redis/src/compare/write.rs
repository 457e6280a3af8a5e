//! Creates and saves.

use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Create, Save};
use session_core::{Anchor, Draft, Lifetime, Result, Saved, SessionId, Version};

use super::change::{Change, Found, Held, Next, Write};
use super::deadline::{Deadline, Expiry};
use super::{Compare, Compared};
use crate::clock::Reading;
use crate::command::corrupt;
use crate::expiry::ExpiryIndex;
use crate::record::began;
use crate::record::{Head, Tail};

struct Creation<'a> {
    create: &'a Create,
    /// `None` if expiries are not reported.
    expiry: Option<&'a ExpiryIndex>,
    time_limit: Duration,
}

struct Replacement<'a> {
    save: &'a Save,
    time_limit: Duration,
}

impl Compare<'_> {
    /// Creates sessions. One round trip; two more where the id is taken.
    pub(crate) async fn create(self, creates: &[Create]) -> Result<Compared<Vec<Result<Saved>>>> {
        let time_limit = self.route.call.timeout();
        let expiry = self.backend.expiry.as_deref();
        let creation = |create| Creation {
            create,
            expiry,
            time_limit,
        };
        let creations: Vec<_> = creates.iter().map(creation).collect();
        Ok(after(self.run(&creations).await?))
    }

    /// Replaces sessions. One round trip; one before it for a version of which only the stamp is
    /// known; two more for a session that was only touched since.
    pub(crate) async fn save(self, saves: &[Save]) -> Result<Compared<Vec<Result<Saved>>>> {
        let time_limit = self.route.call.timeout();
        let replacement = |save| Replacement { save, time_limit };
        let replacements: Vec<_> = saves.iter().map(replacement).collect();
        Ok(after(self.run(&replacements).await?))
    }
}

impl Change for Creation<'_> {
    type Outcome = Saved;

    fn id(&self) -> &SessionId {
        &self.create.id
    }

    fn limit(&self) -> Option<Duration> {
        self.create.draft.left_at_create().duration()
    }

    fn presumed(&self) -> Option<Found> {
        Some(Found::Nothing)
    }

    fn next(&self, held: &Held<'_>, now: Reading) -> Next<Saved> {
        let Create { id, draft, .. } = self.create;
        let old = match held {
            Held::Nothing => None,
            Held::Ended(value) => Some((*value).clone()),
            Held::Live(head, value) if head.stamp == draft.stamp => {
                return Next::Settled(Ok(done(draft, value)));
            }
            Held::Live(..) | Held::Broken(_) | Held::OtherType => {
                return Next::Settled(Ok(Saved::Conflict));
            }
        };
        let entry = self
            .expiry
            .map(|expiry| expiry.entry(id, draft, now.earliest()));
        let entry = entry.into_iter().flatten().collect();
        let born = began(draft, now.earliest());
        let lifetime = Lifetime::new(draft.left_at_create(), draft.lifetime.absolute);
        let deadline = Deadline::of(lifetime, born, now, self.time_limit);
        let (write, outcome) = write(draft, old, born, deadline);
        Next::Write(Write { entry, ..write }, outcome)
    }
}

impl Change for Replacement<'_> {
    type Outcome = Saved;

    fn id(&self) -> &SessionId {
        &self.save.id
    }

    fn limit(&self) -> Option<Duration> {
        shortest_limit(&self.save.draft)
    }

    fn presumed(&self) -> Option<Found> {
        stored(&self.save.expected).map(Found::Value)
    }

    fn next(&self, held: &Held<'_>, now: Reading) -> Next<Saved> {
        let Save {
            draft, expected, ..
        } = self.save;
        let (head, value) = match held {
            Held::Nothing | Held::Ended(_) => return Next::Settled(Ok(Saved::Gone)),
            Held::Broken(_) | Held::OtherType => return Next::Settled(Err(corrupt())),
            Held::Live(head, value) => (head, *value),
        };
        if head.stamp == draft.stamp {
            return Next::Settled(Ok(done(draft, value)));
        }
        if head.stamp != expected.stamp() {
            return Next::Settled(Ok(Saved::Conflict));
        }
        let born = match draft.anchor {
            Anchor::Keep => head.born,
            Anchor::Restart => now.earliest(),
        };
        let deadline = Deadline::of(draft.lifetime, born, now, self.time_limit);
        let (write, outcome) = write(draft, Some(value.clone()), born, deadline);
        Next::Write(write, outcome)
    }
}

/// The write that puts `draft` in the place of `old`, and its outcome.
fn write(
    draft: &Draft,
    old: Option<Bytes>,
    born: u64,
    Deadline { at, expiry }: Deadline,
) -> (Write, Saved) {
    let new = Tail::value(draft, born, at);
    let outcome = done(draft, &new);
    let owner = draft.owner.clone().filter(|_| expiry != Expiry::Passed);
    let write = Write {
        old,
        new,
        expiry,
        indexed: owner.map(|owner| (owner, at)),
        entry: Vec::new(),
    };
    (write, outcome)
}

/// The stored bytes of a version, if it has them.
pub(super) fn stored(version: &Version) -> Option<Bytes> {
    let value = version.stored();
    let head = Head::read(value)?;
    (head.stamp == version.stamp()).then(|| value.clone())
}

fn done(draft: &Draft, value: &Bytes) -> Saved {
    Saved::Done(Version::new(draft.stamp).with_stored(value.clone()))
}

fn shortest_limit(draft: &Draft) -> Option<Duration> {
    draft.lifetime.idle.min(draft.lifetime.absolute).duration()
}

fn after(mut compared: Compared<Vec<Result<Saved>>>) -> Compared<Vec<Result<Saved>>> {
    let is_repeated = compared.is_repeated;
    for saved in compared.answer.iter_mut().flatten() {
        *saved = std::mem::replace(saved, Ok(Saved::Gone)).map(|saved| saved.after(is_repeated));
    }
    compared
}
