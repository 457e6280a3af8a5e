//! The judge by its table, a credential by its bytes, and both by a model of who holds what.

use std::time::Duration;

use proptest::prelude::*;

use super::{Grace, TokenState, Verdict};
use crate::{Credential, SessionToken, Stamp};

const GRACE: Grace = Grace::DEFAULT;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fresh() -> (TokenState, SessionToken) {
    let token = SessionToken::generate();
    let state = TokenState::of(&token, secs(0), GRACE, false);
    (state, token)
}

/// A session whose token was renewed at 1,000 s, and the two tokens.
fn renewed() -> (TokenState, [SessionToken; 2]) {
    let (state, first) = fresh();
    let (state, salt) = state.renewed(&first, secs(1_000), GRACE);
    let second = first.successor(&salt);
    (state, [first, second])
}

/// A token of the same id and lineage, with another secret and this generation.
fn forged(of: &SessionToken, generation: &str) -> SessionToken {
    let text = of.expose();
    let forged = format!("{}{generation}{}", &text[..28], "A".repeat(24));
    SessionToken::parse(&forged).expect("shaped")
}

#[test]
fn a_fresh_token_opens_and_needs_no_confirmation() {
    let (state, token) = fresh();
    for age in [0, 1, 1_000_000] {
        assert_eq!(state.judge(&token, secs(age)), Verdict::Current);
    }
}

#[test]
fn a_successor_is_confirmed_by_its_first_use() {
    let (state, [_, second]) = renewed();
    assert_eq!(state.judge(&second, secs(1_001)), Verdict::Unconfirmed);
    let state = state.confirmed(secs(1_001));
    assert_eq!(state.judge(&second, secs(1_002)), Verdict::Current);
}

#[test]
fn the_previous_token_opens_until_its_successor_is_seen_however_long_that_takes() {
    let (state, [first, second]) = renewed();
    for age in [1_000, 1_060, 1_000_000] {
        let Verdict::Replaced(salt) = state.judge(&first, secs(age)) else {
            panic!("it opens at {age} s");
        };
        assert_eq!(first.successor(&salt), second, "the same one again");
    }
}

#[test]
fn the_previous_token_opens_for_the_grace_after_that_and_is_reuse_then() {
    let (state, [first, _]) = renewed();
    let state = state.confirmed(secs(2_000));
    let judge = |millis| state.judge(&first, Duration::from_millis(millis));
    assert_eq!(judge(2_000_000), Verdict::Late);
    assert_eq!(judge(2_059_999), Verdict::Late);
    assert_eq!(judge(2_060_000), Verdict::Reused);
    assert_eq!(judge(1_999_000), Verdict::Late, "the clock was set back");
}

#[test]
fn a_confirmation_is_the_first_one() {
    let (state, [first, _]) = renewed();
    let state = state.confirmed(secs(2_000)).confirmed(secs(2_050));
    assert_eq!(state.judge(&first, secs(2_061)), Verdict::Reused);
}

#[test]
fn every_older_token_of_the_lineage_is_reuse_however_old() {
    let (mut state, first) = fresh();
    let mut tokens = vec![first];
    for n in 1..=40_u64 {
        let last = tokens.last().expect("one").clone();
        let (renewed, salt) = state.renewed(&last, secs(n * 1_000), GRACE);
        tokens.push(last.successor(&salt));
        state = renewed.confirmed(secs(n * 1_000 + 1));
    }
    let now = secs(41_000);
    let (current, old) = tokens.split_last().expect("many");
    assert_eq!(state.judge(current, now), Verdict::Current);
    for token in old {
        assert_eq!(state.judge(token, now), Verdict::Reused);
    }
    assert_eq!(
        state.judge(&forged(current, "Ao"), now),
        Verdict::Reused,
        "a made-up secret"
    );
    assert_eq!(
        state.judge(&forged(current, "Ap"), now),
        Verdict::Ahead,
        "from a later time"
    );
}

#[test]
fn a_token_of_another_lineage_is_never_reuse() {
    let (state, planted) = fresh();
    let new = SessionToken::reissued(&planted.id());
    let signed_in = state.reissued(&new, secs(0), GRACE);
    let made_up = SessionToken::reissued(&planted.id());
    for token in [&planted, &made_up] {
        let judge = |millis| signed_in.judge(token, Duration::from_millis(millis));
        assert_eq!(judge(0), Verdict::Superseded);
        assert_eq!(judge(59_999), Verdict::Superseded);
        assert_eq!(judge(60_000), Verdict::Foreign);
    }
    assert_eq!(signed_in.judge(&new, secs(0)), Verdict::Current);
}

