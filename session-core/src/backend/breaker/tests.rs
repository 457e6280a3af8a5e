//! The circuit breaker's decisions.

use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_millis(100);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn machine() -> (Machine, Instant) {
    let now = Instant::now();
    (Machine::new(CircuitBreaker::new(3, INTERVAL), now), now)
}

/// One that is open: the first failure was of a call that began at the time given back.
fn open() -> (Machine, Instant) {
    let (mut machine, now) = machine();
    for _ in 0..3 {
        assert!(machine.failed(now, now));
    }
    (machine, now)
}

#[test]
fn it_opens_after_so_many_failures_in_a_row() {
    let (mut machine, now) = machine();
    for _ in 0..2 {
        machine.failed(now, now);
        assert_eq!(machine.admit(now), Admission::Usual);
    }
    assert_eq!(machine.answered(now), None, "it was not open");
    for _ in 0..2 {
        machine.failed(now, now);
    }
    assert_eq!(machine.admit(now), Admission::Usual, "the row began anew");
    machine.failed(now, now);
    assert!(machine.is_open());
    let silent_for = Duration::ZERO;
    assert_eq!(machine.admit(now), Admission::Rejected { silent_for });
}

#[test]
fn one_probe_is_sent_in_each_interval() {
    let (mut machine, now) = open();
    let admitted = (0..=1_000).map(|n| machine.admit(now + ms(n)));
    let probes: Vec<_> = admitted
        .enumerate()
        .filter(|(_, admission)| *admission == Admission::Probe)
        .map(|(n, _)| n)
        .collect();
    assert_eq!(probes, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
    let late = now + ms(60_000);
    assert_eq!(machine.admit(late), Admission::Probe);
    let silent_for = ms(60_001);
    let rejected = Admission::Rejected { silent_for };
    assert_eq!(machine.admit(late + ms(1)), rejected, "none is made up for");
}

#[test]
fn the_first_answer_closes_it() {
    let (mut machine, now) = open();
    assert_eq!(machine.answered(now + ms(250)), Some(ms(250)));
    assert!(machine.is_well());
    assert_eq!(machine.admit(now + ms(250)), Admission::Usual);
}

#[test]
fn calls_that_began_before_the_last_answer_do_not_count() {
    let (mut machine, now) = open();
    machine.answered(now + ms(10));
    for _ in 0..100 {
        assert!(!machine.failed(now + ms(9), now + ms(2_000)));
    }
    assert!(machine.is_well());
    assert!(machine.failed(now + ms(10), now + ms(2_000)));
}

#[test]
fn it_has_been_silent_since_the_first_of_the_calls_began() {
    let (mut machine, now) = machine();
    for began in [20, 10, 30] {
        machine.failed(now + ms(began), now + ms(2_000));
    }
    assert_eq!(machine.silent_for(now + ms(2_010)), Some(ms(2_000)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    Fail,
    Answer,
}

proptest! {
    #[test]
    fn in_any_history_it_is_open_exactly_after_the_row(
        steps in proptest::collection::vec(
            (prop_oneof![Just(Step::Call), Just(Step::Fail), Just(Step::Answer)], 1_u64..80),
            0..200,
        ),
    ) {
        let (mut machine, mut now) = machine();
        let (mut row, mut last_probe) = (0, None);
        for (step, pause) in steps {
            now += ms(pause);
            match step {
                Step::Fail => {
                    machine.failed(now, now);
                    row += 1;
                    if row == 3 {
                        last_probe = Some(now);
                    }
                }
                Step::Answer => {
                    prop_assert_eq!(machine.answered(now).is_some(), row >= 3);
                    row = 0;
                }
                Step::Call => match machine.admit(now) {
                    Admission::Usual => prop_assert!(row < 3),
                    Admission::Probe => {
                        prop_assert!(row >= 3);
                        prop_assert!(last_probe.is_some_and(|last| now - last >= INTERVAL));
                        last_probe = Some(now);
                    }
                    Admission::Rejected { .. } => {
                        prop_assert!(row >= 3);
                        prop_assert!(last_probe.is_some_and(|last| now - last < INTERVAL));
                    }
                },
            }
        }
    }
}
