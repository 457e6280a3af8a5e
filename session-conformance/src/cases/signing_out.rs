//! The end of a session is final, whatever happens to its token at the same time (I4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use session_core::{Session, SessionToken, Sessions};
use tokio::task::JoinSet;

use crate::Fixture;
use crate::concurrent::in_parallel;
use crate::random::rounds;
use crate::samples::ms;
use crate::users::{
    RENEWED_AFTER, guest, load_page, must_open_nothing, opened, signed_in, two_managers, user,
};

/// How often each race is run, unless `CONFORMANCE_ROUNDS` is set.
const ROUNDS: usize = 20;
/// Requests that are sent together with a sign-out.
const PAGES: usize = 3;

/// Signs out while other requests of the same client are in flight, and checks that no token that
/// any of them received opens the session.
async fn sign_out_beside<R>(
    fixture: Fixture,
    wait: Duration,
    request: impl Fn(Sessions, SessionToken) -> R + Clone + Send + Sync + 'static,
) where
    R: Future<Output = Option<SessionToken>> + Send + 'static,
{
    let managers = two_managers(&fixture).await;
    let running = (0..rounds(ROUNDS)).map(|round| {
        let (managers, request) = (managers.clone(), request.clone());
        let user = user(&fixture, round);
        async move {
            let token = signed_in(&managers[0], &user).await;
            tokio::time::sleep(wait).await;
            let out = opened(&managers[1], &token).await;
            let (pages, sent) = (managers.clone(), token.clone());
            let received = in_parallel(PAGES + 1, move |n| {
                let (sessions, token) = (pages[n % 2].clone(), sent.clone());
                let (request, out) = (request.clone(), out.clone());
                async move {
                    if n == PAGES {
                        out.destroy().await.expect("destroy failed");
                        return None;
                    }
                    request(sessions, token).await
                }
            })
            .await;
            let mut tokens: Vec<SessionToken> = received.into_iter().flatten().collect();
            tokens.push(token);
            must_open_nothing(&managers[0], &tokens, "signed out").await;
            let left = managers[0].store().directory().is_some();
            if left {
                let left = managers[0].owned_by(&user).await.expect("owned_by failed");
                assert!(left.is_empty(), "signed out, but {left:?} is listed");
            }
        }
    });
    futures_util::future::join_all(running).await;
}

pub(super) async fn a_sign_out_beside_renewals_is_final(fixture: Fixture) {
    sign_out_beside(
        fixture,
        RENEWED_AFTER + ms(5),
        async |sessions: Sessions, token| load_page(&sessions, &token).await,
    )
    .await;
}

pub(super) async fn a_sign_out_beside_new_tokens_is_final(fixture: Fixture) {
    sign_out_beside(
        fixture,
        Duration::ZERO,
        async |sessions: Sessions, token| {
            let session = opened(&sessions, &token).await;
            let _ = session.cycle_id().await;
            session.token()
        },
    )
    .await;
}

pub(super) async fn a_sign_out_beside_a_sign_in_of_the_same_session_is_final(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    for round in 0..rounds(ROUNDS) {
        let token = guest(&managers[0]).await;
        let out = opened(&managers[1], &token).await;
        let signing_in = opened(&managers[0], &token).await;
        let (one, user) = (signing_in.clone(), user(&fixture, round));
        let (signed_in, signed_out) = tokio::join!(
            tokio::spawn(async move { one.sign_in(user).await }),
            tokio::spawn(async move { out.destroy().await }),
        );
        signed_in
            .expect("no panic")
            .expect("a sign-in never fails because a guest's session ended");
        signed_out.expect("no panic").expect("destroy failed");
        // Either the sign-in came first and its session has ended, or it has made a new session.
        let own = signing_in.token().expect("it was signed in");
        let lives = managers[0].find(&own).await.expect("find failed").is_some();
        assert_eq!(lives, signing_in.id() != Some(token.id()), "round {round}");
        must_open_nothing(&managers[1], &[token], "signed out").await;
    }
}

/// An attacker who holds sessions and makes new tokens without a pause.
struct Thief {
    tasks: JoinSet<()>,
    is_over: Arc<AtomicBool>,
}

impl Thief {
    fn begin(sessions: Vec<Session>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for session in sessions {
            let is_over = Arc::clone(&is_over);
            tasks.spawn(async move {
                while !is_over.load(SeqCst) && session.cycle_id().await.is_ok() {}
            });
        }
        Self { tasks, is_over }
    }

    async fn end(mut self) {
        self.is_over.store(true, SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
    }
}

pub(super) async fn logging_out_everywhere_is_final_beside_a_thief_who_makes_new_tokens(
    fixture: Fixture,
) {
    let (managers, mut random) = (two_managers(&fixture).await, fixture.random());
    for round in 0..rounds(ROUNDS) {
        let user = user(&fixture, round);
        let mut stolen = Vec::new();
        for n in 0..3 {
            let token = signed_in(&managers[0], &user).await;
            stolen.push(opened(&managers[n % 2], &token).await);
        }
        let thief = Thief::begin(stolen.clone());
        tokio::time::sleep(Duration::from_micros(random.below(4_000))).await;
        let ended = managers[1].destroy_owned_by(&user, None).await;
        assert_eq!(ended.expect("destroy_owned_by failed"), 3, "round {round}");
        let left = managers[0].owned_by(&user).await.expect("owned_by failed");
        assert!(left.is_empty(), "round {round}: {left:?} is left");
        thief.end().await;
        let tokens: Vec<SessionToken> = stolen.iter().filter_map(Session::token).collect();
        must_open_nothing(&managers[0], &tokens, "logged out everywhere").await;
    }
}

pub(super) async fn a_limit_on_sessions_is_not_evaded_by_new_tokens(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    for round in 0..rounds(ROUNDS) {
        let user = user(&fixture, round);
        let old = opened(&managers[0], &signed_in(&managers[0], &user).await).await;
        tokio::time::sleep(ms(3)).await;
        let new = signed_in(&managers[1], &user).await;
        let thief = Thief::begin(vec![old.clone()]);
        let ended = managers[1].keep_newest(&user, 1).await;
        assert_eq!(ended.expect("keep_newest failed"), 1, "round {round}");
        thief.end().await;
        let tokens: Vec<SessionToken> = old.token().into_iter().collect();
        must_open_nothing(&managers[0], &tokens, "over the limit").await;
        let left = managers[0].owned_by(&user).await.expect("owned_by failed");
        assert_eq!(left.len(), 1, "round {round}: {left:?}");
        assert_eq!(left[0].id, new.id(), "the newest stays");
    }
}

pub(super) async fn a_listed_id_ends_its_session_after_any_number_of_new_tokens(fixture: Fixture) {
    let managers = two_managers(&fixture).await;
    let user = user(&fixture, 0);
    for tokens in [0, 1, 7] {
        let token = signed_in(&managers[0], &user).await;
        let listed = managers[1].owned_by(&user).await.expect("owned_by failed");
        assert_eq!(listed.len(), 1, "one session of one user");
        let session = opened(&managers[0], &token).await;
        for _ in 0..tokens {
            session.cycle_id().await.expect("cycle_id failed");
        }
        let ended = managers[1].destroy(&listed[0].id).await;
        assert!(ended.expect("destroy failed"), "after {tokens} new tokens");
        let last = session.token().expect("it does not know yet");
        must_open_nothing(&managers[0], &[token, last], "ended by its id").await;
    }
}
