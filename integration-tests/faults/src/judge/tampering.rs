//! The judge finds nothing in a good history, and each kind of tampering with it.

use std::sync::LazyLock;
use std::time::Duration;

use super::partition::partitions;
use super::{Rule, judge};
use crate::clock::Micros;
use crate::history::{Act, Answer, Call, History, Line, Log, RunLine, Told, ToldLine};
use crate::worker::{GRACE, Settings, work};

/// A history of the memory store, recorded once.
static GOOD: LazyLock<History> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    let history = directory.path().join("history");
    let log = Log::open(&history).expect("a history");
    log.write(&Line::Run(RunLine {
        at: Micros::now(),
        topology: "memory".to_owned(),
        description: String::new(),
        seed: 1,
        grace: u64::try_from(GRACE.as_micros()).expect("short"),
        patient: false,
    }));
    let settings = Settings {
        url: "memory:?expiry_grace=1m".to_owned(),
        seed: 1,
        process: 0,
        history: history.clone(),
        board: directory.path().join("board"),
        slots: 20,
        callers: 8,
        until: Micros::now().plus(Duration::from_millis(1_200)),
        idle: Duration::from_secs(2),
        drain: Duration::from_secs(20),
        patient: false,
        limit: Duration::from_secs(2),
        drops: 0,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(work(settings)).expect("the worker works");
    History::read(&history).expect("a whole history")
});

#[test]
fn a_good_history_is_found_good() {
    let report = judge(&GOOD);
    assert!(report.operations > 1_000, "{report}");
    assert_eq!(
        (report.violations.len(), report.undecided.len()),
        (0, 0),
        "{report}"
    );
}

/// Tampers with a history; `None` if it finds no place for that.
type Tamper = fn(&mut History) -> Option<()>;

