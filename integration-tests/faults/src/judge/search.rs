//! Whether the calls of one session have an order that explains all answers: the search of Wing and
//! Gong, with the memory of Lowe.

use std::collections::HashSet;

use crate::clock::Micros;

use super::state::{State, Step};

/// How many states are looked at before a session is left undecided.
const BUDGET: usize = 400_000;

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Explained,
    /// No order explains all; the most steps were explained without this one.
    Unexplained(usize),
    /// The budget is used up.
    Undecided,
}

/// Steps that are done, as bits.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Box<[u64]>);

impl Done {
    fn none(of: usize) -> Self {
        Self(vec![0; of.div_ceil(64)].into())
    }

    fn has(&self, step: usize) -> bool {
        self.0[step / 64] >> (step % 64) & 1 == 1
    }

    fn with(&self, step: usize) -> Self {
        let mut done = self.clone();
        done.0[step / 64] |= 1 << (step % 64);
        done
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }
}

/// Looks for an order of `steps`, which are sorted by their beginnings.
pub(super) fn search(steps: &[Step], initial: State) -> Verdict {
    let mut seen = HashSet::new();
    let mut open = vec![(Done::none(steps.len()), initial)];
    let (mut deepest, mut stuck) = (0, 0);
    while let Some((done, state)) = open.pop() {
        let next = candidates(steps, &done);
        // Only steps that may never have happened are left.
        let Some(most_urgent) = next.iter().find(|step| steps[**step].to.is_some()) else {
            return Verdict::Explained;
        };
        if done.count() >= deepest {
            (deepest, stuck) = (done.count(), *most_urgent);
        }
        for step in next.iter().rev() {
            for after in state.after(&steps[*step]) {
                let entry = (done.with(*step), after);
                if seen.insert(entry.clone()) {
                    open.push(entry);
                }
            }
        }
        if seen.len() > BUDGET {
            return Verdict::Undecided;
        }
    }
    Verdict::Unexplained(stuck)
}

/// The steps that may come next, those first that must come soonest.
fn candidates(steps: &[Step], done: &Done) -> Vec<usize> {
    let left = || (0..steps.len()).filter(|step| !done.has(*step));
    let first_end = left().filter_map(|step| steps[step].to).min();
    let Some(first_end) = first_end else {
        return Vec::new();
    };
    let mut next: Vec<usize> = left()
        .take_while(|step| steps[*step].from <= first_end)
        .collect();
    // Of calls that may have happened and do the same, the first stands for any.
    let is_another = |step: usize, before: usize| {
        let (this, other) = (&steps[step], &steps[before]);
        this.to.is_none() && other.to.is_none() && this.effect == other.effect
    };
    let all = next.clone();
    next.retain(|step| {
        let mut before = all.iter().take_while(|before| *before < step);
        !before.any(|before| is_another(*step, *before))
    });
    next.sort_by_key(|step| steps[*step].to.unwrap_or(Micros(u64::MAX)));
    next
}

#[cfg(test)]
mod tests {
    use super::super::state::{Change, Effect};
    use super::*;
    use crate::history::View;

    fn step(from: u64, to: Option<u64>, effect: Effect) -> Step {
        let (from, to) = (Micros(from), to.map(Micros));
        Step {
            call: 0,
            from,
            to,
            effect,
            may_have_expired: false,
        }
    }

    fn create() -> Step {
        step(
            0,
            Some(1),
            Effect::Create {
                view: View::default(),
                lineage: 1,
            },
        )
    }

    fn increment(from: u64, to: Option<u64>, value: Option<u64>) -> Step {
        let change = Change::Increment {
            key: "a".to_owned(),
            to: value,
        };
        step(from, to, Effect::Write { lineage: 1, change })
    }

    fn seen(from: u64, to: u64, value: u64) -> Step {
        let counters = (value > 0)
            .then(|| ("a".to_owned(), value))
            .into_iter()
            .collect();
        let seen = Some(View {
            counters,
            ..View::default()
        });
        step(
            from,
            Some(to),
            Effect::Open {
                lineage: 1,
                seen,
                may_end: false,
            },
        )
    }

    fn verdict(steps: &[Step]) -> Verdict {
        search(steps, State::absent())
    }

    #[test]
    fn calls_at_the_same_time_may_have_happened_in_either_order() {
        let both = [
            create(),
            increment(2, Some(9), Some(2)),
            increment(3, Some(8), Some(1)),
            seen(4, 7, 1),
        ];
        assert_eq!(verdict(&both), Verdict::Explained);
        let one_after_the_other = [
            create(),
            increment(2, Some(3), Some(2)),
            increment(4, Some(5), Some(1)),
        ];
        assert_eq!(verdict(&one_after_the_other), Verdict::Unexplained(1));
    }

    #[test]
    fn a_call_without_an_answer_may_happen_late_or_never_but_not_twice() {
        let unknown = || increment(2, None, None);
        let never = [create(), unknown(), seen(10, 11, 0), seen(20, 21, 0)];
        assert_eq!(verdict(&never), Verdict::Explained);
        let late = [create(), unknown(), seen(10, 11, 0), seen(20, 21, 1)];
        assert_eq!(verdict(&late), Verdict::Explained);
        let undone = [create(), unknown(), seen(10, 11, 1), seen(20, 21, 0)];
        assert_eq!(verdict(&undone), Verdict::Unexplained(3));
        let twice = [create(), unknown(), seen(10, 11, 1), seen(20, 21, 2)];
        assert_eq!(verdict(&twice), Verdict::Unexplained(3));
    }

    #[test]
    fn many_calls_without_an_answer_are_soon_judged() {
        let unknown = (0..60).map(|call| increment(2 + call, None, None));
        let mut steps: Vec<Step> = std::iter::once(create()).chain(unknown).collect();
        steps.push(seen(100, 101, 30));
        assert_eq!(verdict(&steps), Verdict::Explained);
        steps.push(seen(110, 111, 29));
        assert_eq!(verdict(&steps), Verdict::Unexplained(62));
    }

    #[test]
    fn what_has_ended_stays_ended() {
        let end = || step(4, Some(6), Effect::End { found: Some(true) });
        assert_eq!(
            verdict(&[create(), end(), seen(5, 7, 0)]),
            Verdict::Explained
        );
        assert_eq!(
            verdict(&[create(), end(), seen(7, 8, 0)]),
            Verdict::Unexplained(2)
        );
    }
}
