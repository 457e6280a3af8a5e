//! Theft is told, and nothing else is taken for it: simulations of a browser, and of thieves.

mod browser;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use browser::{AFTER, Browser, Dice, GRACE, Server};
use session_core::SessionToken;

/// A handle counts the age of its session on by the real clock, which these tests do not move.
const SLACK: Duration = Duration::from_millis(500);

/// How many requests the browsers send in all.
fn requests() -> u64 {
    let asked = std::env::var("SESSION_TEST_REQUESTS");
    asked.map_or(1_000_000, |asked| asked.parse().expect("a number"))
}

async fn no_alarm_and_no_sign_out(seed: u64, requests: u64) {
    let server = Server::new();
    let token = server.sign_in().await;
    let mut browser = Browser::new(&server, token, seed);
    browser.browse(8, requests).await;
    let counts = &server.counts;
    let told = (counts.reused.load(Relaxed), counts.ended.load(Relaxed));
    assert_eq!(told, (0, 0), "false alarms and ends, seed {seed}");
    assert_eq!(browser.signed_out, 0, "sign-outs, seed {seed}");
    let renewals = counts.renewed.load(Relaxed);
    assert!(renewals > requests / 1_000, "only {renewals} renewals");
}

/// In two tests, so that they run side by side.
#[tokio::test(start_paused = true)]
async fn eight_tabs_on_a_bad_connection_raise_no_alarm_and_are_not_signed_out() {
    no_alarm_and_no_sign_out(1, requests() / 2).await;
}

#[tokio::test(start_paused = true)]
async fn eight_other_tabs_on_a_bad_connection_raise_no_alarm_and_are_not_signed_out() {
    no_alarm_and_no_sign_out(2, requests() / 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_thief_who_works_while_the_owner_sleeps_is_told_when_the_owner_returns() {
    let night = Duration::from_secs(12 * 3_600);
    let mut dice = Dice::new(3);
    for round in 0..1_000 {
        let server = Server::new();
        let owners = server.sign_in().await;
        let mut thiefs = owners.clone();
        // From every second to once in two hours; the last pause is long enough for a grace.
        let pause = Duration::from_secs(1 + dice.below(7_200).min(dice.below(7_200)));
        let most = (night.as_millis() / pause.as_millis()).min(200);
        let mut used = false;
        for _ in 0..most {
            tokio::time::advance(pause).await;
            let (opened, told) = server.request(&thiefs, dice.percent(30)).await;
            assert!(opened, "the thief is in, round {round}");
            let before = server.counts.renewed.load(Relaxed);
            used |= before > 0 && told.is_none();
            thiefs = told.unwrap_or(thiefs);
        }
        if !used {
            // No renewal fell into it: use the session until one does, and its successor once.
            tokio::time::advance(AFTER + SLACK).await;
            for _ in 0..2 {
                thiefs = server.request(&thiefs, false).await.1.unwrap_or(thiefs);
            }
        }
        tokio::time::advance(GRACE + SLACK).await;
        let (opened, told) = server.request(&owners, false).await;
        assert!(!opened && told.is_none(), "round {round}, every {pause:?}");
        assert_eq!(
            server.counts.reused.load(Relaxed),
            1,
            "round {round}, every {pause:?}"
        );
        assert!(
            !server.request(&thiefs, false).await.0,
            "the thief is out too"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_10_000_replays_of_old_tokens_each_is_told_and_ends_the_session_at_once() {
    let mut dice = Dice::new(4);
    for round in 0..100 {
        let generations = 1 + dice.below(40) as usize;
        for _ in 0..100 {
            let server = Server::new();
            let (old, current) = renewed(&server, generations).await;
            let replayed = &old[dice.below(old.len() as u64) as usize];
            assert!(!server.request(replayed, false).await.0);
            assert_eq!(server.counts.reused.load(Relaxed), 1, "round {round}");
            assert_eq!(server.counts.ended.load(Relaxed), 1, "round {round}");
            assert_eq!(server.sessions.count().await.ok(), Some(0));
            assert!(!server.request(&current, false).await.0);
        }
    }
}

/// A session renewed so many times: its old tokens, whose grace is over, and the current one.
async fn renewed(server: &Server, generations: usize) -> (Vec<SessionToken>, SessionToken) {
    let mut current = server.sign_in().await;
    let mut old = Vec::new();
    for _ in 0..generations {
        tokio::time::advance(AFTER + SLACK).await;
        let next = server.request(&current, false).await.1.expect("it is due");
        server.request(&next, false).await;
        old.push(std::mem::replace(&mut current, next));
    }
    tokio::time::advance(GRACE + SLACK).await;
    (old, current)
}

#[tokio::test(start_paused = true)]
async fn planted_made_up_and_earlier_tokens_are_never_an_alarm_and_never_an_end() {
    let mut dice = Dice::new(5);
    for _ in 0..200 {
        let server = Server::new();
        let planter = server.sessions.start();
        planter.insert("n", 0).expect("a number");
        planter.save().await.expect("saved");
        let planted = planter.token().expect("stored");
        let victim = server.sessions.open(Some(&planted)).await.expect("up");
        victim.sign_in("u").await.expect("signed in");
        let first = victim.token().expect("stored");
        tokio::time::advance(Duration::from_secs(dice.below(3_600))).await;
        victim.reauthenticated().await.expect("saved");
        let mut current = victim.token().expect("stored");
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(dice.below(600))).await;
            let id = current.expose()[..16].to_owned();
            let made_up = SessionToken::generate();
            let made_up = SessionToken::parse(&format!("{id}{}", &made_up.expose()[16..]));
            for refused in [&planted, &first, &made_up.expect("shaped")] {
                assert!(!server.request(refused, true).await.0);
            }
            let (opened, told) = server.request(&current, dice.percent(50)).await;
            assert!(opened);
            current = told.unwrap_or(current);
        }
        assert_eq!(server.counts.reused.load(Relaxed), 0);
    }
}
