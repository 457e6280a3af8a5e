//! The machine as a table, and what holds on every way through it.

use super::machine::Action::{self, *};
use super::machine::Effect::{self, *};
use super::machine::Event::{self, *};
use super::machine::Next::{self, *};
use super::machine::{Failure, Machine, Outcome, Purpose};

const PLAN: Action = Plan { round: 0 };
const SEND: Action = Send { round: 0 };
const PAUSE: Action = PauseBeforeRepeat { round: 0 };
const REPEAT: Action = Repeat { round: 0 };
const BACK_OFF: Action = BackOff { round: 0 };
const LOAD: Action = Load { round: 0 };
const PLAN_AGAIN: Action = Plan { round: 1 };
const BEGIN_EMPTY: Action = BeginAnew {
    round: 0,
    keeps_read: false,
};
const BEGIN_WITH_READ: Action = BeginAnew {
    round: 0,
    keeps_read: true,
};

const WRITTEN: Event = Written { round: 0 };
const BROKEN: Event = Failed(Failure::Unavailable);
const DOUBTFUL: Event = Failed(Failure::Doubtful);
const DEFINITE: Event = Failed(Failure::Definite);

const STORED: Next = End(Outcome::Written { round: 0 });
const NOTHING: Next = End(Outcome::NothingWritten);
const FAILED: Next = End(Outcome::Failed);
const GONE: Next = End(Outcome::Gone);
const UNKNOWN: Next = End(Outcome::Unknown);

type Row = (Action, Event, Effect, Next);

/// What a write does. Whatever is not in it ends as unknown, and an error with that error.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    // doing            what came of it      the write   what comes next
    (CheckPending,      NonePending,         None,       Do(PLAN)),
    (CheckPending,      PendingSave,         None,       Do(Resend)),
    (CheckPending,      PendingCreate,       None,       Do(LoadCreated)),

    (Resend,            WRITTEN,             None,       Do(PLAN)),
    (Resend,            Conflict,            None,       Do(LoadAfterResend)),
    (Resend,            Event::Unknown,      None,       Do(LoadAfterResend)),
    (Resend,            Gone,                None,       GONE),
    (LoadAfterResend,   WRITTEN,             None,       Do(PLAN)),
    (LoadAfterResend,   NoneWritten,         None,       Do(PLAN)),
    (LoadAfterResend,   Untraceable,         None,       UNKNOWN),
    (LoadAfterResend,   SignedInElsewhere,   None,       GONE),
    (LoadAfterResend,   NotFound,            None,       GONE),

    (LoadCreated,       WRITTEN,             None,       Do(PLAN)),
    (LoadCreated,       NotFound,            None,       Do(DestroyCreated)),
    (DestroyCreated,    Destroyed,           ForgetAll,  Do(PLAN)),

    (PLAN,              Planned,             None,       Do(SEND)),
    (PLAN,              NothingToWrite,      None,       NOTHING),
    (PLAN,              PlannedTouch,        None,       Do(Touch)),

    (SEND,              WRITTEN,             None,       STORED),
    (SEND,              IdTaken,             Refute,     Do(PLAN_AGAIN)),
    (SEND,              Conflict,            Refute,     Do(BACK_OFF)),
    (SEND,              Event::Unknown,      None,       Do(BACK_OFF)),
    (SEND,              Gone,                Refute,     GONE),
    (SEND,              BROKEN,              None,       Do(PAUSE)),
    (SEND,              DOUBTFUL,            None,       FAILED),
    (SEND,              DEFINITE,            Forget,     FAILED),
    (PAUSE,             Waited,              None,       Do(REPEAT)),
    // The first sending may have been done: no answer refutes it.
    (REPEAT,            WRITTEN,             None,       STORED),
    (REPEAT,            IdTaken,             None,       Do(BACK_OFF)),
    (REPEAT,            Conflict,            None,       Do(BACK_OFF)),
    (REPEAT,            Event::Unknown,      None,       Do(BACK_OFF)),
    (REPEAT,            Gone,                None,       GONE),
    (REPEAT,            BROKEN,              None,       FAILED),
    (REPEAT,            DOUBTFUL,            None,       FAILED),
    (REPEAT,            DEFINITE,            None,       FAILED),

    (BACK_OFF,          Waited,              None,       Do(LOAD)),
    (LOAD,              WRITTEN,             None,       STORED),
    (LOAD,              NoneWritten,         None,       Do(PLAN_AGAIN)),
    (LOAD,              Untraceable,         None,       UNKNOWN),
    (LOAD,              SignedInElsewhere,   None,       GONE),
    (LOAD,              NotFound,            None,       GONE),

    (Touch,             Touched,             None,       NOTHING),
    (Touch,             Gone,                None,       GONE),
    (BEGIN_EMPTY,       BegunAnew,           None,       Do(PLAN_AGAIN)),
    (BEGIN_WITH_READ,   BegunAnew,           None,       Do(PLAN_AGAIN)),
];

/// Where a sign-in does otherwise: it makes a session of its own.
#[rustfmt::skip]
const SIGN_IN: &[Row] = &[
    (SEND,              Gone,                Refute,     Do(BEGIN_EMPTY)),
    (REPEAT,            Gone,                None,       Do(BEGIN_EMPTY)),
    (LOAD,              NotFound,            None,       Do(BEGIN_EMPTY)),
    (LOAD,              SignedInElsewhere,   None,       Do(BEGIN_WITH_READ)),
];

