//! What a write does next: a pure function of what it is doing and what came of that.
//!
//! No I/O, no lock, no clock and no randomness: [`Writer`](super::writer::Writer) performs the
//! actions. The module's tests are the whole table; `docs/architecture.md` draws it.

use crate::{Error, ErrorKind};

/// One thing that a write does. It is the state of the machine: it ends in one [`Event`].
///
/// A `round` counts the plans of one call, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Looks for writes of earlier calls that were never answered.
    CheckPending,
    /// Sends the save of an earlier call again, as it was.
    Resend,
    /// Loads the session, to learn why that was refused.
    LoadAfterResend,
    /// Loads the session that the create of an earlier call may have made.
    LoadCreated,
    /// Destroys the id of that create, which may still be on its way.
    DestroyCreated,
    /// Plans a write on what is known to be stored.
    Plan { round: u32 },
    /// Sends it.
    Send { round: u32 },
    /// Waits a moment after the connection broke.
    PauseBeforeRepeat { round: u32 },
    /// Sends it once more, as it was.
    Repeat { round: u32 },
    /// Waits, because others are faster.
    BackOff { round: u32 },
    /// Loads the session, to replay the changes on what others have written.
    Load { round: u32 },
    /// Makes a new session of the handle's: of what was changed, and of what was read if it
    /// `keeps_read`.
    BeginAnew { round: u32, keeps_read: bool },
    /// Extends the session, without a write.
    Touch,
}

/// What came of an action. Whatever it says of the session is noted in the handle already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// No write is without an answer.
    NonePending,
    /// The latest write without an answer is a create.
    PendingCreate,
    /// The latest write without an answer is a save.
    PendingSave,
    /// There is a write to send.
    Planned,
    NothingToWrite,
    /// There is nothing to write, and the session is to be extended.
    PlannedTouch,
    /// The write of this round is stored: by the store's answer, or by what a load has found.
    Written {
        round: u32,
    },
    /// The create was refused: the id is taken.
    IdTaken,
    /// The save was refused: another version is stored.
    Conflict,
    /// The store has sent it twice by itself, and the first sending may have been done.
    Unknown,
    /// There is no such session, by the answer to a write or a touch.
    Gone,
    /// There is no such session, by a load.
    NotFound,
    /// A load has found another sign-in, and shown nothing of it to the handle.
    SignedInElsewhere,
    /// A load has found that none of the pending writes happened, or can happen beside another.
    NoneWritten,
    /// A load has found no trace by which to tell.
    Untraceable,
    Destroyed,
    BegunAnew,
    Touched,
    Waited,
    Failed(Failure),
}

/// What an error says of the write that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection broke: it may have happened, and may work on another connection.
    Unavailable,
    /// It may have happened.
    Doubtful,
    /// It did not happen.
    Definite,
}

/// What an event says of the write that was sent, for those that come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing new.
    None,
    /// It did not happen.
    Refute,
    /// It does not matter any more what became of it.
    Forget,
    /// The same of all that are pending.
    ForgetAll,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The write of this round is stored.
    Written { round: u32 },
    /// There was nothing to write, or what was to be written can be left to a later request.
    NothingWritten,
    /// With the error of the last action.
    Failed,
    /// The session has ended, or is another's.
    Gone,
    /// Others were faster in every round.
    OutOfAttempts,
    /// An earlier write may have happened.
    Unknown,
}

/// The next action, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Do(Action),
    End(Outcome),
}

/// What a call is for, as far as that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It needs the session that it was opened with.
    Write,
    /// It makes a new session if that one has ended or is another's.
    SignIn,
    /// Its write is left to the next request if another write comes first.
    Touch,
}

/// The machine: what does not change during a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub(super) purpose: Purpose,
    /// The most rounds, at least 1.
    pub(super) attempts: u32,
}

use Action::{
    BackOff, BeginAnew, CheckPending, DestroyCreated, Load, LoadAfterResend, LoadCreated,
    PauseBeforeRepeat, Plan, Repeat, Resend, Send, Touch,
};
use Next::{Do, End};

impl Machine {
    /// What to do once `event` has come of `action`, and what that says of the write that was sent.
    pub(super) fn next(self, action: Action, event: Event) -> (Effect, Next) {
        let next = match action {
            CheckPending | Resend | LoadAfterResend | LoadCreated | DestroyCreated => {
                Self::after_earlier_call(action, event)
            }
            _ => self.after(action, event),
        };
        (self.effect(action, event), next)
    }

