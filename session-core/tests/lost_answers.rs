//! Writes whose answers never come: nothing is applied twice, and nothing is said that is not so.

mod interleaving;
mod support;

use std::time::Duration;

use interleaving::{Between, Fate, OTHERS, Other, World};
use session_core::Error;
use session_core::ErrorKind;
use support::sessions;

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_repeated_harmlessly() {
    let (sessions, store, recorder) = sessions();
    let session = sessions.start();
    for (step, key) in ["create", "save", "cycle"].into_iter().zip(["a", "b", "c"]) {
        session.insert(key, step).expect("a string");
        store.lose_next_answer();
        match step {
            "cycle" => session.cycle_id().await,
            _ => session.save().await,
        }
        .unwrap_or_else(|error| panic!("{step}: {error}"));
        let again = sessions
            .open(session.token().as_ref())
            .await
            .expect("there");
        assert_eq!(again.keys(), session.keys(), "{step}");
    }
    assert_eq!(recorder.names(), ["created", "renewed"]);
    assert_eq!(
        sessions.count().await.ok(),
        Some(1),
        "nothing was written twice"
    );
}

#[tokio::test]
async fn a_repeat_that_is_refused_for_good_says_nothing_of_the_first_sending() {
    let (sessions, store, _) = sessions();
    let session = sessions.start();
    session.push("list", 1).expect("JSON");
    session.save().await.expect("saved");
    session.push("list", 2).expect("JSON");
    store.lose_next_answer_and_refuse_repeat();
    session.save().await.expect_err("refused");
    session.save().await.expect("found to be done");
    let again = sessions.open(session.token().as_ref()).await;
    let list = again.expect("there").get::<Vec<u32>>("list");
    assert_eq!(list.ok(), Some(Some(vec![1, 2])), "added once");
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_found_out_about() {
    for step in ["create", "save", "cycle"] {
        let (sessions, store, _) = sessions();
        let session = sessions.start();
        if step != "create" {
            session.insert("start", 0).expect("a number");
            session.save().await.expect("saved");
        }
        session.insert("cut", step).expect("a string");
        // The write happens, and its future is dropped before it hears of that.
        store.hang_after_next();
        let write = async {
            match step {
                "cycle" => session.cycle_id().await,
                _ => session.save().await,
            }
        };
        let cut = tokio::time::timeout(Duration::from_millis(20), write).await;
        assert!(cut.is_err(), "{step} hangs");

        session.insert("later", 1).expect("a number");
        session
            .save()
            .await
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        let again = sessions
            .open(session.token().as_ref())
            .await
            .expect("there");
        assert!(
            again.contains_key("cut") && again.contains_key("later"),
            "{step}"
        );
        assert_eq!(
            sessions.count().await.ok(),
            Some(1),
            "{step} left no orphan"
        );
    }
}

#[tokio::test]
async fn destroy_also_ends_what_an_unanswered_write_made() {
    for step in ["create", "cycle"] {
        let (sessions, store, _) = sessions();
        let session = sessions.start();
        session.insert("a", 1).expect("a number");
        if step == "cycle" {
            session.save().await.expect("saved");
        }
        store.hang_after_next();
        let write = async {
            match step {
                "cycle" => session.cycle_id().await,
                _ => session.save().await,
            }
        };
        let cut = tokio::time::timeout(Duration::from_millis(20), write).await;
        assert!(cut.is_err(), "{step} hangs");
        session.destroy().await.expect("destroyed");
        assert_eq!(sessions.count().await.ok(), Some(0), "{step} left nothing");
    }
}

/// What the writer under test does, one after the other.
#[derive(Clone, Copy, Debug)]
enum Act {
    Update,
    Save,
    CycleId,
    Reauthenticate,
    SignIn,
}

const ACTS: [Act; 5] = [
    Act::Update,
    Act::Save,
    Act::CycleId,
    Act::Reauthenticate,
    Act::SignIn,
];

impl Act {
    /// Does it, with a change to the key `a{n}` that shows how often it was applied.
    async fn run(self, world: &World, n: usize) -> Result<(), Error> {
        let (session, key) = (&world.session, format!("a{n}"));
        let seen = |session: &session_core::Session| {
            assert!(
                world.is_own(session) || !session.contains_key("secret"),
                "a writer sees what was stored after another's sign-in"
            );
        };
        if matches!(self, Self::Update) {
            let updated = session
                .update(&key, |count: Option<u32>| {
                    seen(session);
                    count.unwrap_or(0) + 1
                })
                .await;
            seen(session);
            return updated.map(|count| assert_eq!(count, 1, "the value of an update"));
        }
        session.insert(&key, 1).expect("a number");
        let done = match self {
            Self::CycleId => session.cycle_id().await,
            Self::Reauthenticate => session.reauthenticated().await,
            Self::SignIn => session.sign_in("a").await,
            _ => session.save().await,
        };
        seen(session);
        done
    }
}

/// Runs acts of one writer, whose calls of the store have these fates while another writer gets in
/// between, and checks each answer against what was stored.
async fn run(acts: &[Act], fates: &[(Fate, Other)]) -> usize {
    let world = World::begin().await;
    world.store.script(fates);
    let mut outcomes = Vec::new();
    for (n, act) in acts.iter().enumerate() {
        outcomes.push(act.run(&world, n).await);
    }
    world.store.let_all_arrive().await;
    let context = || format!("{acts:?} with {fates:?}: {outcomes:?}");
    for (n, outcome) in outcomes.iter().enumerate() {
        let (most, kept) = world.store.applied(&format!("a{n}"));
        assert!(most <= 1, "applied {most} times: {}", context());
        match outcome {
            Ok(()) => assert_eq!(most, 1, "a false ok: {}", context()),
            // Changes that a failed save leaves pending are saved by the next act.
            Err(error)
                if error.kind() == ErrorKind::Gone
                    && !error.is_doubtful()
                    && n + 1 == outcomes.len() =>
            {
                assert_eq!(most, 0, "a false \"nothing was written\": {}", context());
            }
            Err(_) => {}
        }
        world.check_taken(&format!("a{n}"), context);
        if outcome.is_ok() && !world.store.is_taken(&format!("a{n}")) {
            assert!(kept, "a change of this writer was lost: {}", context());
        }
    }
    world.check_other(context);
    world.store.calls()
}

#[tokio::test(start_paused = true)]
async fn with_any_answer_of_one_act_lost_nothing_is_applied_twice_and_no_answer_is_false() {
    for act in ACTS {
        for fates in Between::all_scripts(3, &OTHERS) {
            run(&[act], &fates).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_act_knows_of_the_lost_answers_of_those_before_it() {
    for first in ACTS {
        for second in [Act::Update, Act::SignIn, Act::Save] {
            for fates in Between::all_scripts(2, &OTHERS) {
                run(&[first, second], &fates).await;
            }
        }
    }
    for acts in [
        [Act::Update, Act::Update, Act::Update],
        [Act::Save, Act::SignIn, Act::Save],
    ] {
        for fates in Between::all_scripts(3, &[Other::Nothing, Other::Takes]) {
            run(&acts, &fates).await;
        }
    }
}