#[test]
fn another_frameworks_token_is_replaced_by_a_native_one_and_is_never_reuse() {
    let foreign = SessionToken::foreign("their session id").expect("any text");
    let state = TokenState::of(&foreign, secs(0), GRACE, true);
    assert_eq!(state.judge(&foreign, secs(9)), Verdict::Current);
    let before = *state.lineage();
    let (state, salt) = state.renewed(&foreign, secs(10), GRACE);
    let native = foreign.successor(&salt);
    assert!(native.is_native());
    assert_eq!(state.judge(&native, secs(11)), Verdict::Unconfirmed);
    assert_eq!(state.judge(&foreign, secs(11)), Verdict::Replaced(salt));
    assert!(
        state.continues(&foreign, &before),
        "a writer that came with the foreign one"
    );
    let other = SessionToken::foreign("another session id").expect("any text");
    assert!(!state.continues(&other, &before));
    let state = state.confirmed(secs(20));
    assert_eq!(state.judge(&foreign, secs(79)), Verdict::Late);
    assert_eq!(state.judge(&foreign, secs(80)), Verdict::Foreign);
    let signed_in = SessionToken::reissued(&native.id());
    let state = state.reissued(&signed_in, secs(0), GRACE);
    assert!(!state.continues(&foreign, &before), "after a sign-in");
}

#[test]
fn a_successor_is_unclaimed_after_a_grace_until_it_is_presented() {
    let foreign = SessionToken::foreign("their session id").expect("any text");
    let state = TokenState::of(&foreign, secs(0), GRACE, true);
    assert!(!state.is_unclaimed(secs(900)), "nothing was replaced");
    let (state, salt) = state.renewed(&foreign, secs(10), GRACE);
    assert!(!state.is_unclaimed(secs(69)));
    assert!(state.is_unclaimed(secs(70)));
    assert_eq!(state.judge(&foreign, secs(70)), Verdict::Replaced(salt));
    assert!(!state.clone().confirmed(secs(80)).is_unclaimed(secs(90)));
    let anew = SessionToken::reissued(&foreign.id());
    let state = state.reissued(&anew, secs(70), GRACE);
    for token in [foreign.clone(), foreign.successor(&salt)] {
        assert_eq!(state.judge(&token, secs(71)), Verdict::Superseded);
        assert_eq!(state.judge(&token, secs(131)), Verdict::Foreign);
    }
}

#[test]
fn the_grace_is_the_records_own() {
    let (state, first) = fresh();
    let short = Grace::new(Duration::from_millis(1_500));
    let (state, _) = state.renewed(&first, secs(1_000), short);
    let state = TokenState::decode(&state.confirmed(secs(1_000)).encode()).expect("ours");
    let judge = |millis| state.judge(&first, Duration::from_millis(millis));
    assert_eq!(judge(1_001_499), Verdict::Late);
    assert_eq!(judge(1_001_500), Verdict::Reused);
    assert_eq!(Grace::new(Duration::MAX).duration(), Grace::MAX);
}

#[test]
fn the_age_of_a_token_counts_from_its_confirmation() {
    let (state, _) = fresh();
    assert_eq!(state.token_age(secs(70)), Some(secs(70)));
    let (state, _) = renewed();
    assert_eq!(state.token_age(secs(5_000)), None);
    let state = state.confirmed(secs(4_000));
    assert_eq!(state.token_age(secs(5_000)), Some(secs(1_000)));
}

#[test]
fn a_guests_token_is_not_to_be_renewed_and_a_new_one_is() {
    let token = SessionToken::generate();
    let guest = TokenState::of(&token, secs(0), GRACE, true);
    assert!(!guest.is_renewable(false));
    let read = TokenState::decode(&guest.encode()).expect("ours");
    assert!(!read.is_renewable(false));
    assert!(read.is_renewable(true));
    assert!(guest.reissued(&token, secs(1), GRACE).is_renewable(false));
}

#[test]
fn a_fresh_credential_has_57_bytes_and_the_longest_136() {
    let (mut state, token) = fresh();
    assert_eq!(state.encode().as_bytes().len(), 57);
    for n in 1..=10_usize {
        state = state.written_over(Stamp::generate());
        assert_eq!(state.encode().as_bytes().len(), 57 + 4 * n.min(8));
    }
    let other = Grace::new(secs(1));
    let (state, _) = state.renewed(&token, secs(1), other);
    assert_eq!(state.encode().as_bytes().len(), 136);
}