/// Where a touch does otherwise: it leaves a confirmation to the next request.
#[rustfmt::skip]
const TOUCH: &[Row] = &[
    (SEND,              IdTaken,             Forget,     NOTHING),
    (SEND,              Conflict,            Forget,     NOTHING),
    (SEND,              Event::Unknown,      Forget,     NOTHING),
    (REPEAT,            IdTaken,             Forget,     NOTHING),
    (REPEAT,            Conflict,            Forget,     NOTHING),
    (REPEAT,            Event::Unknown,      Forget,     NOTHING),
];

const PURPOSES: [(Purpose, &[Row]); 3] = [
    (Purpose::Write, &[]),
    (Purpose::SignIn, SIGN_IN),
    (Purpose::Touch, TOUCH),
];

const ACTIONS: [Action; 14] = [
    CheckPending,
    Resend,
    LoadAfterResend,
    LoadCreated,
    DestroyCreated,
    PLAN,
    SEND,
    PAUSE,
    REPEAT,
    BACK_OFF,
    LOAD,
    BEGIN_EMPTY,
    BEGIN_WITH_READ,
    Touch,
];

const EVENTS: [Event; 22] = [
    NonePending,
    PendingCreate,
    PendingSave,
    Planned,
    NothingToWrite,
    PlannedTouch,
    WRITTEN,
    IdTaken,
    Conflict,
    Event::Unknown,
    Gone,
    NotFound,
    SignedInElsewhere,
    NoneWritten,
    Untraceable,
    Destroyed,
    BegunAnew,
    Touched,
    Waited,
    BROKEN,
    DOUBTFUL,
    DEFINITE,
];

/// What the tables say.
fn row(special: &[Row], action: Action, event: Event) -> (Effect, Next) {
    let rows = special.iter().chain(TABLE);
    let mut rows = rows.filter(|row| (row.0, row.1) == (action, event));
    match (rows.next(), event) {
        (Some((_, _, effect, next)), _) => (*effect, *next),
        (Option::None, Failed(_)) => (None, FAILED),
        (Option::None, _) => (None, UNKNOWN),
    }
}

fn machine(purpose: Purpose) -> Machine {
    Machine {
        purpose,
        attempts: 2,
    }
}

#[test]
fn each_action_is_followed_as_the_table_says() {
    for (purpose, special) in PURPOSES {
        for action in ACTIONS {
            for event in EVENTS {
                let followed = machine(purpose).next(action, event);
                let expected = row(special, action, event);
                assert_eq!(followed, expected, "{purpose:?}: {action:?}, {event:?}");
            }
        }
    }
}

#[test]
fn after_the_last_round_there_is_no_other() {
    for purpose in [Purpose::Write, Purpose::SignIn] {
        let machine = machine(purpose);
        for (action, event) in [
            (Send { round: 1 }, IdTaken),
            (Load { round: 1 }, NoneWritten),
            (
                BeginAnew {
                    round: 1,
                    keeps_read: false,
                },
                BegunAnew,
            ),
        ] {
            let (_, next) = machine.next(action, event);
            assert_eq!(next, End(Outcome::OutOfAttempts), "{action:?}");
        }
    }
}

#[test]
fn a_load_may_find_that_the_write_of_an_earlier_round_happened() {
    let (_, next) = machine(Purpose::Write).next(Load { round: 1 }, WRITTEN);
    assert_eq!(next, STORED);
}

/// Takes every way from `action` on, and gives how many actions the longest has. `is_in_doubt` says
/// whether a write may have happened for all that was learned on the way.
fn walk(machine: Machine, action: Action, is_in_doubt: bool, seen: &mut Vec<Action>) -> usize {
    if !seen.contains(&action) {
        seen.push(action);
    }
    if matches!(action, Plan { .. } | Send { .. }) {
        assert!(!is_in_doubt, "{action:?} while a write may have happened");
    }
    let after = |event| {
        let is_in_doubt = match (action, event) {
            (_, PendingSave | PendingCreate) => true,
            (Send { .. }, Event::Unknown | BROKEN) => true,
            // The new session knows nothing of what became of the old one.
            (_, Written { .. } | NoneWritten | Destroyed | BegunAnew) => false,
            _ => is_in_doubt,
        };
        match machine.next(action, event).1 {
            Do(next) => Some((next, is_in_doubt)),
            End(_) => Option::None,
        }
    };
    let ways: Vec<_> = EVENTS.into_iter().filter_map(after).collect();
    let longest = ways
        .into_iter()
        .map(|(next, is_in_doubt)| walk(machine, next, is_in_doubt, seen))
        .max();
    1 + longest.unwrap_or(0)
}

#[test]
fn every_way_ends_and_none_writes_while_an_earlier_write_may_have_happened() {
    let mut seen = Vec::new();
    for (purpose, longest) in [
        // What became of an earlier write. Then each round: plan, send, pause, repeat, back off,
        // load, begin anew.
        (Purpose::Write, 3 + 6 + 6),
        (Purpose::SignIn, 3 + 7 + 7),
        (Purpose::Touch, 3 + 4),
    ] {
        let actions = walk(machine(purpose), CheckPending, false, &mut seen);
        assert_eq!(actions, longest, "{purpose:?}");
    }
    for action in ACTIONS {
        assert!(seen.contains(&action), "nothing leads to {action:?}");
    }
}
