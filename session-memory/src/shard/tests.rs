use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use session_core::{Draft, Lifetime};

use super::*;
use crate::key::Key;

const SECOND: Micros = 1_000_000;
const ALL: usize = usize::MAX;

fn id(n: usize) -> SessionId {
    SessionId::from_stored(&format!("session{n}")).expect("valid")
}

fn hashed(id: &SessionId) -> HashedId<'_> {
    // Few hashes, so that sessions share a bucket.
    let hash = id.as_str().bytes().map(u32::from).sum();
    HashedId { id, hash }
}

fn owner(n: usize) -> Option<Owner> {
    (n > 0).then(|| Owner::new(format!("owner{n}")).expect("valid"))
}

fn shard(grace: Micros) -> Shard {
    Shard::new(RandomState::new(), grace)
}

fn write(idle: impl Into<Timeout>, now: Micros) -> Write {
    let draft = Draft::new("x", Lifetime::idle(idle));
    Write::new(&draft, Content::of(&draft), now, now)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Writes a session, whether or not there was one.
fn put(shard: &mut Shard, n: usize, write: Write, owner: Option<&Owner>) {
    let id = id(n);
    match shard.find(hashed(&id)) {
        Some(slot) => drop(shard.replace(slot, write, owner)),
        None => drop(shard.insert(write.entry(Key::of(&id), hashed(&id).hash), owner)),
    }
}

fn sweep(shard: &mut Shard, now: Micros, steps: usize) -> Swept {
    shard.sweep(now, steps, &mut Garbage::default())
}

fn owned(shard: &Shard, owner: &Owner) -> Vec<u32> {
    shard.owned(owner, 0).collect()
}

/// Whether the shard is empty once all stale deadlines have come.
fn is_empty(shard: &mut Shard) -> bool {
    let late = sweep(shard, NEVER - 1, ALL);
    let slots = shard.entries.next_taken(0);
    let rest = (shard.deadlines.len(), shard.len());
    let kept = (shard.owners.len(), shard.unreported());
    (late.freed, slots, rest, kept) == (0, None, (0, 0), (0, 0))
}

#[test]
fn a_sweep_makes_no_more_steps_than_its_limit() {
    let mut shard = shard(0);
    for n in 0..1_000 {
        put(&mut shard, n, write(seconds(1), 0), None);
    }
    let ten = Swept {
        freed: 10,
        steps: 10,
    };
    assert_eq!(sweep(&mut shard, 2 * SECOND, 10), ten);
    assert_eq!(shard.len(), 990);
    assert_eq!(sweep(&mut shard, 2 * SECOND, ALL).freed, 990);
    assert!(is_empty(&mut shard));
}

#[test]
fn late_reports_are_dropped_in_steps_too() {
    let mut shard = shard(SECOND);
    for n in 0..100 {
        put(&mut shard, n, write(seconds(1), 0), None);
    }
    sweep(&mut shard, 2 * SECOND, ALL);
    assert_eq!(shard.unreported(), 100);
    let swept = sweep(&mut shard, 4 * SECOND, 10);
    assert_eq!((swept.steps, shard.unreported()), (10, 90));
}

#[test]
fn an_expired_session_can_be_reported_within_the_grace() {
    let mut shard = shard(60 * SECOND);
    let whose = owner(1);
    for n in 0..10 {
        put(&mut shard, n, write(seconds(1), 0), whose.as_ref());
    }
    sweep(&mut shard, 2 * SECOND, ALL);
    let taken = shard.take_unreported(4, 30 * SECOND);
    assert_eq!(taken.len(), 4);
    for ended in taken {
        assert_eq!((ended.owner, ended.age), (whose.clone(), Some(seconds(2))));
    }
    sweep(&mut shard, 62 * SECOND, ALL);
    assert_eq!(shard.unreported(), 6);
    assert_eq!(
        shard.take_unreported(6, 62 * SECOND + 1),
        [],
        "it is too late"
    );
    assert!(is_empty(&mut shard));
}

#[test]
fn touching_a_session_causes_at_most_one_step_a_sweep() {
    let mut shard = shard(0);
    put(&mut shard, 0, write(seconds(100), 0), None);
    let slot = shard.find(hashed(&id(0))).expect("there");
    for second in 0..10_000 {
        let now = second * SECOND;
        shard.touch(slot, seconds(100).into(), now);
        let swept = sweep(&mut shard, now, 2);
        assert!(swept.steps <= 1, "after {second} s");
    }
}

#[test]
fn a_session_keeps_its_slot_among_its_owners_while_it_lives() {
    let mut shard = shard(60 * SECOND);
    let (ann, bob) = (owner(1).expect("named"), owner(2).expect("named"));
    for n in 0..3 {
        put(&mut shard, n, write(seconds(100), 0), Some(&ann));
    }
    let slots = owned(&shard, &ann);
    for (n, from) in slots.iter().enumerate() {
        let rest: Vec<u32> = shard.owned(&ann, *from).collect();
        assert_eq!(rest, slots[n..]);
    }
    // After two changes of owner it has the same slot.
    put(&mut shard, 1, write(seconds(100), 0), Some(&bob));
    assert_eq!(owned(&shard, &ann), [slots[0], slots[2]]);
    assert_eq!(owned(&shard, &bob), [slots[1]]);
    put(&mut shard, 1, write(seconds(1), 0), Some(&ann));
    assert_eq!(
        (owned(&shard, &ann), owned(&shard, &bob)),
        (slots.clone(), vec![])
    );
    // An expired session keeps its slot until it is reported, and is not listed.
    sweep(&mut shard, 2 * SECOND, ALL);
    assert_eq!(
        (owned(&shard, &ann), shard.unreported()),
        (vec![slots[0], slots[2]], 1)
    );
    put(&mut shard, 3, write(seconds(100), 0), Some(&ann));
    assert_eq!(owned(&shard, &ann).len(), 3);
    assert_eq!(owned(&shard, &ann)[..2], [slots[0], slots[2]]);
}

#[test]
fn stale_deadlines_do_not_accumulate() {
    let mut shard = shard(0);
    let mut now = 0;
    for round in 0..1_000_u64 {
        now = round * SECOND / 10;
        let idle = seconds(1_000 - round / 2);
        put(&mut shard, 0, write(idle, now), None);
        put(&mut shard, 1, write(seconds(60), now), None);
        let slot = shard.find(hashed(&id(1))).expect("there");
        shard.remove(slot, now, &mut Garbage::default());
        assert!(shard.deadlines.len() <= 2 * 2 + MAX_STALE, "{round}");
    }
    let swept = sweep(&mut shard, now + 600 * SECOND, ALL);
    assert_eq!(swept.freed, 1);
    assert!(is_empty(&mut shard));
}

#[test]
fn dropping_stale_deadlines_keeps_the_others() {
    let mut shard = shard(0);
    for n in 0..200 {
        put(&mut shard, n, write(seconds(1), 0), None);
    }
    for n in 0..195 {
        let slot = shard.find(hashed(&id(n))).expect("there");
        shard.remove(slot, 0, &mut Garbage::default());
    }
    assert!(shard.deadlines.len() < 100);
    assert_eq!(sweep(&mut shard, 2 * SECOND, ALL).freed, 5);
    assert!(is_empty(&mut shard));
}

#[test]
fn a_session_does_not_end_at_the_deadline_of_an_earlier_one_in_its_slot() {
    let mut shard = shard(60 * SECOND);
    // The second one's deadline is later, the third one's the same.
    for (round, idle) in [1, 2, 2].into_iter().enumerate() {
        put(&mut shard, round, write(seconds(idle), 0), None);
        let slot = shard.find(hashed(&id(round)));
        assert_eq!(slot, Some(0));
        if round < 2 {
            shard.remove(0, 0, &mut Garbage::default());
        }
    }
    assert_eq!(sweep(&mut shard, SECOND, ALL).freed, 0);
    assert_eq!(sweep(&mut shard, 2 * SECOND, ALL).freed, 1);
    assert_eq!(shard.take_unreported(ALL, 2 * SECOND).len(), 1);
    assert!(is_empty(&mut shard));
}

#[test]
fn an_expired_session_is_not_shown_before_it_is_freed() {
    let mut shard = shard(0);
    let ann = owner(1).expect("named");
    put(&mut shard, 0, write(seconds(1), 0), Some(&ann));
    let slot = owned(&shard, &ann)[0];
    assert!(shard.info(slot, SECOND - 1).is_some());
    assert!(shard.info(slot, SECOND).is_none());
}

/// The expected state of a shard: deadline and owner of each session, and the sessions to report.
#[derive(Default)]
struct Model {
    sessions: BTreeMap<usize, (Micros, usize)>,
    ended: BTreeSet<usize>,
}

impl Model {
    fn expire(&mut self, now: Micros) {
        let expired: Vec<usize> = self.live(|deadline, _| deadline <= now);
        for n in expired {
            self.sessions.remove(&n);
            self.ended.insert(n);
        }
    }

    fn live(&self, which: impl Fn(Micros, usize) -> bool) -> Vec<usize> {
        let all = self.sessions.iter();
        let found = all.filter(|(_, (deadline, owner))| which(*deadline, *owner));
        found.map(|(n, _)| *n).collect()
    }
}

/// One step of the property test below.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, Option<u64>, usize),
    Touch(usize, u64),
    Remove(usize),
    Wait(u64),
    Sweep(usize),
    Reap,
}