/// A credential with all of its parts, as bytes that must not change.
#[test]
fn a_credential_is_laid_out_as_documented() {
    let text = "abcdefghijklmnopqrstuvwxyz01AC456789-_ABCDEFGHIJKLMNOP";
    let token = SessionToken::parse(text).expect("shaped");
    let state = TokenState::of(&token, secs(258), GRACE, true);
    let state = state
        .written_over(Stamp::from_bytes(*b"the first write!"))
        .written_over(Stamp::from_bytes(*b"the second one.."));
    let hex = |credential: &Credential| {
        let bytes = credential.as_bytes().iter();
        bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    };
    assert_eq!(
        hex(&state.encode()),
        [
            "14",                                                               // version 1, a guest's
            "924648fadfd234d266fe70187a3905b283a8ea4ea9209599498de71c4c0d7e66", // printf TEXT | sha256sum
            "be4544e5d57f38d0bc8219999ed72b78", // printf qrstuvwxyz01 | sha256sum | cut -c1-32
            "0002",                             // generation
            "00000003efd0",
            "6e652e2e", // "ne..", the end of the later stamp
            "69746521", // "ite!"
        ]
        .concat()
    );
    let (state, salt) = state.renewed(&token, secs(1_000), Grace::new(secs(2)));
    let bytes = state.confirmed(secs(1_001)).encode();
    let shown = hex(&bytes);
    assert_eq!(&shown[..2], "17", "version 1, renewed, a grace, a guest's");
    assert_eq!(&shown[98..102], "0003");
    assert_eq!(&shown[102..114], "00000003efd0");
    assert_eq!(&shown[114..120], "0007d0");
    assert_eq!(&shown[120..152], "924648fadfd234d266fe70187a3905b2");
    assert_eq!(
        shown[152..184],
        hex(&Credential::from_stored(&salt).expect("fits").expect("some"))
    );
    assert_eq!(&shown[184..], "0000000f42400000000f46286e652e2e69746521");
}

#[test]
fn bytes_that_are_no_credential_are_corrupt() {
    let (state, [_, _]) = renewed();
    let good = state.written_over(Stamp::generate()).encode();
    let good = good.as_bytes();
    let decode = |bytes: &[u8]| {
        let credential = Credential::from_stored(bytes).expect("fits");
        TokenState::decode(&credential.expect("some"))
    };
    decode(good).expect("good");
    for wrong in [
        &good[..1],
        &good[..56],
        &good[..good.len() - 1],
        &[0; 57],
        &[0xff; 57],
    ] {
        decode(wrong).expect_err("cut, or of another version");
    }
    let long = [good, &[0; 4 * 8]].concat();
    decode(&long).expect_err("nine marks in the trail");
}

/// What happens to one session.
#[derive(Clone, Debug)]
enum Step {
    /// So many seconds pass.
    Wait(u64),
    /// A request with the client's present token arrives; it writes if it has something to.
    Request {
        writes: bool,
    },
    /// A request arrives that was sent with the token that the client had before.
    LateRequest,
    /// The answer of the next renewal is lost.
    LoseAnswer,
    SignIn,
    /// The store is copied.
    Backup,
    /// The copy is put back: all writes since are lost.
    RollBack,
    /// The session ends, and another one begins.
    SignOut,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..400_u64).prop_map(Step::Wait),
        6 => any::<bool>().prop_map(|writes| Step::Request { writes }),
        2 => Just(Step::LateRequest),
        2 => Just(Step::LoseAnswer),
        1 => Just(Step::SignIn),
        1 => Just(Step::Backup),
        1 => Just(Step::RollBack),
        1 => Just(Step::SignOut),
    ];
    proptest::collection::vec(step, 1..60)
}

/// One session, its client, and what the model says of every token there has been.
struct World {
    state: TokenState,
    age: Duration,
    /// The token in the client's jar, and the one that it had before.
    jar: SessionToken,
    before: Option<(SessionToken, Duration)>,
    loses_answer: bool,
    /// All tokens of this lineage that are not the current one, with when they were replaced for
    /// good: their successor was seen.
    replaced: Replaced,
    /// Tokens of earlier lineages.
    foreign: Vec<SessionToken>,
    backup: Option<(TokenState, Replaced, Vec<SessionToken>)>,
}

/// Replaced tokens, and when their successors were seen.
type Replaced = Vec<(SessionToken, Option<Duration>)>;

const AFTER: Duration = Duration::from_secs(240);

impl World {
    fn new() -> Self {
        let (state, jar) = fresh();
        Self {
            state,
            age: secs(0),
            jar,
            before: None,
            loses_answer: false,
            replaced: Vec::new(),
            foreign: Vec::new(),
            backup: None,
        }
    }

