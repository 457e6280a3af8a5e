//! When a session may have expired, and when it must have, by the times of its calls.

use std::time::Duration;

use super::partition::{LINGER, Partition};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, History};

/// Stores count milliseconds.
const TICK: Duration = Duration::from_millis(2);

/// The uses of a session: each is a write that moves its deadline.
#[derive(Debug)]
pub(super) struct Lifespan {
    uses: Vec<Use>,
    idle: Duration,
    absolute: Duration,
    /// By how much the clock of the servers may have been moved.
    slack: Duration,
}

#[derive(Debug)]
struct Use {
    call: usize,
    from: Micros,
    /// The latest time at which it may have happened.
    to: Micros,
    is_definite: bool,
    /// Whether the absolute limit counts from it.
    is_anchor: bool,
}

impl Lifespan {
    pub(super) fn of(partition: &Partition, history: &History) -> Self {
        let (from, to) = partition.began;
        let mut uses = vec![Use {
            call: usize::MAX,
            from,
            to,
            is_definite: true,
            is_anchor: true,
        }];
        for index in &partition.calls {
            uses.extend(a_use(*index, &history.calls[*index], history));
        }
        let during = history
            .faults
            .iter()
            .filter(|fault| fault.began <= partition.last && fault.ended >= partition.began.0);
        let moved = during.map(|fault| fault.moves_clock);
        Self {
            uses,
            idle: partition.limits.idle(),
            absolute: partition.limits.absolute(),
            slack: TICK + Duration::from_micros(moved.sum()),
        }
    }

    /// The earliest instant at which the session may have expired, whatever happened.
    pub(super) fn earliest_end(&self) -> Micros {
        let began = self.uses.first().map_or(Micros(0), |first| first.from);
        before(began.plus(self.idle.min(self.absolute)), self.slack)
    }

    /// Whether the session may have expired by `to`, for a call that began at `from`.
    pub(super) fn may_have_ended(&self, from: Micros, to: Micros) -> bool {
        let definite = || {
            self.uses
                .iter()
                .filter(|used| used.is_definite && used.to <= from)
        };
        let last_use = definite().map(|used| used.from).max();
        let last_anchor = definite()
            .filter(|used| used.is_anchor)
            .map(|used| used.from)
            .max();
        let is_over = |since: Option<Micros>, limit: Duration| {
            since.is_none_or(|since| to >= before(since.plus(limit), self.slack))
        };
        is_over(last_use, self.idle) || is_over(last_anchor, self.absolute)
    }

    /// By how much a call that found the session alive was sent after its end, if it was.
    pub(super) fn too_late(&self, call: usize, from: Micros, to: Micros) -> Option<Duration> {
        let possible = || {
            self.uses
                .iter()
                .filter(|used| used.call != call && used.from < to)
        };
        let last_use = possible().map(|used| used.to).max()?;
        let anchors = possible().filter(|used| used.is_anchor);
        let last_anchor = anchors.map(|used| used.to).max()?;
        let end = last_use
            .plus(self.idle)
            .min(last_anchor.plus(self.absolute));
        let end = end.plus(self.slack);
        (from > end).then(|| from.since(end))
    }
}

fn before(instant: Micros, duration: Duration) -> Micros {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Micros(instant.0.saturating_sub(micros))
}

fn a_use(index: usize, call: &Call, history: &History) -> Option<Use> {
    let is_anchor = match call.act {
        Act::SignIn { .. } => true,
        Act::Increment { .. }
        | Act::Insert { .. }
        | Act::Flash { .. }
        | Act::TakeFlashes { .. }
        | Act::CycleId { .. }
        | Act::Touch { .. } => false,
        _ => return None,
    };
    if call
        .answer
        .as_ref()
        .is_some_and(|(_, answer)| answer.is_gone())
    {
        return None;
    }
    let is_own = match call.success() {
        Some((_, Answer::Stored { session, .. })) => call.session.as_ref() == Some(session),
        Some(_) => true,
        None => false,
    };
    // Another use of the same process may have been the one that was sent.
    let is_touch = matches!(call.act, Act::Touch { .. });
    let to = match call.success() {
        Some((at, _)) if is_own => at,
        Some(_) => return None,
        None => lingering(call, history),
    };
    Some(Use {
        call: index,
        from: call.at,
        to,
        is_definite: is_own && !is_touch,
        is_anchor,
    })
}

/// The latest time at which a write without an answer, or of a caller that went away, may have
/// happened.
pub(super) fn lingering(call: &Call, history: &History) -> Micros {
    let given_up = call.ended().unwrap_or(call.at).plus(LINGER);
    let is_disturbed = history
        .faults
        .iter()
        .any(|fault| fault.began <= given_up && fault.ended >= call.at);
    match is_disturbed {
        true => Micros(u64::MAX),
        false => given_up,
    }
}