fn step() -> impl Strategy<Value = Step> {
    let (n, idle) = (0..40_usize, 1..100_000_u64);
    prop_oneof![
        4 => (n.clone(), prop::option::weighted(0.9, idle.clone()), 0..4_usize)
            .prop_map(|(n, idle, owner)| Step::Write(n, idle, owner)),
        2 => (n.clone(), idle.clone()).prop_map(|(n, idle)| Step::Touch(n, idle)),
        1 => n.prop_map(Step::Remove),
        3 => (0..30_000_u64).prop_map(Step::Wait),
        1 => (0..5_usize).prop_map(Step::Sweep),
        1 => Just(Step::Reap),
    ]
}

/// Applies a step to both and checks that they agree.
fn apply(shard: &mut Shard, model: &mut Model, step: Step, now: &mut Micros) {
    match step {
        Step::Write(n, idle, whose) => {
            let (id, mut garbage) = (id(n), Garbage::default());
            shard.end_expired(hashed(&id), *now, &mut garbage);
            model.expire(*now);
            let write = write(Timeout::from_millis(idle), *now);
            model.sessions.insert(n, (write.deadline, whose));
            put(shard, n, write, owner(whose).as_ref());
        }
        Step::Touch(n, idle) => {
            let live = shard.live(hashed(&id(n)), *now);
            model.expire(*now);
            assert_eq!(live.is_some(), model.sessions.contains_key(&n));
            if let (Some(slot), Some((deadline, _))) = (live, model.sessions.get_mut(&n)) {
                shard.touch(slot, Duration::from_millis(idle).into(), *now);
                *deadline = (*deadline).max(*now + idle * 1_000);
            }
        }
        Step::Remove(n) => {
            model.expire(*now);
            let live = shard.live(hashed(&id(n)), *now);
            assert_eq!(live.is_some(), model.sessions.remove(&n).is_some());
            if let Some(slot) = live {
                let ended = shard.remove(slot, *now, &mut Garbage::default());
                assert_eq!(ended.id, id(n));
            }
        }
        Step::Wait(millis) => *now += millis * 1_000,
        Step::Sweep(steps) => drop(sweep(shard, *now, steps)),
        Step::Reap => {
            sweep(shard, *now, ALL);
            model.expire(*now);
            let mut reaped: Vec<_> = shard.take_unreported(ALL, *now);
            reaped.sort_by(|a, b| a.id.cmp(&b.id));
            let ids = reaped.into_iter().map(|ended| ended.id);
            let mut expected: Vec<_> = std::mem::take(&mut model.ended)
                .into_iter()
                .map(id)
                .collect();
            expected.sort();
            // An id that expired more than once is reported each time.
            let mut ids: Vec<_> = ids.collect();
            ids.dedup();
            assert_eq!(ids, expected);
        }
    }
}