#[test]
fn each_kind_of_tampering_is_found() {
    let all: [(&str, Tamper, &[Rule]); 21] = [
        (
            "an old counter is put back",
            old_counter,
            &[Rule::IncrementLost, Rule::NoOrder],
        ),
        ("an old value is put back", old_note, &[Rule::NoOrder]),
        ("a session is deleted", deleted, &[Rule::NoOrder]),
        (
            "a signed-out session comes back",
            revived,
            &[Rule::CameBack],
        ),
        (
            "the values of two sessions are swapped",
            swapped,
            &[Rule::NoOrder, Rule::WrongOwner],
        ),
        (
            "an increment is applied twice",
            doubled,
            &[Rule::AppliedTwice, Rule::NoOrder],
        ),
        (
            "two increments give the same value",
            lost_update,
            &[Rule::NoOrder],
        ),
        ("the owner changes", owner_changed, &[Rule::WrongOwner]),
        ("an end is not told", untold, &[Rule::Untold]),
        ("an end is told twice", told_twice, &[Rule::ToldTwice]),
        (
            "a session is seen after its deadline",
            after_deadline,
            &[Rule::AfterDeadline],
        ),
        (
            "a message is shown twice",
            message_twice,
            &[Rule::MessageTwice],
        ),
        (
            "an update gives the answer of another session",
            another_answer,
            &[Rule::NoOrder],
        ),
        (
            "an acknowledged sign-in is undone",
            sign_in_undone,
            &[Rule::OldToken],
        ),
        (
            "log out everywhere leaves one",
            left_over,
            &[Rule::CameBack, Rule::NoOrder],
        ),
        (
            "a session is ended that no call named",
            wrongly_ended,
            &[Rule::WronglyEnded],
        ),
        (
            "a session expires before its time",
            expired_early,
            &[Rule::WronglyEnded, Rule::NoOrder],
        ),
        (
            "a destroy says that a live session was none",
            not_found,
            &[Rule::NoOrder],
        ),
        (
            "a listing misses a session",
            listing_misses,
            &[Rule::NoOrder],
        ),
        (
            "an error has a kind that no fault explains",
            corrupt,
            &[Rule::Unexplained],
        ),
        ("a call takes too long", too_long, &[Rule::Overlong]),
    ];
    let mut missed = Vec::new();
    for (what, tamper, expected) in all {
        let mut history = GOOD.clone();
        if tamper(&mut history).is_none() {
            missed.push(format!("no place for: {what}"));
            continue;
        }
        history.calls.sort_by_key(|call| call.at);
        let report = judge(&history);
        if !report
            .violations
            .iter()
            .any(|found| expected.contains(&found.rule))
        {
            missed.push(format!("not found: {what}\n{report}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The open of a session that was sent after a call of it had succeeded, with what it shows.
fn open_after(history: &History, is_first: impl Fn(&Call) -> bool) -> Option<(usize, usize)> {
    let calls = &history.calls;
    let mut firsts = calls.iter().enumerate().filter(|(_, call)| is_first(call));
    firsts.find_map(|(index, first)| {
        let (done, _) = first.success()?;
        let open = calls.iter().position(|call| {
            let is_open = matches!(call.success(), Some((_, Answer::Opened { .. })));
            is_open && call.session == first.session && call.at > done
        })?;
        Some((index, open))
    })
}

fn opened(call: &mut Call) -> Option<&mut crate::history::View> {
    match &mut call.answer {
        Some((_, Answer::Opened { view })) => Some(view),
        _ => None,
    }
}

/// One more open of a session, at `at`, with the answer that an earlier one got.
fn open_again(history: &mut History, like: usize, at: Micros) {
    let mut call = history.calls[like].clone();
    let number = 1 << 39 | history.calls.len() as u64;
    let answer = call
        .answer
        .take()
        .map(|(_, answer)| (at.plus(Duration::from_micros(50)), answer));
    history.calls.push(Call {
        number,
        at,
        answer,
        ..call
    });
}

/// The last open of the session that succeeded before this call of it.
fn open_before(history: &History, index: usize) -> Option<usize> {
    let session = &history.calls[index].session;
    history.calls[..index].iter().rposition(|call| {
        call.session == *session && matches!(call.success(), Some((_, Answer::Opened { .. })))
    })
}

fn find(history: &History, is_it: impl Fn(&Call) -> bool) -> Option<usize> {
    history.calls.iter().position(is_it)
}

fn old_counter(history: &mut History) -> Option<()> {
    let (first, open) = open_after(history, |call| matches!(call.act, Act::Increment { .. }))?;
    let Act::Increment { key, .. } = history.calls[first].act.clone() else {
        return None;
    };
    let value = opened(&mut history.calls[open])?.counters.get_mut(&key)?;
    *value -= 1;
    Some(())
}

fn old_note(history: &mut History) -> Option<()> {
    let (first, open) = open_after(history, |call| matches!(call.act, Act::Insert { .. }))?;
    let before = open_before(history, first)?;
    let old = opened(&mut history.calls[before])?.note;
    opened(&mut history.calls[open])?.note = old;
    Some(())
}

fn deleted(history: &mut History) -> Option<()> {
    let is_open = |call: &Call| matches!(call.success(), Some((_, Answer::Opened { .. })));
    let (first, _) = open_after(history, is_open)?;
    history.calls[first].answer.as_mut()?.1 = Answer::NotOpened { barred: false };
    Some(())
}

fn revived(history: &mut History) -> Option<()> {
    let end = (0..history.calls.len()).find(|index| {
        let call = &history.calls[*index];
        let is_end = matches!(call.act, Act::SignOut) && call.success().is_some();
        is_end && open_before(history, *index).is_some()
    })?;
    let at = history.calls[end].ended()?.plus(Duration::from_millis(1));
    let like = open_before(history, end)?;
    open_again(history, like, at);
    Some(())
}

fn swapped(history: &mut History) -> Option<()> {
    let (_, first) = open_after(history, |call| matches!(call.act, Act::Increment { .. }))?;
    let view = opened(&mut history.calls[first])?.clone();
    let session = history.calls[first].session.clone();
    let second = find(history, |call| {
        matches!(call.success(), Some((_, Answer::Opened { view: other }))
            if call.session != session && other.note != view.note)
    })?;
    let other = std::mem::replace(opened(&mut history.calls[second])?, view);
    *opened(&mut history.calls[first])? = other;
    Some(())
}

fn doubled(history: &mut History) -> Option<()> {
    let (first, open) = open_after(history, |call| matches!(call.act, Act::Increment { .. }))?;
    let Act::Increment { key, .. } = history.calls[first].act.clone() else {
        return None;
    };
    *opened(&mut history.calls[open])?.counters.get_mut(&key)? += 1;
    Some(())
}

fn lost_update(history: &mut History) -> Option<()> {
    let second = find(
        history,
        |call| matches!(call.success(), Some((_, Answer::Count { value })) if *value > 1),
    )?;
    let Some((_, Answer::Count { value })) = &mut history.calls[second].answer else {
        return None;
    };
    *value -= 1;
    Some(())
}

fn owner_changed(history: &mut History) -> Option<()> {
    let open = find(history, |call| {
        matches!(call.success(), Some((_, Answer::Opened { .. })))
    })?;
    opened(&mut history.calls[open])?.owner = Some("somebody else".to_owned());
    Some(())
}

fn untold(history: &mut History) -> Option<()> {
    let ended = history
        .told
        .iter()
        .find(|told| told.what == Told::SignedOut)?
        .session
        .clone();
    history.told.retain(|told| told.session != ended);
    Some(())
}

fn told_twice(history: &mut History) -> Option<()> {
    let again = history
        .told
        .iter()
        .find(|told| told.what == Told::Expired)?
        .clone();
    let at = again.at.plus(Duration::from_secs(1));
    history.told.push(ToldLine { at, ..again });
    Some(())
}

fn after_deadline(history: &mut History) -> Option<()> {
    let expired = history.told.iter().find_map(|told| {
        let session = Some(told.session.clone());
        let open = history.calls.iter().rposition(|call| {
            call.session == session && matches!(call.success(), Some((_, Answer::Opened { .. })))
        });
        Some((told.at, open?)).filter(|_| told.what == Told::Expired)
    });
    let (at, like) = expired?;
    open_again(history, like, at.plus(Duration::from_secs(30)));
    Some(())
}

fn message_twice(history: &mut History) -> Option<()> {
    let (first, open) = open_after(history, |call| matches!(call.act, Act::TakeFlashes { .. }))?;
    let Act::TakeFlashes { numbers, .. } = history.calls[first].act.clone() else {
        return None;
    };
    opened(&mut history.calls[open])?.flashes.extend(numbers);
    Some(())
}

fn another_answer(history: &mut History) -> Option<()> {
    let other = find(
        history,
        |call| matches!(call.success(), Some((_, Answer::Count { value })) if *value > 3),
    )?;
    let answer = history.calls[other].answer.clone()?.1;
    let one = find(history, |call| {
        matches!(call.success(), Some((_, Answer::Count { value: 1 })))
    })?;
    history.calls[one].answer.as_mut()?.1 = answer;
    Some(())
}

fn sign_in_undone(history: &mut History) -> Option<()> {
    let sign_in = (0..history.calls.len()).find(|index| {
        let call = &history.calls[*index];
        let is_own = matches!((&call.act, call.success()), (Act::SignIn { .. }, Some((_, Answer::Stored { session, .. })))
            if call.session.as_ref() == Some(session));
        is_own && open_before(history, *index).is_some()
    })?;
    let at = history.calls[sign_in]
        .ended()?
        .plus(Duration::from_millis(1));
    let Act::SignIn { mark: old, .. } = history.calls[sign_in].act.clone() else {
        return None;
    };
    let like = open_before(history, sign_in)?;
    open_again(history, like, at);
    let Act::Open { mark, .. } = &mut history.calls.last_mut()?.act else {
        return None;
    };
    *mark = old;
    Some(())
}

fn left_over(history: &mut History) -> Option<()> {
    let parts = partitions(history);
    let (like, at) = parts.values().find_map(|part| {
        let sweep = part.sweeps.iter().find_map(|index| {
            let call = &history.calls[*index];
            let Act::LogOutEverywhere { owner, except } = &call.act else {
                return None;
            };
            let is_hit = part.initial.0.owner.as_ref() == Some(owner)
                && part.owners.len() == 1
                && except.as_ref() != Some(&part.id)
                && part.told.iter().any(|told| told.what == Told::Revoked);
            call.ended().filter(|_| is_hit && call.at > part.began.1)
        })?;
        let open = part.calls.iter().rfind(|index| {
            let call = &history.calls[**index];
            call.at < sweep && matches!(call.success(), Some((_, Answer::Opened { .. })))
        })?;
        Some((*open, sweep.plus(Duration::from_millis(1))))
    })?;
    open_again(history, like, at);
    Some(())
}

fn wrongly_ended(history: &mut History) -> Option<()> {
    let parts = partitions(history);
    let told = history.told.iter_mut().find(|told| {
        let part = parts.get(&told.session);
        let is_free = part.is_some_and(|part| part.owners.is_empty());
        let is_named = history.calls.iter().any(|call| {
            matches!(call.act, Act::Revoke) && call.session.as_ref() == Some(&told.session)
        });
        told.what == Told::Expired && is_free && !is_named
    })?;
    told.what = Told::Revoked;
    Some(())
}

fn expired_early(history: &mut History) -> Option<()> {
    let parts = partitions(history);
    let told = history
        .told
        .iter_mut()
        .find(|told| told.what == Told::Expired)?;
    told.at = parts
        .get(&told.session)?
        .began
        .1
        .plus(Duration::from_millis(20));
    Some(())
}

fn not_found(history: &mut History) -> Option<()> {
    let revoke = find(history, |call| {
        matches!(call.success(), Some((_, Answer::Ended { found: true })))
    })?;
    history.calls[revoke].answer.as_mut()?.1 = Answer::Ended { found: false };
    Some(())
}

fn listing_misses(history: &mut History) -> Option<()> {
    let owned_by = find(history, |call| {
        matches!((&call.act, call.success()), (Act::OwnedBy { .. }, Some((_, Answer::Listed { sessions })))
            if sessions.len() == 1)
    })?;
    history.calls[owned_by].answer.as_mut()?.1 = Answer::Listed {
        sessions: Vec::new(),
    };
    Some(())
}

fn corrupt(history: &mut History) -> Option<()> {
    let open = find(history, |call| call.success().is_some())?;
    history.calls[open].answer.as_mut()?.1 = Answer::Failed {
        kind: "Corrupt".to_owned(),
        doubtful: false,
        text: String::new(),
    };
    Some(())
}

fn too_long(history: &mut History) -> Option<()> {
    let open = find(history, |call| {
        matches!(call.success(), Some((_, Answer::Opened { .. })))
    })?;
    let answer = history.calls[open].answer.as_mut()?;
    answer.0 = answer.0.plus(Duration::from_secs(8));
    Some(())
}