    /// A request by its token: judged, and answered with a token or none.
    fn request(&mut self, token: &SessionToken, writes: bool) -> Result<(), TestCaseError> {
        let state = self.state.clone();
        match state.judge(token, self.age) {
            Verdict::Current => {
                let held = state.token_age(self.age);
                if held.is_some_and(|held| held >= AFTER) {
                    let (state, salt) = state.renewed(token, self.age, GRACE);
                    self.state = state.written_over(Stamp::generate());
                    self.replaced.push((token.clone(), None));
                    self.answer(token.successor(&salt));
                } else if writes {
                    self.state = state.written_over(Stamp::generate());
                }
            }
            Verdict::Unconfirmed => {
                self.state = state.confirmed(self.age).written_over(Stamp::generate());
                for (_, seen) in &mut self.replaced {
                    seen.get_or_insert(self.age);
                }
            }
            Verdict::Replaced(salt) => self.answer(token.successor(&salt)),
            Verdict::Late => {}
            refused => prop_assert!(false, "the client's own token was {refused:?}"),
        }
        Ok(())
    }

    fn answer(&mut self, token: SessionToken) {
        if !std::mem::take(&mut self.loses_answer) && token != self.jar {
            let old = std::mem::replace(&mut self.jar, token);
            self.before = Some((old, self.age));
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait(seconds) => self.age += secs(*seconds),
            Step::Request { writes } => {
                let token = self.jar.clone();
                self.request(&token, *writes)?;
            }
            Step::LateRequest => {
                // It is late by at most a grace.
                if let Some((token, until)) = self.before.clone()
                    && self.age < until + GRACE.duration()
                {
                    self.request(&token, false)?;
                }
            }
            Step::LoseAnswer => self.loses_answer = true,
            Step::SignIn => {
                let token = SessionToken::reissued(&self.jar.id());
                self.state = self.state.clone().reissued(&token, secs(0), GRACE);
                self.age = secs(0);
                let replaced = std::mem::take(&mut self.replaced);
                self.foreign
                    .extend(replaced.into_iter().map(|(token, _)| token));
                self.foreign.push(std::mem::replace(&mut self.jar, token));
                self.before = None;
                self.loses_answer = false;
                // A copy of an earlier sign-in is none of this one's.
                self.backup = None;
            }
            Step::Backup => {
                let copy = (
                    self.state.clone(),
                    self.replaced.clone(),
                    self.foreign.clone(),
                );
                self.backup = Some(copy);
            }
            Step::RollBack => self.roll_back(),
            Step::SignOut => *self = Self::new(),
        }
        self.state = TokenState::decode(&self.state.encode()).expect("what was encoded");
        self.check()
    }

    /// Puts the copy back. A client whose token is lost by that signs in again.
    fn roll_back(&mut self) {
        let Some((state, replaced, foreign)) = self.backup.clone() else {
            return;
        };
        (self.state, self.replaced, self.foreign) = (state, replaced, foreign);
        self.before = None;
        let verdict = self.state.judge(&self.jar, self.age);
        if verdict == Verdict::Ahead {
            let new = SessionToken::reissued(&self.jar.id());
            let lost = std::mem::replace(&mut self.jar, new);
            let state = self.state.clone();
            self.state = state.reissued(&self.jar, secs(0), GRACE);
            self.age = secs(0);
            let replaced = std::mem::take(&mut self.replaced);
            self.foreign
                .extend(replaced.into_iter().map(|(token, _)| token));
            self.foreign.push(lost);
            self.backup = None;
        }
    }

    /// Every token there has been is what the model says.
    fn check(&self) -> Result<(), TestCaseError> {
        for (token, seen) in &self.replaced {
            let verdict = self.state.judge(token, self.age);
            let expected = match seen {
                None => matches!(verdict, Verdict::Replaced(_)),
                Some(seen) if self.age < *seen + GRACE.duration() => verdict == Verdict::Late,
                Some(_) => verdict == Verdict::Reused,
            };
            prop_assert!(expected, "{verdict:?}, its successor was seen at {seen:?}");
        }
        for token in &self.foreign {
            let verdict = self.state.judge(token, self.age);
            let expected = match self.age < GRACE.duration() {
                true => Verdict::Superseded,
                false => Verdict::Foreign,
            };
            prop_assert_eq!(verdict, expected);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn in_any_history_every_token_is_what_a_model_says(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step)?;
        }
        // The client is still in.
        let token = world.jar.clone();
        world.request(&token, false)?;
    }
}