proptest! {
    #[test]
    fn a_shard_agrees_with_the_model(steps in prop::collection::vec(step(), 0..300)) {
        let (mut shard, mut model) = (shard(Micros::MAX), Model::default());
        let mut now = 1 << 60;
        for step in steps {
            apply(&mut shard, &mut model, step, &mut now);
        }
        sweep(&mut shard, now, ALL);
        model.expire(now);
        let (page, rest) = shard.page(0, u32::MAX, now);
        let listed: BTreeSet<_> = page.map(|(entry, _)| entry.key.id()).collect();
        let expected = model.live(|_, _| true).into_iter().map(id);
        prop_assert_eq!((listed, rest), (expected.collect(), None));
        for n in 1..4 {
            let whose = owner(n).expect("named");
            let infos = owned(&shard, &whose).into_iter().filter_map(|slot| shard.info(slot, now));
            let ids = infos.map(|info| info.id);
            let expected = model.live(|_, owner| owner == n).into_iter().map(id);
            prop_assert_eq!(ids.collect::<BTreeSet<_>>(), expected.collect());
        }
        // Removed sessions leave nothing behind.
        for n in model.live(|_, _| true) {
            let slot = shard.find(hashed(&id(n))).expect("there");
            shard.remove(slot, now, &mut Garbage::default());
        }
        shard.take_unreported(ALL, now);
        prop_assert!(is_empty(&mut shard));
    }
}