    /// Writes of earlier calls come first: another one may depend on what became of them.
    fn after_earlier_call(action: Action, event: Event) -> Next {
        match (action, event) {
            (_, Event::Failed(_)) => End(Outcome::Failed),
            (CheckPending, Event::PendingSave) => Do(Resend),
            (CheckPending, Event::PendingCreate) => Do(LoadCreated),
            (CheckPending, Event::NonePending) => Do(Plan { round: 0 }),
            // Sent again as it was, it happens now, or has happened, or can't any more.
            (Resend, Event::Conflict | Event::Unknown) => Do(LoadAfterResend),
            (LoadAfterResend, Event::Untraceable) => End(Outcome::Unknown),
            (Resend, Event::Gone)
            | (LoadAfterResend, Event::NotFound | Event::SignedInElsewhere) => End(Outcome::Gone),
            // A create is not sent again: a caller that ended all sessions of its owner meanwhile
            // has ended this one too.
            (LoadCreated, Event::NotFound) => Do(DestroyCreated),
            (Resend | LoadAfterResend | LoadCreated, Event::Written { .. })
            | (LoadAfterResend, Event::NoneWritten)
            | (DestroyCreated, Event::Destroyed) => Do(Plan { round: 0 }),
            _ => Self::IMPOSSIBLE,
        }
    }

    fn after(self, action: Action, event: Event) -> Next {
        match (action, event) {
            // Another connection is worth one more try; the stamp makes it harmless.
            (Send { round }, Event::Failed(Failure::Unavailable)) => {
                Do(PauseBeforeRepeat { round })
            }
            (PauseBeforeRepeat { round }, Event::Waited) => Do(Repeat { round }),
            (_, Event::Failed(_)) => End(Outcome::Failed),

            (Plan { round }, Event::Planned) => Do(Send { round }),
            (Plan { .. }, Event::PlannedTouch) => Do(Touch),
            (Plan { .. }, Event::NothingToWrite) | (Touch, Event::Touched) => {
                End(Outcome::NothingWritten)
            }
            (Send { .. } | Repeat { .. } | Load { .. }, Event::Written { round }) => {
                End(Outcome::Written { round })
            }

            (Send { .. } | Repeat { .. }, Event::IdTaken | Event::Conflict | Event::Unknown)
                if self.purpose == Purpose::Touch =>
            {
                End(Outcome::NothingWritten)
            }
            // Another id is tried, unless an earlier sending of our own may have taken it.
            (Send { round }, Event::IdTaken) => self.plan_after(round),
            (
                Send { round } | Repeat { round },
                Event::IdTaken | Event::Conflict | Event::Unknown,
            ) => Do(BackOff { round }),
            (BackOff { round }, Event::Waited) => Do(Load { round }),
            (Load { round }, Event::NoneWritten) | (BeginAnew { round, .. }, Event::BegunAnew) => {
                self.plan_after(round)
            }
            (Load { .. }, Event::Untraceable) => End(Outcome::Unknown),

            (Send { round } | Repeat { round }, Event::Gone)
            | (Load { round }, Event::NotFound) => self.leave(round, false),
            (Load { round }, Event::SignedInElsewhere) => self.leave(round, true),
            (Touch, Event::Gone) => End(Outcome::Gone),
            _ => Self::IMPOSSIBLE,
        }
    }

    /// The session is not the handle's any more. Only a sign-in makes one of its own.
    const fn leave(self, round: u32, keeps_read: bool) -> Next {
        match self.purpose {
            Purpose::SignIn => Do(BeginAnew { round, keeps_read }),
            Purpose::Write | Purpose::Touch => End(Outcome::Gone),
        }
    }

    const fn plan_after(self, round: u32) -> Next {
        let round = round + 1;
        if round < self.attempts {
            Do(Plan { round })
        } else {
            End(Outcome::OutOfAttempts)
        }
    }

    fn effect(self, action: Action, event: Event) -> Effect {
        match (action, event) {
            (Send { .. } | Repeat { .. }, Event::Conflict | Event::IdTaken | Event::Unknown)
                if self.purpose == Purpose::Touch =>
            {
                Effect::Forget
            }
            // The answer to a repeat says nothing of the first sending.
            (Send { .. }, Event::Failed(Failure::Definite)) => Effect::Forget,
            (Send { .. }, Event::Conflict | Event::IdTaken | Event::Gone) => Effect::Refute,
            (DestroyCreated, Event::Destroyed) => Effect::ForgetAll,
            _ => Effect::None,
        }
    }

    /// No action ends in such an event. If one did, nothing would be known of the write.
    const IMPOSSIBLE: Next = End(Outcome::Unknown);
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        match error.kind() {
            _ if !error.is_doubtful() => Self::Definite,
            ErrorKind::Unavailable => Self::Unavailable,
            _ => Self::Doubtful,
        }
    }
}
